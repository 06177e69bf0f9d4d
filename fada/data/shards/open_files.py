"""Files of a folder that are read at any place: no more than some are open, and every process opens its own."""

from __future__ import annotations

import os
import stat
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_MOST_OPEN = 64
"""In a process, for a folder."""
LARGEST_READ = 2 * 2**30
"""Bytes that are read at once."""

Version = tuple[int, ...]
"""What tells content from earlier content."""


class OpenFiles:
    """Files of a folder that are read at any place; those last used stay open, in each process its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._opened: OrderedDict[str, int] = OrderedDict()
        self._process = os.getpid()
        self.version: Version | None = None
        """Of what `read_parts` read last: the file's place, time and size."""

    def forget(self) -> bool:
        """Whether what was read last is kept anywhere and can be got again: never."""
        return False

    def read_parts(
        self, name: str, places: Mapping[str, tuple[int, int]], neighbours: object = None
    ) -> dict[str, bytes]:
        """Bytes of a file at each place (offset, bytes), as `read`; neighbours need not be read along with it."""
        told = os.fstat(self._descriptor(name))
        self.version = (told.st_ino, told.st_mtime_ns, told.st_size)
        return {each: self.read(name, offset, size) for each, (offset, size) in places.items()}

    def read(self, name: str, offset: int, size: int) -> bytes:
        """Bytes of a file; none where the end of the file is missing: the hash will tell.

        Raises:
            OSError: there is no such file, or it cannot be read.
        """
        descriptor = self._descriptor(name)
        if not 0 <= size <= LARGEST_READ or offset + size > os.fstat(descriptor).st_size:
            return b""
        pieces, done = [], 0
        while done < size:
            # Linux reads at most 2 GiB at once, and less where a signal comes.
            piece = os.pread(descriptor, size - done, offset + done)
            if not piece:
                return b""
            pieces.append(piece)
            done += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _descriptor(self, name: str) -> int:
        if self._process != os.getpid():
            # Inherited by a fork: their owner closes them.
            self._opened, self._process = OrderedDict(), os.getpid()
        if name in self._opened:
            self._opened.move_to_end(name)
            return self._opened[name]
        # A pipe would keep the reader waiting.
        opened = os.open(self.folder / name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            os.close(opened)
            raise OSError(f"{name} is no ordinary file")
        self._opened[name] = opened
        if len(self._opened) > _MOST_OPEN:
            os.close(self._opened.popitem(last=False)[1])
        return opened

    def close(self) -> None:
        """Close what is open."""
        if self._process == os.getpid():
            for descriptor in self._opened.values():
                os.close(descriptor)
        self._opened = OrderedDict()

    def __del__(self) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["folder"])  # type: ignore[misc]
