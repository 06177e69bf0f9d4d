"""The scores of a folder of clips as one Parquet table, `scores.parquet`, a row per clip.

Read and written in pieces: a table of millions of clips never lies in memory whole.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from fada.data.scores.catalogue import SCORES
from fada.files.whole import set_aside, whole_file

TABLE_FILE = "scores.parquet"
PIECE = 50_000
"""Rows that are held at once."""


class ScoresError(ValueError):
    """A table of scores is missing or damaged."""


def write_scores(folder: Path, rows: Iterable[dict[str, Any]]) -> Path:
    """Write the table, whole or not at all; a file of that name that is no table of scores is set aside.

    Args:
        rows: key, clip (`decisions.hash_clip`), identity, split, source, set ("A", "B" or None), failed_strict,
            failed_lenient (lists of names), unmeasured (list of "score: why"), and every score by name (float or None).
    """
    import pyarrow as pa
    from pyarrow import parquet

    schema = _schema()
    path = folder / TABLE_FILE
    if path.is_file() and not _is_ours(path):
        set_aside(path)
    with whole_file(path) as partial, parquet.ParquetWriter(partial, schema) as writer:
        for piece in _pieces(rows):
            writer.write_table(pa.Table.from_pylist(piece, schema=schema))
    return path


def _schema() -> Any:
    """Arrow's names and types of the columns."""
    import pyarrow as pa

    text, names = pa.string(), pa.list_(pa.string())
    columns = [("key", text), ("clip", text), ("identity", text), ("split", text), ("source", text), ("set", text)]
    columns += [("failed_strict", names), ("failed_lenient", names), ("unmeasured", names)]
    return pa.schema([*columns, *((name, pa.float64()) for name in SCORES)])


def read_scores(folder: Path, numbers: Sequence[int] | None = None) -> list[dict[str, Any]]:
    """The rows of a folder's table, or those of some numbers, in the table's order.

    Raises:
        ScoresError: there is none, or it cannot be read.
    """
    wanted = None if numbers is None else set(numbers)
    rows = enumerate(iterate_scores(folder))
    return [row for number, row in rows if wanted is None or number in wanted]


def draw_scores(folder: Path, most: int) -> list[dict[str, Any]]:
    """The rows of a folder's table, or of more so many of them, in the table's order.

    A key's place is a hash of it: every choice is equally likely, and a larger table keeps most of it.

    Raises:
        ScoresError: there is none, or it cannot be read.
    """
    if count_scores(folder) <= most:
        return read_scores(folder)
    keys = enumerate(row["key"] for row in iterate_scores(folder, ("key",)))
    places = ((hashlib.sha256(str(key).encode()).digest(), number) for number, key in keys)
    return read_scores(folder, [number for _, number in heapq.nsmallest(most, places)])


def iterate_scores(folder: Path, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """The rows one after the other, with all columns or with some.

    Raises:
        ScoresError: there is no table, or it cannot be read.
    """
    import pyarrow as pa

    path = folder / TABLE_FILE
    try:
        for batch in _opened(path).iter_batches(PIECE, columns=None if columns is None else list(columns)):
            yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise _fault(path, error) from error


def count_scores(folder: Path) -> int:
    """Rows of a folder's table.

    Raises:
        ScoresError: there is none, or it cannot be read.
    """
    return int(_opened(folder / TABLE_FILE).metadata.num_rows)


def has_columns(folder: Path, names: Sequence[str]) -> bool:
    """Whether a folder's table has all these columns, as those of earlier versions may not; none of it is read.

    Raises:
        ScoresError: there is no table, or it cannot be read.
    """
    return set(names) <= set(_opened(folder / TABLE_FILE).schema_arrow.names)


def read_columns(folder: Path, names: Sequence[str]) -> dict[str, Any] | None:
    """Arrow's columns of a table by name, None where it has not all of them (it is an earlier version's).

    Raises:
        ScoresError: there is no table, or it cannot be read.
    """
    import pyarrow as pa

    path = folder / TABLE_FILE
    table = _opened(path)
    if not set(names) <= set(table.schema_arrow.names):
        return None
    try:
        found = table.read(columns=list(names)).cast(pa.schema([_schema().field(name) for name in names]))
        # Texts that are none would be found when they are asked for.
        found.validate(full=True)
        return {name: found[name].combine_chunks() for name in names}
    except (pa.ArrowException, OSError) as error:
        raise _fault(path, error) from error


def _opened(path: Path) -> Any:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise ScoresError(f"{path}: reading it needs pyarrow: pip install 'fada[data]'") from error
    if not path.is_file():
        raise ScoresError(f"{path}: no scores here; make them with: fada data filter {path.parent}")
    try:
        return parquet.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise _fault(path, error) from error


def _fault(path: Path, error: Exception) -> ScoresError:
    return ScoresError(f"{path}: not a table of scores ({error}); make it again with fada data filter")


def _pieces(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    piece: list[dict[str, Any]] = []
    for row in rows:
        piece.append(row)
        if len(piece) == PIECE:
            yield piece
            piece = []
    if piece:
        yield piece


def _is_ours(path: Path) -> bool:
    """Whether a file is a table of scores: of any version, by the columns that all have."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return {"key", "set"} <= set(parquet.read_schema(path).names)
    except (pa.ArrowInvalid, OSError):
        return False
