"""The table of a set of shards: a row per sample, where its members lie in which tar, and what choosing needs to know.

One file beside index.json (`samples-HASH.safetensors`), read lazily: what clips are chosen by (quality, frames, parts)
is a few bytes per sample and held, offsets, hashes and keys are read when a sample is. It holds no code and no pickles;
what it says is checked, here or where a member is read. Its name follows from the shards that it is of, so that a table
of other shards is never taken for theirs.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from safetensors.numpy import save_file

from fada.data.sampling.clip_source import counts_of
from fada.data.shards.format import PARTS, suffix_of
from fada.data.shards.index import ShardIndex
from fada.data.shards.open_files import OpenFiles
from fada.files.strict_json import JSONFault, parse_json

MEMBERS = ("json", *(suffix_of(part) for part in PARTS))
"""Suffixes of a sample's members, in the order of the table. Tables of earlier versions have the first of them."""
_FORMAT = "1"
_LARGEST_HEADER = 16 * 2**20
_MOST_WORDS = 2**16
_HELD: dict[str, tuple[str, tuple[int, ...]]] = {
    "shard": ("U32", ()), "parts": ("U16", ()), "quality": ("U16", ()), "split": ("U16", ()), "frames": ("U32", ()),
    "sides": ("U16", (2,)),
}  # fmt: skip
_LAZY: dict[str, tuple[str, tuple[int, ...]]] = {
    "members": ("U64", (len(MEMBERS), 2)), "sums": ("U32", (len(MEMBERS),)), "record": ("U8", (32,)),
    "key": ("U8", (0,)),
}  # fmt: skip
"""Columns by name: type and shape of a row; 0 stands for the longest key."""
_TYPES = {"U8": "<u1", "U16": "<u2", "U32": "<u4", "U64": "<u8"}


class TableFault(ValueError):
    """A table that cannot be used; the message says why, not where."""


class Rows(Protocol):
    """A column whose rows are read one at a time."""

    def __getitem__(self, row: int, /) -> np.ndarray:
        """One row."""
        ...

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All rows."""
        ...


@dataclass(frozen=True)
class Row:
    """What the table says of one sample.

    frames: of its features, 0 where it has none; sides: height and width of its latents; members: offset and bytes by
    suffix; record: SHA-256 of its JSON, which holds those of the others; sums: by suffix, CRC32 of the members that
    were looked at when the row was made.
    """

    key: str
    shard: int
    quality: str
    split: str
    parts: tuple[str, ...]
    frames: int
    sides: tuple[int, int]
    members: dict[str, tuple[int, int]]
    record: bytes
    sums: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class SampleTable:
    """Columns over all samples, in the order in which shards hold them.

    shard: number in the index; parts: bits in the order of `PARTS`; quality, split: numbers in `qualities`, `splits`;
    frames and sides as in `Row`; suffixes: of the members, in the order of their columns; sums: 0 stands for a member
    that was not looked at, None for a table of an earlier version.
    """

    shard: np.ndarray
    parts: np.ndarray
    quality: np.ndarray
    split: np.ndarray
    frames: np.ndarray
    sides: np.ndarray
    qualities: tuple[str, ...]
    splits: tuple[str, ...]
    members: Rows
    record: Rows
    key: Rows
    suffixes: tuple[str, ...] = MEMBERS
    sums: Rows | None = None

    def __len__(self) -> int:
        return len(self.shard)

    def holds(self, *parts: str) -> np.ndarray:
        """Which samples (N,) hold all these parts."""
        wanted = np.uint16(sum(1 << PARTS.index(part) for part in parts))
        found: np.ndarray = (self.parts & wanted) == wanted
        return found

    def quality_counts(self) -> dict[str, int]:
        """Samples of every quality."""
        return counts_of(self.quality, self.qualities)

    def key_of(self, row: int) -> str:
        """A sample's key; what is no text in it is shown as it can be."""
        return bytes(self.key[row]).rstrip(b"\0").decode("ascii", "replace")

    def members_of(self, row: int) -> dict[str, tuple[int, int]]:
        """Offset and bytes of a sample's members by suffix; those that it has not are left out."""
        places = zip(self.suffixes, self.members[row].tolist(), strict=True)
        return {suffix: (offset, size) for suffix, (offset, size) in places if size}

    def sums_of(self, row: int) -> dict[str, int]:
        """CRC32 by suffix of those of a sample's members that were looked at when the table was made."""
        if self.sums is None:
            return {}
        return {each: told for each, told in zip(self.suffixes, self.sums[row].tolist(), strict=True) if told}


def mark_of(index: ShardIndex) -> str:
    """SHA-256 over what the index says of the shards."""
    told = [[shard.name, shard.samples, shard.bytes, shard.sha256] for shard in index.shards]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def table_name(index: ShardIndex) -> str:
    """Name of the table of these shards."""
    return f"samples-{mark_of(index)[:12]}.safetensors"


