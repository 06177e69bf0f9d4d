"""The progress bar of every training: steps done, rate, loss, time gone and time left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from fada.terminal import printable


class OnStep(Protocol):
    """Told of a step that is done: its number, the loss, and which share of the time went into waiting for data."""

    def __call__(self, step: int, loss: float, data_share: float | None = None) -> None: ...


@contextmanager
def step_bar(name: str, total: int, console: Console, first: int = 0) -> Iterator[OnStep]:
    """A bar that is told the steps done, the loss, and how much time data took; a resumed run starts at `first`."""
    columns = (
        TextColumn("{task.description}", style="bold", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TextColumn("loss {task.fields[loss]}{task.fields[data]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, refresh_per_second=2) as bar:
        task = bar.add_task(printable(name, 60), total=total, completed=first, loss="–", rate="", data="")

        def on_step(step: int, loss: float, data_share: float | None = None) -> None:
            speed = bar.tasks[0].speed
            rate = "" if not speed else (f"{speed:.2f} it/s" if speed >= 1 else f"{1 / speed:.2f} s/it")
            data = "" if data_share is None else f", data {data_share:.1%}"
            bar.update(task, completed=step, loss=f"{loss:.4f}", rate=rate, data=data)

        yield on_step


@contextmanager
def sample_bar(name: str, total: int, console: Console) -> Iterator[Callable[[int], None]]:
    """A bar that is told how many more samples are done."""
    columns = (
        TextColumn("{task.description}", style="bold", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, refresh_per_second=2) as bar:
        task = bar.add_task(printable(name, 60), total=total)
        yield lambda count: bar.advance(task, count)
