"""Batches read before they are asked for, in worker processes, while the training computes.

Which samples a batch has, and what they are, follows from its number: it is the same from whichever worker, and from
the training process itself, which reads it where no worker has. So a worker that dies costs time and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fada.data.sampling.dataset import TOLD, Asked, Batch, ClipSampler
from fada.data.workers.crew import READY
from fada.data.workers.process_crew import ProcessCrew, ProcessWorker

MOST_DEATHS = 10
"""Workers that may die before the training process reads everything itself."""


@dataclass
class _Post:
    worker: ProcessWorker
    is_ready: bool = False
    asked: Asked | None = None
    """What it reads, or has read."""


@contextmanager
def reading_ahead(sampler: ClipSampler, workers: int) -> Iterator[None]:
    """Within the block so many processes read the sampler's next batches; none, and it reads them itself."""
    if not workers:
        yield
        return
    prefetcher = Prefetcher(sampler, workers)
    sampler.ahead = prefetcher
    try:
        yield
    finally:
        sampler.ahead = None
        prefetcher.close()


class Prefetcher:
    """Reads a sampler's next batches in processes of their own; each holds one batch until it is taken.

    Args:
        workers: processes, and so batches ahead.
    """

    def __init__(self, sampler: ClipSampler, workers: int) -> None:
        self.deaths = 0
        self._sampler, self._size = sampler, workers
        self._crew = ProcessCrew(workers, _Start(sampler))
        self._posts = [_Post(self._crew.hire()) for _ in range(workers)]
        self._faults: list[str] = []

    def batch(self, asked: Asked, upcoming: Iterable[Asked] = ()) -> Batch:
        """The samples that are asked for; meanwhile the workers go on with those that will be.

        Raises:
            DamagedClip: as the sampler.
        """
        self._hear(0.0)
        post = next((each for each in self._posts if each.is_ready and each.asked == asked), None)
        found = None if post is None else self._taken(post)
        self._assign(upcoming)
        batch = self._sampler.drawn(asked) if found is None else found
        faults, self._faults = self._faults, []
        return replace(batch, faults=(*batch.faults, *faults)) if faults else batch

    def close(self) -> None:
        """End the workers."""
        for post in self._posts:
            post.worker.kill()
        self._posts = []

    def _hear(self, seconds: float) -> None:
        """Take note of workers that have loaded what they need, or died of it."""
        loading = {post.worker: post for post in self._posts if not post.is_ready}
        for worker in self._crew.wait(list(loading), seconds) if loading else []:
            self._taken(loading[worker])

    def _taken(self, post: _Post) -> Batch | None:
        """What a worker has to say, waited for; None where it is only ready, or has died."""
        asked, post.asked = post.asked, None
        try:
            answer = post.worker.take()
        # Whatever it died of: where it is the batch's own fault, reading it here says so.
        except Exception as error:
            self._bury(post, asked, error)
            return None
        if answer is READY:
            post.is_ready = True
            return None
        return unpacked(answer)

    def _assign(self, upcoming: Iterable[Asked]) -> None:
        """Give the free workers what will be asked for first; what nobody will ask for is thrown away."""
        wanted = list(islice(upcoming, self._size))
        stale = {post.worker: post for post in self._posts if post.asked is not None and post.asked not in wanted}
        for worker in self._crew.wait(list(stale), 0.0) if stale else []:
            self._taken(stale[worker])
        taken = {post.asked for post in self._posts}
        free = [post for post in self._posts if post.is_ready and post.asked is None]
        for post, asked in zip(free, (each for each in wanted if each not in taken), strict=False):
            post.asked = asked
            post.worker.give(asked)

    def _bury(self, post: _Post, asked: Asked | None, error: BaseException) -> None:
        """Count and name a worker that died, and hire another as long as not too many did."""
        self.deaths += 1
        self._posts.remove(post)
        post.worker.kill()
        goes_on = self.deaths < MOST_DEATHS
        if goes_on:
            self._posts.append(_Post(self._crew.hire()))
        doing = "while it started" if asked is None else f"with samples {_said(asked)}, which are read again"
        then = "another takes its place" if goes_on else "no other is started: the training process reads by itself"
        self._faults.append(f"data worker {self.deaths} died ({error}) {doing}; {then}")


@dataclass(frozen=True)
class _Start:
    """Prepares a worker process: the sampler is pickled, its clips are not."""

    sampler: ClipSampler

    def __call__(self) -> Callable[[Asked], Any]:
        return self._read

    def _read(self, asked: Asked) -> Any:
        return packed(self.sampler.drawn(asked))


def packed(batch: Batch) -> dict[str, Any]:
    """A batch as plain arrays: torch would send its tensors through shared files, one each, that outlive a kill."""
    values = {field.name: getattr(batch, field.name) for field in fields(batch)}
    for name in TOLD:
        told = values[name]
        if told is not None:
            values[name] = {field.name: getattr(told, field.name).numpy() for field in fields(told)}
    return {name: value.numpy() if isinstance(value, Tensor) else value for name, value in values.items()}


def unpacked(values: dict[str, Any]) -> Batch:
    """The batch that was packed."""
    tensors = {name: torch.from_numpy(value) for name, value in values.items() if isinstance(value, np.ndarray)}
    told = {
        name: kind(**{each: torch.from_numpy(value) for each, value in values[name].items()})
        for name, kind in TOLD.items()
        if values[name] is not None
    }
    return Batch(**{**values, **tensors, **told})


def _said(asked: Asked) -> str:
    return f"{', '.join(str(sample) for _, sample, _ in asked[:8])} of step {asked[0][0]}" if asked else "none"
