"""Who prepares the sources: this process, worker processes, or actors of a Ray cluster.

What happens to workers that die or hang is decided in fada/data/workers/crew.py, what becomes of their sources here:
they are rejected with the reason. A fault of the output stops the run.
"""

from __future__ import annotations

import errno
import os
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fada.data.prepare.identities import Identity
from fada.data.prepare.models import FaceFinder
from fada.data.prepare.reasons import Reason, Rejection
from fada.data.prepare.report import SourceRecord
from fada.data.prepare.source import PrepareSettings, prepare_source
from fada.data.workers.crew import Crew, Lost, run_crew

LoadFinder = Callable[[], FaceFinder]
"""Loads the models; called once in each worker, so it must be picklable."""
_OUTPUT_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


@dataclass(frozen=True)
class Task:
    """One source and how it shall be prepared."""

    path: Path
    sha256: str
    identity: Identity
    out: Path
    settings: PrepareSettings
    fingerprint: str


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


def run_with(
    tasks: Iterable[Task], crew: Crew, timeout_seconds: float | None = None
) -> Iterator[tuple[Task, SourceRecord]]:
    """Prepare the sources with a crew, in the order in which they are finished.

    A source that takes longer than ``timeout_seconds`` is given up on.

    Raises:
        ModelError: a worker cannot load the models.
        OSError: the output cannot be written.
        RuntimeError: workers die while they start.
    """
    for task, outcome in run_crew(tasks, crew, timeout_seconds):
        if not isinstance(outcome, Lost):
            yield task, outcome
        elif outcome.reason == "died":
            detail = f"the decoder or the face model crashed on this file, {outcome.attempts} times"
            yield task, rejected(task, detail)
        else:
            assert timeout_seconds is not None
            detail = (
                f"not done within {timeout_seconds / 60:g} minutes, given up: decoding or the face model hangs on this "
                "file, or it is too long; raise the time limit (--timeout-minutes) to try again"
            )
            yield task, rejected(task, detail, limit_name(timeout_seconds))


def gone(task: Task) -> SourceRecord:
    """What came of a source that lay there when the run began, and lies there no more."""
    return rejected(task, f"{task.path}: no such file any more")


def load_attempt(load_finder: LoadFinder) -> Callable[[Task], SourceRecord]:
    """What a worker process does with each source, its models loaded."""
    return partial(_attempt_with, load_finder())


def _attempt_with(finder: FaceFinder, task: Task) -> SourceRecord:
    return attempt(task, finder)
