"""Bytes of a store kept on a local disk: bounded, shared by a machine's processes, least recently used go first.

An entry is a file that appears whole and carries its length and a number of its own: a kill leaves none that is half,
and one of another length counts as missing. What it holds is looked at by the members' own hashes, whenever a process
meets a number for the first time. A disk that is full costs the cache, not the training.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
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
_HEAD_BYTES = 8
_LARGEST_READ = 2**30
"""Bytes that are read at once; Linux reads at most 2 GiB."""
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
        kept = self.parts(name, None)
        if kept is not None:
            return kept[0][0]
        data = fetch()
        self.keep(name, data)
        return data

    def parts(self, name: str, places: Sequence[tuple[int, int]] | None) -> tuple[list[bytes], int] | None:
        """Parts (offset, bytes) of what is kept under a name, None for all of it; and the number that tells it from
        what was kept there before. None where nothing is kept. It counts as used now.
        """
        return _read(self._file(name), places)

    def keep(self, name: str, *pieces: bytes | memoryview) -> None:
        """Keep bytes under a name, of pieces one after the other, where there is room for them."""
        size = sum(map(len, pieces))
        if not self.is_full and self.takes(size):
            self._keep(self._file(name), _HEAD_BYTES + size, pieces)

    def takes(self, size: int) -> bool:
        """Whether so many bytes are few enough for one entry."""
        return _HEAD_BYTES + size <= self.limit / LOOKS

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

    def _keep(self, file: Path, size: int, pieces: Sequence[bytes | memoryview]) -> None:
        try:
            self._added += size
            if self._added >= self.limit / LOOKS:
                self._make_room()
            with whole_file(file, is_synced=False) as half, half.open("wb") as stream:
                _take_room(stream.fileno(), size)
                stream.write(_length_of(size - _HEAD_BYTES) + secrets.token_bytes(4))
                stream.writelines(pieces)
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


def _take_room(descriptor: int, size: int) -> None:
    """Room for a file's bytes at once, where system and file system can: it takes a third less than piece by piece.

    Raises:
        OSError: the disk is full.
    """
    try:
        os.posix_fallocate(descriptor, 0, size)
    except AttributeError:
        # macOS has no such call.
        pass
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENODEV):
            raise


def _read(file: Path, places: Sequence[tuple[int, int]] | None) -> tuple[list[bytes], int] | None:
    """Parts of what an entry holds (None: all of it), and its number; None where there is none of its length."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        size = os.fstat(descriptor).st_size - _HEAD_BYTES
        head = os.pread(descriptor, _HEAD_BYTES, 0)
        wanted = [(0, size)] if places is None else places
        if size >= 0 and head[:4] == _length_of(size) and all(offset + length <= size for offset, length in wanted):
            found = [_read_part(descriptor, _HEAD_BYTES + offset, length) for offset, length in wanted]
            os.utime(descriptor)
            return found, int.from_bytes(head, "little")
        file.unlink(missing_ok=True)
    except OSError:
        # Another process has just removed it, or the disk cannot read it.
        pass
    finally:
        os.close(descriptor)
    return None


def _read_part(descriptor: int, offset: int, size: int) -> bytes:
    """So many bytes, fewer where the file has just been cut."""
    pieces, done = [], 0
    while done < size:
        piece = os.pread(descriptor, min(size - done, _LARGEST_READ), offset + done)
        if not piece:
            break
        pieces.append(piece)
        done += len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _length_of(size: int) -> bytes:
    return (size % 2**32).to_bytes(4, "little")


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