class TableMaker:
    """Takes rows, one at a time, and makes a table of them in memory."""

    def __init__(self) -> None:
        self._keys: list[bytes] = []
        self._words: dict[str, dict[str, int]] = {"quality": {}, "split": {}}
        self._numbers = {name: array("Q") for name in (*_HELD, "members", "sums")}
        self._records = bytearray()

    def add(self, row: Row) -> None:
        """One sample more.

        Raises:
            TableFault: the samples have more than 65,536 qualities or splits.
        """
        self._keys.append(row.key.encode("ascii"))
        self._records += row.record
        for name, known in self._words.items():
            self._numbers[name].append(known.setdefault(getattr(row, name), len(known)))
            if len(known) > _MOST_WORDS:
                raise TableFault(f"has samples of more than {_MOST_WORDS} different {name} names")
        self._numbers["shard"].append(row.shard)
        self._numbers["parts"].append(sum(1 << PARTS.index(part) for part in row.parts))
        self._numbers["frames"].append(row.frames)
        self._numbers["sides"].extend(row.sides)
        self._numbers["members"].extend(number for suffix in MEMBERS for number in row.members.get(suffix, (0, 0)))
        self._numbers["sums"].extend(row.sums.get(suffix, 0) for suffix in MEMBERS)

    def made(self) -> SampleTable:
        """The table of all that was added, in this order."""
        count, width = len(self._keys), max(map(len, self._keys), default=1)
        columns = {
            name: np.frombuffer(self._numbers[name], "<u8").astype(_TYPES[kind]).reshape(count, *shape)
            for name, (kind, shape) in {**_HELD, "members": _LAZY["members"], "sums": _LAZY["sums"]}.items()
        }
        keys = b"".join(key.ljust(width, b"\0") for key in self._keys)
        columns["key"] = np.frombuffer(keys, "u1").reshape(count, width)
        columns["record"] = np.frombuffer(bytes(self._records), "u1").reshape(count, 32)
        qualities, splits = (tuple(self._words[name]) for name in ("quality", "split"))
        return SampleTable(**columns, qualities=qualities, splits=splits)  # type: ignore[arg-type]


def mark_in(file: Path) -> str:
    """What a table says that it is of, as `mark_of`; "-" where a file is none."""
    try:
        told = _header_of(file)[0].get("__metadata__")
    except (TableFault, OSError):
        return "-"
    return str(told.get("shards", "-")) if isinstance(told, dict) else "-"


def table_of(rows: Iterable[Row]) -> SampleTable:
    """The table of these samples, in memory.

    Raises:
        TableFault: as `TableMaker.add`.
    """
    maker = TableMaker()
    for row in rows:
        maker.add(row)
    return maker.made()


def write_table(table: SampleTable, index: ShardIndex, file: Path) -> None:
    """Write a table that lies in memory as that of these shards."""
    columns = {name: np.ascontiguousarray(getattr(table, name)) for name in (*_HELD, *_LAZY) if name != "sums"}
    if table.sums is not None:
        columns["sums"] = np.ascontiguousarray(table.sums)
    told = {"format": _FORMAT, "shards": mark_of(index), "members": json.dumps(table.suffixes)}
    told |= {"qualities": json.dumps(table.qualities), "splits": json.dumps(table.splits)}
    save_file(columns, str(file), metadata=told)
    _order_header(file)


def _order_header(file: Path) -> None:
    """Sort what safetensors writes in an order of chance: equal tables are equal files."""
    with file.open("r+b") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(length))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        data = json.dumps(header, separators=(",", ":")).encode()
        assert len(data) <= length
        stream.seek(8)
        stream.write(data.ljust(length))


def open_table(file: Path, index: ShardIndex) -> SampleTable:
    """The table in a file; of what is read lazily nothing is looked at yet.

    Raises:
        TableFault: it is damaged, of other shards, or says what cannot be.
        OSError: it cannot be read.
    """
    header, start = _header_of(file)
    told = header.pop("__metadata__", None)
    suffixes = _suffixes(told) if isinstance(told, dict) and told.get("format") == _FORMAT else None
    if suffixes is None:
        raise TableFault("is no table of samples that this version knows")
    if told.get("shards") != mark_of(index):
        raise TableFault("is of other shards than index.json names")
    words = {name: _words(told.get(name)) for name in ("qualities", "splits")}
    places = _places(header, start, file.stat().st_size, len(suffixes))
    held = {name: _read_column(file, *places[name]) for name in _HELD}
    files = OpenFiles(file.parent)
    lazy = {name: FileRows(files, file.name, *places[name]) for name in _LAZY if name in places}
    table = SampleTable(**held, **lazy, **words, suffixes=suffixes)  # type: ignore[arg-type]
    if len(table) > index.samples:
        raise TableFault(f"has {len(table)} samples, the index {index.samples}")
    bounds = {"shard": len(index.shards), "quality": len(table.qualities), "split": len(table.splits)}
    for name, bound in bounds.items():
        if len(table) and int(held[name].max()) >= bound:
            raise TableFault(f"names {name} {int(held[name].max())}, there are {bound}")
    return table


