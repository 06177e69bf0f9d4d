"""Who prepares the sources: this process, worker processes (process_crew.py), or actors of a Ray cluster (ray_crew.py).

The rules are the same everywhere and stand here once: a worker has one source at a time; one that dies or runs past the
time limit is replaced; a source whose worker died is tried again later; a fault of the output stops the run. Knows
workers, not what lies on disk (records.py).
"""

from __future__ import annotations

import errno
import os
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from fada.data.prepare.models import FaceFinder
from fada.data.prepare.reasons import Reason, Rejection
from fada.data.prepare.report import SourceRecord
from fada.data.prepare.source import PrepareSettings, prepare_source

LoadFinder = Callable[[], FaceFinder]
"""Loads the models; called once in each worker, so it must be picklable."""
_OUTPUT_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
_FAILED_STARTS = 3


@dataclass(frozen=True)
class Task:
    """One source and how it shall be prepared."""

    path: Path
    sha256: str
    identity: str
    out: Path
    settings: PrepareSettings
    fingerprint: str


class WorkerDied(Exception):
    """The worker is gone: killed, crashed, or its machine was lost."""


class Worker(Protocol):
    """Prepares one source at a time with models that are loaded once."""

    def give(self, task: Task) -> None:
        """Begin with a source; does not wait."""

    def take(self) -> SourceRecord | None:
        """What the worker has to say once :meth:`Crew.wait` names it: None for "models loaded", or a record.

        Raises:
            WorkerDied: it will say nothing more.
            Exception: the models cannot be loaded, or the output cannot be written.
        """

    def kill(self) -> None:
        """End the worker at once, whatever it does."""


class Crew(Protocol):
    """Where workers come from."""

    size: int
    """Workers at a time."""
    attempts: int
    """How often a source is tried whose worker dies."""
    retries_alone: bool
    """Whether the later tries are made one at a time: several sources may have been too much for one machine."""

    def hire(self) -> Any:
        """A new worker that begins to load the models."""

    def wait(self, workers: list[Any], seconds: float | None) -> list[Any]:
        """Those with something to say, as soon as there are any; none after so many seconds."""


def run_here(tasks: Iterable[Task], load_finder: LoadFinder) -> Iterator[tuple[Task, SourceRecord]]:
    """Prepare the sources one after the other in this process: no time limit, and a crash is the caller's crash."""
    finder: FaceFinder | None = None
    try:
        for task in tasks:
            finder = finder or load_finder()
            yield task, attempt(task, finder)
    finally:
        if finder is not None:
            finder.close()


def attempt(task: Task, finder: FaceFinder) -> SourceRecord:
    """One source, in whichever process this is called; an error nobody foresaw rejects the source.

    Raises:
        OSError: the disk is full or not writable, which is no fault of the source.
    """
    try:
        return prepare_source(task.path, task.sha256, task.out, task.settings, task.fingerprint, finder, task.identity)
    except Exception as error:
        if getattr(error, "errno", None) in _OUTPUT_FAULTS:
            raise OSError(error.errno, os.strerror(error.errno), str(task.out)) from error  # type: ignore[attr-defined]
        place = traceback.extract_tb(error.__traceback__)[-1]
        what = f"{type(error).__name__}: {error}, at {Path(place.filename).name}:{place.lineno}"
        return rejected(task, f"preparing failed on this file ({what}); please report it", "failed")


def rejected(task: Task, detail: str, until: str = "") -> SourceRecord:
    """The record of a source that cannot be prepared; one that says ``until`` holds only for runs that say the same."""
    rejection = Rejection(str(task.path), Reason.UNDECODABLE, 0.0, None, detail)
    settings = task.fingerprint + (f"-{until}" if until else "")
    return SourceRecord(str(task.path), task.sha256, settings, None, 0.0, (), (rejection,))


def limit_name(timeout_seconds: float) -> str:
    """How records of sources given up on name the time limit: under another limit they are tried again."""
    return f"{timeout_seconds:g}s"


