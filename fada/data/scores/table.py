"""The scores of a folder of clips as one Parquet table, `scores.parquet`, a row per clip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fada.data.scores.catalogue import SCORES
from fada.files.whole import set_aside, whole_file

TABLE_FILE = "scores.parquet"


class ScoresError(ValueError):
    """A table of scores is missing or damaged."""


def write_scores(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """Write the table, whole or not at all; a file of that name that is no table of scores is set aside.

    Args:
        rows: key, identity, split, source, set ("A", "B" or None), failed_strict, failed_lenient (lists of names),
            unmeasured (list of "score: why"), and every score by name (float or None).
    """
    import pyarrow as pa
    from pyarrow import parquet

    text, names = pa.string(), pa.list_(pa.string())
    columns = [("key", text), ("identity", text), ("split", text), ("source", text), ("set", text)]
    columns += [("failed_strict", names), ("failed_lenient", names), ("unmeasured", names)]
    columns += [(name, pa.float64()) for name in SCORES]
    path = folder / TABLE_FILE
    if path.is_file() and not _is_ours(path):
        set_aside(path)
    with whole_file(path) as partial:
        parquet.write_table(pa.Table.from_pylist(rows, schema=pa.schema(columns)), partial)
    return path


def read_scores(folder: Path) -> list[dict[str, Any]]:
    """The rows of a folder's table.

    Raises:
        ScoresError: there is none, or it cannot be read.
    """
    import pyarrow as pa
    from pyarrow import parquet

    path = folder / TABLE_FILE
    if not path.is_file():
        raise ScoresError(f"{path}: no scores here; make them with: fada data filter {folder}")
    try:
        rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    except (pa.ArrowInvalid, OSError) as error:
        raise ScoresError(f"{path}: not a table of scores ({error}); make it again with fada data filter") from error
    return rows


def _is_ours(path: Path) -> bool:
    """Whether a file is a table of scores: of any version, by the columns that all have."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return {"key", "set"} <= set(parquet.read_schema(path).names)
    except (pa.ArrowInvalid, OSError):
        return False
