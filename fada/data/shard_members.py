"""Members of a tar, in order: damaged headers are stepped over and named, and nothing leaves the tar."""

import tarfile
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

from webdataset.tariterators import base_plus_ext

Skip = Callable[[str, str, str], None]
"""Called with shard, member and reason."""


def read_members(file: Path, suffixes: Collection[str], skip: Skip) -> Iterator[tuple[str, bytes]]:
    """Names and bytes of a tar's files of these suffixes.

    A damaged header is stepped over, block by block, until the next good one.
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        try:
            # ignore_zeros makes tarfile step over blocks that are no header instead of ending there.
            archive = tarfile.TarFile(fileobj=stream, ignore_zeros=True)
        except (tarfile.TarError, OSError) as error:
            skip(file.name, "*", f"not a tar: {error}")
            return
        while True:
            try:
                member = archive.next()
            except (tarfile.TarError, OSError, ValueError) as error:
                archive.offset += tarfile.BLOCKSIZE
                if archive.offset < size:
                    continue
                skip(file.name, "*", f"ends early: {error}")
                return
            if member is None:
                return
            if not member.isfile() or "/" in member.name or ".." in member.name:
                skip(file.name, ascii(member.name), "not a plain file of this shard")
                continue
            if base_plus_ext(member.name)[1] in suffixes:
                yield member.name, _read_bytes(archive, member)


def _read_bytes(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    try:
        content = archive.extractfile(member)
        return b"" if content is None else content.read()
    except (tarfile.TarError, OSError):
        # The end of the file is missing: the hash will tell.
        return b""


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
