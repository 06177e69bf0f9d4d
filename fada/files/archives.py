"""Single files out of archives from outside: read into memory by name and size, nothing is unpacked onto the disk.

Where an archive says that a file belongs makes no difference here, so it cannot lead anywhere; links are not followed.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

MOST_BYTES = 2**29
"""That are unpacked of an archive; the largest package of weights that is asked for has a third of it."""
MOST_MEMBERS = 10_000
_UNREADABLE = (
    *(tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError, OSError),
    # An encrypted member, one packed in a way that Python does not know, and whatever numbers in a head mean.
    *(RuntimeError, NotImplementedError, ValueError, OverflowError),
)


class ArchiveFault(ValueError):
    """An archive that cannot be read, or is larger than any package of weights; the message names it."""


def members(archive: Path, wanted: Mapping[str, int]) -> Iterator[tuple[str, bytes]]:
    """Name and content of the archive's files that are named as wanted, in whatever folder, and have that size.

    Args:
        archive: zip (so wheels too), or tar, plain or with gzip (so npm's packages and pip's sources).
        wanted: size in bytes by name without folders.

    Raises:
        ArchiveFault: it is no such archive, damaged, encrypted, or too large.
        FileNotFoundError: there is none.
    """
    if not archive.is_file():
        raise FileNotFoundError(f"{archive}: no such file")
    try:
        yield from _of_zip(archive, wanted) if zipfile.is_zipfile(archive) else _of_tar(archive, wanted)
    except ArchiveFault:
        raise
    except _UNREADABLE as error:
        raise ArchiveFault(f"{archive}: is no zip or tar archive that can be read ({error}); fetch it again") from error


def _of_tar(archive: Path, wanted: Mapping[str, int]) -> Iterator[tuple[str, bytes]]:
    with archive.open("rb") as packed:
        is_gzip = packed.read(2) == b"\x1f\x8b"
        packed.seek(0)
        unpacked = _Limited(archive, gzip.GzipFile(fileobj=packed) if is_gzip else packed)
        # As a stream: nothing is looked up by its place, so every byte is unpacked once at most.
        with tarfile.open(fileobj=unpacked, mode="r|") as opened:
            for number, member in enumerate(opened):
                _check_count(archive, number)
                name = member.name.rpartition("/")[2]
                if member.isreg() and wanted.get(name) == member.size:
                    found = opened.extractfile(member)
                    if found is not None:
                        yield name, found.read(member.size)


def _of_zip(archive: Path, wanted: Mapping[str, int]) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(archive) as opened:
        for number, member in enumerate(opened.infolist()):
            _check_count(archive, number)
            name = member.filename.rpartition("/")[2]
            if wanted.get(name) == member.file_size:
                with opened.open(member) as found:
                    yield name, found.read(member.file_size)


class _Limited(io.RawIOBase):
    """A stream that ends in an error once more was read of it than a package of weights has."""

    def __init__(self, archive: Path, stream: gzip.GzipFile | io.BufferedReader) -> None:
        self._archive, self._stream, self._left = archive, stream, MOST_BYTES

    def read(self, size: int = -1) -> bytes:
        content = self._stream.read(size)
        self._left -= len(content)
        if self._left < 0:
            raise ArchiveFault(
                f"{self._archive}: over {MOST_BYTES >> 20} MiB unpacked, no package of weights is so large"
            )
        return content


def _check_count(archive: Path, number: int) -> None:
    if number >= MOST_MEMBERS:
        raise ArchiveFault(f"{archive}: over {MOST_MEMBERS} files, no package of weights has so many")
