"""Videos that are asked for, made one at a time, in the order in which they were asked for.

Knows queues, progress and cancelling. Does not know models: how a take is made is given (videos.py).
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from fada.files.shareable import shareable_text

MOST_WAITING = 8
"""Jobs that may wait, of all pages."""
MOST_OF_A_VISIT = 2
"""Jobs of one page that are not done."""
MOST_KEPT = 20
"""Finished jobs of one page whose videos stay; older ones go when new ones come."""
State = Literal["waiting", "opening", "making", "done", "failed", "cancelled"]
logger = logging.getLogger(__name__)


class Cancelled(Exception):
    """The page asked to stop, or was closed."""


class TooMany(ValueError):
    """No more can wait."""


@dataclass(frozen=True)
class Asked:
    """What one video is made with; None is the model's own."""

    model: str
    steps: int | None = None
    scales: Mapping[str, float] = field(default_factory=dict)
    emotion: Mapping[str, float] | None = None
    seed: int = 0
    seconds: float | None = None


@dataclass
class Take:
    """One video in the making: what is known of it so far. Written by the thread that makes it, read by others."""

    asked: Asked
    folder: Path
    state: State = "waiting"
    steps: tuple[int, int] = (0, 0)
    """Denoising steps that are done, and in all."""
    frames: tuple[int, int] = (0, 0)
    figures: dict[str, Any] = field(default_factory=dict)
    """When it is done: clips, evaluations, seconds of each stage, noise."""
    warnings: list[str] = field(default_factory=list)
    message: str = ""
    cancel: threading.Event = field(default_factory=threading.Event)

    @property
    def live(self) -> Path:
        """The video that grows."""
        return self.folder / "live.mp4"

    @property
    def video(self) -> Path:
        """The finished one."""
        return self.folder / "video.mp4"

    @property
    def has_ended(self) -> bool:
        return self.state in ("done", "failed", "cancelled")

    def on_step(self, done: int, in_all: int) -> None:
        """Note progress, or leave.

        Raises:
            Cancelled: the page asked to stop.
        """
        if self.cancel.is_set():
            raise Cancelled
        self.steps = (done, in_all)

    def to_json(self) -> dict[str, Any]:
        """For the page."""
        return {
            "state": self.state,
            "steps": self.steps,
            "frames": self.frames,
            "figures": self.figures,
            "warnings": self.warnings,
            "message": self.message,
        }


@dataclass
class Job:
    """What a page asked for at once: one take, or two to compare, of the same portrait and sound."""

    visit: str
    portrait: Path
    speech: Path
    takes: Sequence[Take]
    name: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def has_ended(self) -> bool:
        return all(take.has_ended for take in self.takes)


class Maker:
    """The queue, and the thread that works on it.

    Args:
        make: makes a take's video; called with the job and the take, raises Cancelled when the take says so.
    """

    def __init__(self, make: Callable[[Job, Take], None]) -> None:
        self._make = make
        self._jobs: dict[str, Job] = {}
        self._changed = threading.Condition()
        self._is_closing = False
        self._thread = threading.Thread(target=self._work, daemon=True, name="fada-studio")
        self._thread.start()

    def add(self, job: Job) -> None:
        """Put a job at the end of the queue.

        Raises:
            TooMany: the queue is full, of all pages or of this one.
        """
        with self._changed:
            open_jobs = [each for each in self._jobs.values() if not each.has_ended]
            if sum(each.visit == job.visit for each in open_jobs) >= MOST_OF_A_VISIT:
                raise TooMany("this page has a video in the making and one waiting; wait, or cancel one")
            if len(open_jobs) >= MOST_WAITING:
                raise TooMany(f"{MOST_WAITING} videos wait already; try again when some are done")
            self._forget_old(job.visit)
            self._jobs[job.name] = job
            self._changed.notify_all()

    def get(self, visit: str, name: str) -> Job | None:
        """A page's own job; None for another's, or none."""
        job = self._jobs.get(name)
        return job if job is not None and job.visit == visit else None

    def place(self, job: Job) -> int:
        """How many jobs are before one in the queue."""
        with self._changed:
            before = 0
            for each in self._jobs.values():
                if each is job:
                    break
                before += not each.has_ended
            return before

    def cancel(self, job: Job) -> None:
        """Ask a job to stop; what waits is cancelled at once."""
        with self._changed:
            for take in job.takes:
                take.cancel.set()
                if take.state == "waiting":
                    take.state = "cancelled"

    def leave(self, visit: str) -> None:
        """Cancel and forget what a page asked for that is closed; returns when nothing of it is being written."""
        with self._changed:
            jobs = [job for job in self._jobs.values() if job.visit == visit]
        for job in jobs:
            self.cancel(job)
        with self._changed:
            self._changed.wait_for(lambda: all(job.has_ended for job in jobs), timeout=60)
            for job in jobs:
                self._jobs.pop(job.name, None)

    def close(self) -> None:
        """Cancel everything and end the thread."""
        with self._changed:
            self._is_closing = True
            jobs = list(self._jobs.values())
            self._changed.notify_all()
        for job in jobs:
            self.cancel(job)
        self._thread.join(timeout=60)

    def _forget_old(self, visit: str) -> None:
        ended = [job for job in self._jobs.values() if job.visit == visit and job.has_ended]
        for job in ended[: max(0, len(ended) - MOST_KEPT + 1)]:
            del self._jobs[job.name]
            for take in job.takes:
                take.live.unlink(missing_ok=True)
                take.video.unlink(missing_ok=True)

    def _next(self) -> Job | None:
        return next((job for job in self._jobs.values() if not job.has_ended), None)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_closing or self._next() is not None)
                job = self._next()
                if self._is_closing or job is None:
                    return
            for take in job.takes:
                if not take.has_ended:
                    self._take(job, take)

    def _take(self, job: Job, take: Take) -> None:
        state: State = "done"
        try:
            if take.cancel.is_set():
                raise Cancelled
            take.state = "opening"
            take.folder.mkdir(parents=True)
            self._make(job, take)
        except Cancelled:
            state = "cancelled"
        except (ValueError, OSError, ImportError) as error:
            state, take.message = "failed", shareable_text(str(error)) or type(error).__name__
        except Exception as error:
            # The thread goes on for the others, whatever a model does.
            logger.exception("making a video failed")
            state, take.message = "failed", f"{type(error).__name__}: {shareable_text(str(error))}"
        with self._changed:
            take.state = state
            self._changed.notify_all()
