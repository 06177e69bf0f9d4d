"""Pieces of a study's work in several processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Protocol, TypeVar

Plan = TypeVar("Plan")
Work = TypeVar("Work")
Done = TypeVar("Done")


class SideBySide(Protocol):
    """Does pieces of work; what comes of each, in their order, when it is finished."""

    def __call__(self, do: Callable[[Plan, Work], Done], plan: Plan, work: Sequence[Work]) -> Iterable[Done]: ...


@contextmanager
def side_by_side(jobs: int) -> Iterator[SideBySide]:
    """A function that does pieces of work of one plan, `jobs` at a time; in this process where that is one."""
    if jobs == 1:
        yield lambda do, plan, work: map(do, [plan] * len(work), work)
        return
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        yield lambda do, plan, work: pool.map(do, [plan] * len(work), work)
