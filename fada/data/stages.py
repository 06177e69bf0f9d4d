"""Where the time of work in stages goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.table import Table

T = TypeVar("T")


class StageClock:
    """Adds up the seconds that named stages take; a stage within another is not counted in the outer one.

    Args:
        wait: called at the end of a stage: for a device that works on by itself.
    """

    def __init__(self, wait: Callable[[], None] | None = None) -> None:
        self.seconds: dict[str, float] = {}
        self._wait = wait
        self._inner = [0.0]
        self._began = time.perf_counter()

    def elapsed(self) -> float:
        """Seconds since the clock was made."""
        return time.perf_counter() - self._began

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """The block belongs to this stage."""
        began = time.perf_counter()
        self._inner.append(0.0)
        try:
            yield
            if self._wait is not None:
                self._wait()
        finally:
            took = time.perf_counter() - began
            self.seconds[name] = self.seconds.get(name, 0.0) + took - self._inner.pop()
            self._inner[-1] += took

    def each(self, name: str, items: Iterable[T]) -> Iterator[T]:
        """The items; making each of them belongs to this stage."""
        stream = iter(items)
        while True:
            with self(name):
                try:
                    item = next(stream)
                except StopIteration:
                    return
            yield item

    def rounded(self) -> dict[str, float]:
        """Seconds by stage, to the millisecond."""
        return {name: round(seconds, 3) for name, seconds in self.seconds.items()}


def add_up(parts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Seconds by stage over many clips or sources."""
    total: dict[str, float] = {}
    for part in parts:
        for name, seconds in part.items():
            total[name] = total.get(name, 0.0) + seconds
    return total


def throughput(seconds: Mapping[str, float], clips: int) -> Table:
    """For the terminal: seconds, share, and how many clips an hour of one core would do of each stage."""
    from rich.table import Table

    table = Table(title="where the time went", title_justify="left")
    for column in ("stage", "seconds", "share", "clips per core and hour"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    whole = sum(seconds.values())
    for name, spent in [*sorted(seconds.items(), key=lambda pair: -pair[1]), ("all", whole)]:
        rate = f"{3600 * clips / spent:,.0f}" if spent > 0 and clips else ""
        table.add_row(name, f"{spent:.1f}", f"{spent / whole:.0%}" if whole else "", rate)
    return table
