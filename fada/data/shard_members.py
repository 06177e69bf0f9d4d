"""Members of a tar, in order: damaged headers are stepped over and named, and nothing leaves the tar.

What a header claims takes no memory: reads end where the file ends, and a member is as large as what is there of it.
"""

import tarfile
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from webdataset.tariterators import base_plus_ext

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


def read_members(file: Path, suffixes: Collection[str], skip: Skip) -> Iterator[tuple[str, bytes]]:
    """Names and bytes of a tar's files of these suffixes.

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
            archive.members.clear()
            fault = _fault_of(member)
            if archive.offset <= last:
                fault, archive.offset = "its size leads backwards", last + tarfile.BLOCKSIZE
            last = archive.offset
            if fault is not None:
                skip(file.name, ascii(member.name), fault)
                continue
            if base_plus_ext(member.name)[1] in suffixes:
                yield member.name, _read_bytes(stream, member, size)


def _fault_of(member: tarfile.TarInfo) -> str | None:
    if member.type not in _FILES or member.sparse is not None or "/" in member.name or ".." in member.name:
        return "not a plain file of this shard"
    if not 0 <= member.size <= LARGEST_MEMBER:
        return f"has {member.size} bytes by its header, members have up to {LARGEST_MEMBER}"
    return None


def _read_bytes(stream: BinaryIO, member: tarfile.TarInfo, size: int) -> bytes:
    """A member's bytes; none where the end of the file is missing: the hash will tell."""
    if member.offset_data + member.size > size:
        return b""
    stream.seek(member.offset_data)
    return stream.read(member.size)


def group_members(members: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Neighbouring members of one key together, as WebDataset does."""
    current: str | None = None
    group: dict[str, bytes] = {}
    for name, data in members:
        key, suffix = base_plus_ext(name)
        if key is None:
            continue
        if key != current and current is not None:
            yield current, group
            group = {}
        current = key
        group[suffix] = data
    if current is not None:
        yield current, group
