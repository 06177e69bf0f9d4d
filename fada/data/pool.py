"""Work on many items in several processes of this machine."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_processes(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int,
    start: Callable[..., None] | None = None,
    start_with: tuple[Any, ...] = (),
) -> Iterator[tuple[Item, Future[Result]]]:
    """Each item with its finished future, in the order in which they finish; what has not begun is dropped on an error.

    Spawned, not forked: the threads of torch and MediaPipe do not survive a fork. So all arguments are pickled.

    Args:
        work: of one item.
        start, start_with: called once in every process, before its first item.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        max(1, min(workers, len(items))), mp_context=context, initializer=start, initargs=start_with
    ) as pool:
        futures = {pool.submit(work, item): item for item in items}
        try:
            for future in as_completed(futures):
                yield futures[future], future
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
