"""The progress of verbs that report (done, in all): a bar on a terminal, lines at intervals in a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SECONDS_BETWEEN_LINES = 30.0


@contextmanager
def progress_bar(label: str, unit: str = "") -> Iterator[Callable[[int, int], None]]:
    """Shows count and time left on standard error while it is open; yields what is to be called with (done, in all).

    Args:
        unit: what is counted, for a speed in it per second. The first call then says what an earlier command had done.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from fada.terminal import SafeConsole, printable

    console = SafeConsole(stderr=True)
    label = printable(label, 60)
    if not console.is_terminal:
        yield ProgressLines(label, lambda line: console.print(line, highlight=False, soft_wrap=True), unit=unit)
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    speed = (TextColumn("{task.fields[speed]}", markup=False),) if unit else ()
    with Progress(*columns, *speed, console=console, transient=True) as progress:
        task = progress.add_task(label, total=None, speed="")
        pace = _Pace(unit, time.monotonic)
        yield lambda done, total: progress.update(task, completed=done, total=total, speed=pace.told(done))


class _Pace:
    """Count per second since the first report, which counts what was there before."""

    def __init__(self, unit: str, clock: Callable[[], float]) -> None:
        self._unit, self._clock = unit, clock
        self._first: tuple[int, float] | None = None

    def told(self, done: int) -> str:
        """The speed, in words; nothing until there is one."""
        first, began = self._first = self._first or (done, self._clock())
        spent = self._clock() - began
        return f"{(done - first) / spent:.2g} {self._unit}/s" if self._unit and done > first and spent > 0 else ""


class ProgressLines:
    """A line for the first report, then one every half minute, and one at the end: what a batch job's log can hold.

    Args:
        label: what is going on.
        write: takes a line.
        clock: seconds; another only in tests.
        unit: as of `progress_bar`.
    """

    def __init__(
        self,
        label: str,
        write: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        unit: str = "",
    ) -> None:
        self._label, self._write, self._clock, self._unit = label, write, clock, unit
        self._pace = _Pace(unit, clock)
        self._began = clock()
        self._first: int | None = None
        self._last = float("-inf")

    def __call__(self, done: int, total: int) -> None:
        now, pace = self._clock(), self._pace.told(done)
        if self._first is None:
            # What an earlier call had done says nothing of the speed.
            self._first = done if self._unit else max(0, done - 1)
        if done < total and now - self._last < SECONDS_BETWEEN_LINES:
            return
        self._last = now
        spent, made = now - self._began, done - self._first
        left = f", about {_duration(spent / made * (total - done))} left" if made > 0 and done < total else ""
        share = f"{done / total:.0%}" if total else "100%"
        self._write(
            f"{self._label}: {done} of {total} ({share}) after {_duration(spent)}{f', {pace}' if pace else ''}{left}"
        )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