class FileRows:
    """A column of a file; each row is one read, and nothing is kept."""

    def __init__(self, files: OpenFiles, name: str, offset: int, dtype: str, shape: tuple[int, ...]) -> None:
        self._files, self._name, self._offset, self._dtype, self._shape = files, name, offset, dtype, shape
        self._bytes = int(np.prod(shape[1:])) * np.dtype(dtype).itemsize

    def __getitem__(self, row: int) -> np.ndarray:
        if not 0 <= row < self._shape[0]:
            raise IndexError(row)
        data = self._files.read(self._name, self._offset + row * self._bytes, self._bytes)
        if not data:
            raise TableFault("ends early")
        return np.frombuffer(data, self._dtype).reshape(self._shape[1:])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return _read_column(self._files.folder / self._name, self._offset, self._dtype, self._shape)


def _header_of(file: Path) -> tuple[dict[str, Any], int]:
    """What stands in front of a safetensors file's data, and where the data begin."""
    if file.exists() and not file.is_file():
        # A pipe would keep the reader waiting.
        raise TableFault("is no ordinary file")
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 2 <= length <= _LARGEST_HEADER:
            raise TableFault(f"has a header of {length} bytes, tables have up to {_LARGEST_HEADER}")
        data = stream.read(length)
    try:
        header = parse_json(data, _LARGEST_HEADER)
    except JSONFault as error:
        raise TableFault(f"has a header that {error}") from error
    if not isinstance(header, dict):
        raise TableFault("has a header that is no mapping")
    return header, 8 + length


def _suffixes(told: dict[str, Any]) -> tuple[str, ...] | None:
    """Members of a table's samples: those of this version, or the first of them that an earlier version knew."""
    known = (MEMBERS[:count] for count in range(2, len(MEMBERS) + 1))
    return next((each for each in known if told.get("members") == json.dumps(each)), None)


def _places(header: dict[str, Any], start: int, size: int, members: int) -> dict[str, tuple[int, str, tuple[int, ...]]]:
    """Offset, type and shape of every column, each within the file and all of one length."""
    wanted = {**_HELD, **_LAZY, "members": ("U64", (members, 2)), "sums": ("U32", (members,))}
    if "sums" not in header:
        # An earlier version's.
        del wanted["sums"]
    if header.keys() != wanted.keys():
        raise TableFault(f"has the columns {', '.join(sorted(map(ascii, header)))[:200]}")
    places: dict[str, tuple[int, str, tuple[int, ...]]] = {}
    counts = set()
    for name, (kind, rest) in wanted.items():
        said = header[name] if isinstance(header[name], dict) else {}
        shape, offsets = (_numbers(said.get(each)) for each in ("shape", "data_offsets"))
        fits = len(shape) == len(rest) + 1 and all(
            there == length or (not length and 0 < there <= 200) for there, length in zip(shape[1:], rest, strict=False)
        )
        if said.get("dtype") != kind or not fits or len(offsets) != 2:
            raise TableFault(f"column {name} is not of its kind")
        dtype = _TYPES[kind]
        needed = int(np.prod(shape, dtype=object)) * np.dtype(dtype).itemsize
        if offsets[1] - offsets[0] != needed or start + offsets[1] > size:
            raise TableFault(f"column {name} is not all there")
        counts.add(shape[0])
        places[name] = (start + offsets[0], dtype, shape)
    if len(counts) > 1:
        raise TableFault("has columns of different lengths")
    return places


def _numbers(value: Any) -> tuple[int, ...]:
    is_list = isinstance(value, list) and all(type(each) is int and 0 <= each < 2**53 for each in value)
    return tuple(value) if is_list else ()


def _words(text: Any) -> tuple[str, ...]:
    try:
        words = parse_json(text if isinstance(text, str) else "", _LARGEST_HEADER)
    except JSONFault as error:
        raise TableFault(f"has a list of names that {error}") from error
    if not isinstance(words, list) or not all(isinstance(word, str) and len(word) <= 64 for word in words):
        raise TableFault("has names of qualities or splits that cannot be")
    return tuple(words)


def _read_column(file: Path, offset: int, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    return np.fromfile(file, dtype, int(np.prod(shape)), offset=offset).reshape(shape)
