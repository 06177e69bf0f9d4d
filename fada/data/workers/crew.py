"""Tasks given to workers one at a time, whatever becomes of the workers.

The rules are the same for processes of this machine (process_crew.py) and for actors of a cluster
(ray_crew.py), and stand here once: a worker that dies or runs past the time limit is replaced; a task whose
worker died is tried again later; a task that no worker survives is lost, and the others go on. Knows neither what a
task is nor what lies on disk.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, Literal, Protocol, TypeVar

Task = TypeVar("Task")
_FAILED_STARTS = 3

READY = object()
"""What a worker has to say when it has loaded what it needs."""


@dataclass(frozen=True)
class Lost:
    """What came of a task that no worker finished."""

    reason: Literal["died", "overdue"]
    """Every worker that had it died, or it took longer than the time limit."""
    attempts: int
    detail: str
    """How the last worker ended."""


class WorkerDied(Exception):
    """The worker is gone: killed, crashed, or its machine was lost."""


class Worker(Protocol):
    """Does one task at a time with what it has loaded once."""

    def give(self, task: Any) -> None:
        """Begin with a task; does not wait."""

    def take(self) -> Any:
        """What the worker has to say once :meth:`Crew.wait` names it: :data:`READY`, or a task's result.

        Raises:
            WorkerDied: it will say nothing more.
            Exception: it cannot load what it needs, or the work itself raised.
        """

    def kill(self) -> None:
        """End the worker at once, whatever it does."""


class Crew(Protocol):
    """Where workers come from."""

    size: int
    """Workers at a time."""
    attempts: int
    """How often a task is tried whose worker dies."""
    retries_alone: bool
    """Whether the later tries are made one at a time: several tasks may have been too much for one machine."""

    def hire(self) -> Any:
        """A new worker that begins to load what it needs."""

    def wait(self, workers: list[Any], seconds: float | None) -> list[Any]:
        """Those with something to say, as soon as there are any; none after so many seconds."""


def run_crew(
    tasks: Iterable[Task],
    crew: Crew,
    timeout_seconds: float | None = None,
    on_death: Callable[[Task, str], None] = lambda task, detail: None,
) -> Iterator[tuple[Task, Any | Lost]]:
    """Each task with its result, or with how it was lost, in the order in which they are finished.

    Tasks are taken from the iterable as workers become free. When the iterator is closed, its workers are ended.

    Args:
        on_death: told of each task whose worker died, with how it ended, when it does.

    Raises:
        Exception: what a worker raised.
        RuntimeError: workers die while they start.
    """
    crashed: list[tuple[Task, str]] = []
    for number in range(crew.attempts):
        shift = _Shift[Task](crew, crew.size if number == 0 or not crew.retries_alone else 1, timeout_seconds, on_death)
        yield from shift.run(tasks)
        crashed = shift.crashed
        tasks = [task for task, _ in crashed]
    for task, detail in crashed:
        yield task, Lost("died", crew.attempts, detail)


@dataclass
class _Post(Generic[Task]):
    worker: Worker
    is_ready: bool = False
    task: Task | None = None
    deadline: float = float("inf")


class _Shift(Generic[Task]):
    """One go through the tasks; those whose worker died are left in ``crashed``, with how it ended."""

    def __init__(
        self, crew: Crew, size: int, timeout_seconds: float | None, on_death: Callable[[Task, str], None]
    ) -> None:
        self.crashed: list[tuple[Task, str]] = []
        self._crew, self._size, self._timeout, self._on_death = crew, size, timeout_seconds, on_death
        self._posts: list[_Post[Task]] = []
        self._queue: deque[Task] = deque()
        self._failed_starts = 0

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Any | Lost]]:
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
        return bool(self._queue) or any(post.task is not None for post in self._posts)

    def _answers(self) -> Iterator[tuple[Task, Any]]:
        expected = {post.worker: post for post in self._posts if post.task is not None or not post.is_ready}
        nearest = min(post.deadline for post in expected.values())
        seconds = None if nearest == float("inf") else max(0.0, nearest - time.monotonic())
        for worker in self._crew.wait(list(expected), seconds):
            post = expected[worker]
            try:
                answer = worker.take()
            except WorkerDied as died:
                self._bury(post, died)
                continue
            if answer is READY:
                post.is_ready, self._failed_starts = True, 0
                continue
            task, post.task, post.deadline = post.task, None, float("inf")
            assert task is not None
            yield task, answer

    def _bury(self, post: _Post[Task], died: WorkerDied) -> None:
        self._posts.remove(post)
        post.worker.kill()
        if post.task is not None:
            self.crashed.append((post.task, str(died)))
            self._on_death(post.task, str(died))
            return
        self._failed_starts += 1
        if self._failed_starts == _FAILED_STARTS:
            raise RuntimeError(
                f"{_FAILED_STARTS} workers died while they started ({died}); a script that starts workers must do so "
                "under `if __name__ == '__main__':`, and their models must load on the workers' machines"
            ) from died

    def _overdue(self) -> Iterator[tuple[Task, Lost]]:
        for post in [each for each in self._posts if each.deadline <= time.monotonic()]:
            assert post.task is not None
            self._posts.remove(post)
            post.worker.kill()
            yield post.task, Lost("overdue", 1, f"not done within {self._timeout:g} s")
