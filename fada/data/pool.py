"""Work on many items in several processes of this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from fada.data.crew import Lost, run_crew
from fada.data.process_crew import ProcessCrew
from fada.media.processors import usable_processors

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class _Start(Generic[Item, Result]):
    """Prepares a worker process for its items."""

    work: Callable[[Item], Result]
    start: Callable[..., None] | None
    start_with: tuple[Any, ...]

    def __call__(self) -> Callable[[Item], Result]:
        if self.start is not None:
            self.start(*self.start_with)
        return self.work


def in_processes(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int,
    start: Callable[..., None] | None = None,
    start_with: tuple[Any, ...] = (),
) -> Iterator[tuple[Item, Result | Lost]]:
    """Each item with its result, in the order in which they finish; :class:`Lost` where every process died of it.

    An item whose process dies (killed, out of memory, crashed) is tried once more, alone; the others go on. All
    processes end when the iterator is closed and when this process ends. Spawned, so all arguments are pickled.

    Args:
        work: of one item.
        start, start_with: called once in every process, before its first item.

    Raises:
        Exception: what ``work`` or ``start`` raised.
    """
    size = max(1, min(workers, len(items)))
    threads = max(1, usable_processors() // size)
    yield from run_crew(items, ProcessCrew(size, _Start(work, start, start_with), threads))
