"""Bytes of a store kept on a local disk: bounded, shared by a machine's processes, least recently used go first.

An entry is a file that appears whole and carries a checksum: a kill leaves none that is half, and a damaged one counts
as missing; what members hold is looked at by their own hashes. A disk that is full costs the cache, not the training.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import re
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fada.files.folders import take_folder
from fada.files.whole import is_leftover, whole_file

KIND = "cache"
"""What fada's mark says in a cache's folder."""
KEPT = 0.75
"""Share of the limit that is left when room is made: what processes add before they look again fits in the rest."""
LOOKS = 64
"""A process looks at the whole folder when it has added this part of the limit."""
STALE_SECONDS = 3600.0
"""Age of a file that a killed process left half."""
_ENTRY = re.compile(r"[0-9a-f]{64}")
_HALF = re.compile(r"[0-9a-f]{64}\.half-\d+")
"""What an earlier version of fada left half."""
_SUM_BYTES = 8
logger = logging.getLogger(__name__)


class PartsCache:
    """Entries by name in a folder of their own.

    Args:
        limit: bytes of all entries; up to some 16 processes keep it.

    Raises:
        FolderFault: the folder holds what fada did not make.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        take_folder(folder, KIND)
        self.folder, self.limit = folder, limit
        self._added = limit
        self.is_full = False

    def get(self, name: str, fetch: Callable[[], bytes]) -> bytes:
        """What is kept under a name, else what `fetch` brings, which is kept.

        Raises:
            Exception: what `fetch` raises.
        """
        return self.find(name, fetch)[0]

    def find(self, name: str, fetch: Callable[[], bytes]) -> tuple[bytes, int | None]:
        """As `get`; and the checksum of what was kept, None for what was brought.

        Raises:
            Exception: what `fetch` raises.
        """
        file = self._file(name)
        kept = _read(file)
        if kept is not None:
            return kept
        data = fetch()
        self.keep(name, data)
        return data, None

    def peek(self, name: str) -> bytes | None:
        """What is kept under a name, None where nothing is."""
        kept = _read(self._file(name))
        return None if kept is None else kept[0]

    def keep(self, name: str, data: bytes) -> None:
        """Keep bytes under a name, where there is room for them."""
        if not self.is_full and _SUM_BYTES + len(data) <= self.limit / LOOKS:
            self._keep(self._file(name), data)

    @contextmanager
    def bringing(self, name: str) -> Iterator[None]:
        """Within the block no other process of the machine brings what has this name; it waits until it is there."""
        number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:1], "big")
        with _alone(self.folder / f".lock-{number:02x}"):
            yield

    def forget(self, name: str) -> bool:
        """Remove what is kept under a name, and say whether there was anything."""
        try:
            self._file(name).unlink()
        except OSError:
            return False
        return True

    def _file(self, name: str) -> Path:
        digest = hashlib.sha256(name.encode()).hexdigest()
        return self.folder / digest[:2] / digest

    def _keep(self, file: Path, data: bytes) -> None:
        try:
            self._added += _SUM_BYTES + len(data)
            if self._added >= self.limit / LOOKS:
                self._make_room()
            file.parent.mkdir(exist_ok=True)
            with whole_file(file, is_synced=False) as half, half.open("wb") as stream:
                stream.write(_sum_of(data))
                stream.write(data)
        except OSError as error:
            self.is_full = True
            logger.warning("%s: nothing more is kept there (%s); clips come from the store", self.folder, error)

    def _make_room(self) -> None:
        """Remove what was not used for longest; one process of the machine at a time.

        The others wait: went they on, they would fill the disk while it looks.
        """
        with _alone(self.folder / ".lock"):
            self._added = 0
            entries = sorted(_entries(self.folder))
            total = sum(size for _, size, _ in entries)
            if total <= self.limit * KEPT:
                return
            for used, size, file in entries:
                if total <= self.limit * KEPT:
                    break
                if _ENTRY.fullmatch(file.name) or time.time() - used > STALE_SECONDS:
                    file.unlink(missing_ok=True)
                    total -= size

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder, "limit": self.limit}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["folder"], state["limit"])  # type: ignore[misc]


def _read(file: Path) -> tuple[bytes, int] | None:
    """What an entry holds, and its checksum; None where there is none that is whole. It counts as used now."""
    try:
        held = file.read_bytes()
        with memoryview(held) as seen:
            is_whole = _sum_of(seen[_SUM_BYTES:]) == held[:_SUM_BYTES]
        if is_whole:
            os.utime(file)
            return held[_SUM_BYTES:], int.from_bytes(held[:_SUM_BYTES], "little")
        file.unlink(missing_ok=True)
    except OSError:
        # Another process has just removed it.
        pass
    return None


def _sum_of(data: bytes | memoryview) -> bytes:
    """Against what disks do: as long as what it is of, and a checksum."""
    return (len(data) % 2**32).to_bytes(4, "little") + zlib.crc32(data).to_bytes(4, "little")


def _entries(folder: Path) -> Iterator[tuple[float, int, Path]]:
    """When each entry was used last, its bytes, and its file; what is not ours is passed over."""
    for inner in os.scandir(folder):
        if not re.fullmatch(r"[0-9a-f]{2}", inner.name) or not inner.is_dir(follow_symlinks=False):
            continue
        for entry in os.scandir(inner):
            if any(is_ours(entry.name) for is_ours in (_ENTRY.fullmatch, _HALF.fullmatch, is_leftover)):
                try:
                    told = entry.stat(follow_symlinks=False)
                except OSError:
                    continue
                yield told.st_mtime, told.st_size, Path(entry.path)


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """This process alone is in such a block, once the others have left it; a kill leaves it, too."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
