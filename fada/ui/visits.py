"""Visits: from the opening of the page to its closing, with a folder that is removed when the visit ends.

A visit is known by a name that nobody can guess. It ends when the page says so, or when nothing was heard of it for a
while; at the end of the studio all do.
"""

from __future__ import annotations

import secrets
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

IDLE_SECONDS = 30 * 60.0
"""Without a word from its page: browsers let hidden pages speak once a minute."""
MOST = 32
"""Visits at a time."""


class NoVisit(ValueError):
    """A visit that has ended, or never was."""


class TooManyVisits(ValueError):
    """No more pages can be open at a time."""


@dataclass
class Visit:
    """One open page: its folder, and the inputs that were uploaded."""

    name: str
    folder: Path
    heard: float
    portrait: Path | None = None
    speech: Path | None = None
    pages: list[Path] = field(default_factory=list)
    """Made of scored clips."""

    def new_file(self, kind: str) -> Path:
        """A path of a name of our own, for a file of this visit."""
        return self.folder / f"{kind}-{secrets.token_hex(8)}"


class Visits:
    """All open visits.

    Args:
        top: folder for theirs.
        on_end: told of a visit that ends, before its folder goes.
        clock: seconds; another only in tests.
    """

    def __init__(
        self,
        top: Path,
        on_end: Callable[[Visit], None] = lambda visit: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._top, self._on_end, self._clock = top, on_end, clock
        self._open: dict[str, Visit] = {}
        self._lock = threading.Lock()

    def open(self) -> Visit:
        """A new visit.

        Raises:
            TooManyVisits: `MOST` are open.
        """
        self.end_idle()
        with self._lock:
            if len(self._open) >= MOST:
                raise TooManyVisits(f"{MOST} pages are open; close one, or wait until one has been left")
            name = secrets.token_urlsafe(24)
            folder = self._top / name
            folder.mkdir(mode=0o700)
            self._open[name] = Visit(name, folder, self._clock())
            return self._open[name]

    def get(self, name: str) -> Visit:
        """An open visit, which is heard of by this.

        Raises:
            NoVisit: there is none of that name.
        """
        with self._lock:
            if name not in self._open:
                raise NoVisit("this visit has ended; reload the page")
            self._open[name].heard = self._clock()
            return self._open[name]

    def end(self, name: str) -> None:
        """End a visit, if it is open, and remove its folder."""
        with self._lock:
            visit = self._open.pop(name, None)
        if visit is not None:
            self._on_end(visit)
            shutil.rmtree(visit.folder, ignore_errors=True)

    def end_idle(self) -> None:
        """End the visits whose page has been silent for too long."""
        with self._lock:
            late = [name for name, visit in self._open.items() if self._clock() - visit.heard > IDLE_SECONDS]
        for name in late:
            self.end(name)

    def end_all(self) -> None:
        """End every visit."""
        with self._lock:
            names = list(self._open)
        for name in names:
            self.end(name)
