"""Members of a tar, in order: damaged headers are stepped over and named, and nothing leaves the tar.

What a header claims takes no memory: reads end where the file ends, and a member is as large as what is there of it.
"""

import tarfile
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

from webdataset.tariterators import base_plus_ext

Held = TypeVar("Held")
Skip = Callable[[str, str, str], None]
"""Called with shard, member and reason."""
LARGEST_MEMBER = 2 * 2**30
"""Bytes of a member that is read; a clip of ten seconds has some ten million."""
_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE)
_FAULTS = (tarfile.TarError, OSError, ValueError, KeyError, IndexError, OverflowError, RecursionError, MemoryError)
"""What Python's tar reader makes of a damaged header."""


class _Bounded:
    """A file whose reads never ask for more than there is: Python takes memory for what is asked for."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream, self._size = stream, size
        self.mode, self.name = "rb", getattr(stream, "name", "")

    def read(self, count: int = -1) -> bytes:
        there = max(0, self._size - self._stream.tell())
        return self._stream.read(there if count < 0 else min(count, there))

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()


@dataclass(frozen=True)
class Member:
    """A file in a tar, by its header; `offset` is that of its first byte in the tar."""

    name: str
    offset: int
    size: int


def read_members(file: Path, suffixes: Collection[str], skip: Skip) -> Iterator[tuple[str, bytes]]:
    """Names and bytes of a tar's files of these suffixes; no bytes where the end of the file is missing."""
    with file.open("rb") as stream:
        for member in list_members(file, suffixes, skip):
            yield member.name, read_member(stream, member)


def read_member(stream: BinaryIO, member: Member) -> bytes:
    """A member's bytes; none where the end of the file is missing: the hash will tell."""
    stream.seek(0, 2)
    if member.offset + member.size > stream.tell():
        return b""
    stream.seek(member.offset)
    return stream.read(member.size)


def list_members(file: Path, suffixes: Collection[str], skip: Skip) -> Iterator[Member]:
    """Where a tar's files of these suffixes lie; only headers are read.

    A damaged header is stepped over, block by block, until the next good one.
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        try:
            # ignore_zeros makes tarfile step over blocks that are no header instead of ending there.
            archive = tarfile.TarFile(fileobj=_Bounded(stream, size), ignore_zeros=True)  # type: ignore[arg-type]
        except _FAULTS as error:
            skip(file.name, "*", f"not a tar: {error}")
            return
        # Where the last header was that was taken: the next lies behind it, or the reader would go round for ever.
        last = -1
        while True:
            try:
                member = archive.next()
            except _FAULTS as error:
                last = archive.offset = max(archive.offset, last) + tarfile.BLOCKSIZE
                if archive.offset < size:
                    continue
                skip(file.name, "*", f"ends early: {error}")
                return
            if member is None:
                return
            # The list of all members is for archives that are searched.
            archive.members.clear()  # type: ignore[attr-defined]
            fault = _fault_of(member)
            if archive.offset <= last:
                fault, archive.offset = "its size leads backwards", last + tarfile.BLOCKSIZE
            last = archive.offset
            if fault is not None:
                skip(file.name, ascii(member.name), fault)
                continue
            if base_plus_ext(member.name)[1] in suffixes:
                yield Member(member.name, member.offset_data, member.size)


def _fault_of(member: tarfile.TarInfo) -> str | None:
    if member.type not in _FILES or member.sparse is not None or "/" in member.name or ".." in member.name:
        return "not a plain file of this shard"
    if not 0 <= member.size <= LARGEST_MEMBER:
        return f"has {member.size} bytes by its header, members have up to {LARGEST_MEMBER}"
    return None


def group_members(members: Iterable[tuple[str, Held]]) -> Iterator[tuple[str, dict[str, Held]]]:
    """Neighbouring members of one key together, as WebDataset does."""
    current: str | None = None
    group: dict[str, Held] = {}
    for name, held in members:
        key, suffix = base_plus_ext(name)
        if key is None:
            continue
        if key != current and current is not None:
            yield current, group
            group = {}
        current = key
        group[suffix] = held
    if current is not None:
        yield current, group
