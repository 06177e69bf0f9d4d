"""The progress of verbs that report (done, in all): a bar on a terminal, lines at intervals in a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SECONDS_BETWEEN_LINES = 30.0


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """Shows count and time left on standard error while it is open; yields what is to be called with (done, in all)."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from fada.terminal import SafeConsole, printable

    console = SafeConsole(stderr=True)
    label = printable(label, 60)
    if not console.is_terminal:
        yield ProgressLines(label, lambda line: console.print(line, highlight=False, soft_wrap=True))
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(label, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


class ProgressLines:
    """A line for the first report, then one every half minute, and one at the end: what a batch job's log can hold.

    Args:
        label: what is going on.
        write: takes a line.
        clock: seconds; another only in tests.
    """

    def __init__(self, label: str, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._label, self._write, self._clock = label, write, clock
        self._began = clock()
        self._first: int | None = None
        self._last = float("-inf")

    def __call__(self, done: int, total: int) -> None:
        now = self._clock()
        if self._first is None:
            # What an earlier call had done says nothing of the speed.
            self._first = max(0, done - 1)
        if done < total and now - self._last < SECONDS_BETWEEN_LINES:
            return
        self._last = now
        spent, made = now - self._began, done - self._first
        left = f", about {_duration(spent / made * (total - done))} left" if made > 0 and done < total else ""
        share = f"{done / total:.0%}" if total else "100%"
        self._write(f"{self._label}: {done} of {total} ({share}) after {_duration(spent)}{left}")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
