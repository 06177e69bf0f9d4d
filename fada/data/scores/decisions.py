"""What the table of scores has decided about clips: their sets, without a word in the clips' records.

A decision holds for the clip that was scored. Which one that was is told by a hash over what scores follow from; the
split and who is seen may change.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from fada.data.clips.clip_files import clip_file
from fada.data.scores.table import TABLE_FILE, ScoresError, read_columns

_FREE = ("filter", "split", "identity", "identity_from")
"""What `fada data split` and earlier versions of the filter write into a record: no score follows from it."""


class Decisions:
    """Decisions by clip.

    Args:
        columns: `key`, `clip`, `set`, `failed_strict`, `failed_lenient` of the table, its rows in any order.
    """

    def __init__(self, columns: dict[str, Any]) -> None:
        keys = np.array([key.encode() for key in columns["key"].to_pylist()], "S")
        # Sorted arrays and Arrow's columns: a mapping of millions of keys would take gigabytes.
        self._order = np.argsort(keys, kind="stable")
        self._keys, self._columns = keys[self._order], columns
        self.stale: list[str] = []
        """Clips that were asked for and are others than those that were scored."""

    def of(self, folder: Path, record: dict[str, Any]) -> dict[str, Any] | None:
        """What was decided about the clip of a record, None where nothing was."""
        key = record["key"]
        at = int(np.searchsorted(self._keys, key.encode()))
        if at == len(self._keys) or self._keys[at] != key.encode():
            return None
        row = int(self._order[at])
        if self._columns["clip"][row].as_py() != hash_clip(folder, record):
            self.stale.append(key)
            return None
        return {name: self._columns[name][row].as_py() for name in ("set", "failed_strict", "failed_lenient")}


class _None(Decisions):
    """Where nothing was scored."""

    def __init__(self) -> None:
        self.stale = []

    def of(self, folder: Path, record: dict[str, Any]) -> dict[str, Any] | None:
        return None


def read_decisions(folder: Path) -> Decisions:
    """The decisions of a folder's table; none where there is no table, or one of an earlier version.

    Raises:
        ScoresError: there is a table that cannot be read, or pyarrow is not installed.
    """
    if not (folder / TABLE_FILE).is_file():
        return _None()
    columns = read_columns(folder, ("key", "clip", "set", "failed_strict", "failed_lenient"))
    if columns is None:
        return _None()
    if columns["key"].null_count:
        raise ScoresError(f"{folder / TABLE_FILE}: has rows without a key; make it again with fada data filter")
    return Decisions(columns)


def hash_clip(folder: Path, record: dict[str, Any]) -> str:
    """A short hash of what a clip's scores follow from: its record and the sizes of its files."""
    meta = {name: value for name, value in record["meta"].items() if name not in _FREE}
    sizes = [
        file.stat().st_size if (file := clip_file(folder, record["key"], suffix)).is_file() else None
        for suffix in (".mp4", ".wav")
    ]
    facts = [{**record, "meta": meta}, sizes]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
