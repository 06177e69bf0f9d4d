"""Times of works that take turns, so that whatever else the machine does hits all of them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import torch

Work = Callable[[], object]


def take_turns(
    works: Mapping[str, Work],
    rounds: int,
    warmups: int = 1,
    on_work: Callable[[str, int], None] = lambda name, number: None,
) -> dict[str, list[float]]:
    """Seconds of each work, one per round; who begins moves on by one place every round.

    Args:
        rounds: in each of them every work is done once.
        warmups: times that every work is done beforehand, unmeasured.
        on_work: told what is about to be done, and in which round; warm-ups are round 0.

    Raises:
        ValueError: there are no rounds.
    """
    if rounds < 1:
        raise ValueError(f"rounds: got {rounds}; at least one is needed to measure anything")
    for name, work in works.items():
        for _ in range(warmups):
            on_work(name, 0)
            work()
    names = list(works)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in [*names[first:], *names[:first]]:
            on_work(name, number + 1)
            seconds[name].append(_seconds(works[name]))
    return seconds


def ratio(slow: Sequence[float], fast: Sequence[float]) -> float:
    """How many times faster: the median of the ratios within a round, which a change of load between rounds spares."""
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))


def _seconds(work: Work) -> float:
    wait_for_device()
    begun = time.perf_counter()
    work()
    wait_for_device()
    return time.perf_counter() - begun


def wait_for_device() -> None:
    """Return when a GPU, if there is one, has done what it was asked."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
