"""Work on many items in several processes of this machine, or on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from fada.data.workers.crew import Lost, run_crew
from fada.data.workers.process_crew import ProcessCrew
from fada.data.workers.ray_crew import RayCrew, cluster_address
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


def on_cluster(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    cluster: str,
    workers: int | None,
    start: Callable[..., None] | None = None,
    start_with: tuple[Any, ...] = (),
    *,
    folder: Path,
    file_of: Callable[[Item], Path],
    gone: Callable[[Item], Result],
) -> Iterator[tuple[Item, Result | Lost]]:
    """As `in_processes`, with actors of a Ray cluster; an item whose actor dies is tried up to twice more.

    Args:
        cluster: "ray", or "ray=HOST:PORT".
        workers: actors; None for one per processor of the cluster.
        folder: which every machine must see.
        file_of: the file of an item, by which a machine knows that it sees the item.
        gone: what comes of an item whose file is not there any more.

    Raises:
        ClusterError: ray is not installed, or the cluster cannot be used.
        Exception: what ``work`` or ``start`` raised.
    """
    prepared = _Start(work, start, start_with)
    with RayCrew(cluster_address(cluster), workers, prepared, folder, source_of=file_of, gone=gone) as crew:
        yield from run_crew(items, crew)