def run_crew(
    tasks: Iterable[Task], crew: Crew, timeout_seconds: float | None = None
) -> Iterator[tuple[Task, SourceRecord]]:
    """Prepare the sources with a crew, in the order in which they are finished.

    Tasks are taken from the iterable as workers become free. A source that takes longer than ``timeout_seconds`` is
    given up on, its worker killed.

    Raises:
        ModelError: a worker cannot load the models.
        OSError: the output cannot be written.
        RuntimeError: workers die while they start.
    """
    for number in range(crew.attempts):
        shift = _Shift(crew, crew.size if number == 0 or not crew.retries_alone else 1, timeout_seconds)
        yield from shift.run(tasks)
        tasks = shift.crashed
    for task in tasks:
        yield task, rejected(task, f"the decoder or the face model crashed on this file, {crew.attempts} times")


@dataclass
class _Post:
    worker: Worker
    is_ready: bool = False
    task: Task | None = None
    deadline: float = float("inf")


class _Shift:
    """One go through the tasks; those whose worker died are left in ``crashed``."""

    def __init__(self, crew: Crew, size: int, timeout_seconds: float | None) -> None:
        self.crashed: list[Task] = []
        self._crew, self._size, self._timeout = crew, size, timeout_seconds
        self._posts: list[_Post] = []
        self._queue: deque[Task] = deque()
        self._failed_starts = 0

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, SourceRecord]]:
        source = iter(tasks)
        try:
            while self._assign(source):
                yield from self._answers()
                yield from self._overdue()
        finally:
            for post in self._posts:
                post.worker.kill()

    def _assign(self, source: Iterator[Task]) -> bool:
        """Hire as many as there is work for and hand out tasks; whether anything is left to wait for."""
        free = [post for post in self._posts if post.task is None]
        room = self._size - len(self._posts)
        self._queue.extend(islice(source, max(0, len(free) + room - len(self._queue))))
        # A task is given to whoever is ready first: on a full cluster some workers may never start.
        for _ in range(min(room, len(self._queue) - len(free))):
            self._posts.append(_Post(self._crew.hire()))
        for post in free:
            if post.is_ready and self._queue:
                post.task = self._queue.popleft()
                post.deadline = float("inf") if self._timeout is None else time.monotonic() + self._timeout
                post.worker.give(post.task)
        return bool(self._queue) or any(post.task for post in self._posts)

    def _answers(self) -> Iterator[tuple[Task, SourceRecord]]:
        expected = {post.worker: post for post in self._posts if post.task is not None or not post.is_ready}
        nearest = min(post.deadline for post in expected.values())
        seconds = None if nearest == float("inf") else max(0.0, nearest - time.monotonic())
        for worker in self._crew.wait(list(expected), seconds):
            post = expected[worker]
            try:
                record = worker.take()
            except WorkerDied as died:
                self._bury(post, died)
                continue
            if record is None:
                post.is_ready, self._failed_starts = True, 0
                continue
            task, post.task, post.deadline = post.task, None, float("inf")
            assert task is not None
            yield task, record

    def _bury(self, post: _Post, died: WorkerDied) -> None:
        self._posts.remove(post)
        post.worker.kill()
        if post.task is not None:
            self.crashed.append(post.task)
            return
        self._failed_starts += 1
        if self._failed_starts == _FAILED_STARTS:
            raise RuntimeError(
                f"{_FAILED_STARTS} workers died while they started ({died}); a script that prepares videos must do so "
                "under `if __name__ == '__main__':`, and the face model must load on the workers' machines"
            ) from died

    def _overdue(self) -> Iterator[tuple[Task, SourceRecord]]:
        for post in [each for each in self._posts if each.deadline <= time.monotonic()]:
            assert post.task is not None
            assert self._timeout is not None
            self._posts.remove(post)
            post.worker.kill()
            detail = (
                f"not done within {self._timeout / 60:g} minutes, given up: decoding or the face model hangs on this "
                "file, or it is too long; raise the time limit (--timeout-minutes) to try again"
            )
            yield post.task, rejected(post.task, detail, limit_name(self._timeout))
