"""Who makes shards: this process, others of this machine, actors of a cluster; with a GPU each where they want one."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import torch

from fada.data.shards.location import Location
from fada.data.workers.crew import Crew, Lost, run_crew
from fada.data.workers.process_crew import ProcessCrew
from fada.data.workers.ray_crew import RayCrew, cluster_address
from fada.media.processors import usable_processors
from fada.packing.shards_in_making import Outcome, SetInMaking, ShardFault, Task

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Workers:
    """Who makes the shards.

    count: how many work at once; None is this process alone, on a cluster one per processor (or GPU). cluster: as of
    `prepare_videos`. device: where each computes; with "cuda" each process gets one of this machine's GPUs, each actor
    one of the cluster's.

    Raises:
        ValueError: fewer than one.
        ClusterError: no such kind of cluster.
    """

    count: int | None = None
    cluster: str | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.count is not None and self.count < 1:
            raise ValueError(f"workers must be at least 1, got {self.count}")
        if self.cluster is not None:
            cluster_address(self.cluster)

    @property
    def are_others(self) -> bool:
        """Whether other processes than this one work."""
        return self.count is not None or self.cluster is not None

    @property
    def have_gpus(self) -> bool:
        """Whether each wants a GPU of its own."""
        return self.device == "cuda"


def by_workers(
    sets: Sequence[SetInMaking[Task]],
    start: Callable[[], Callable[[Task], Outcome]],
    workers: Workers,
    out: Location,
    gone: Callable[[Task], Outcome],
) -> Generator[tuple[Task, Outcome]]:
    """Outcomes of all open tasks, in the order in which they are finished.

    Args:
        gone: of a task whose file is not there any more.

    Raises:
        ClusterError: ray is not installed, or the cluster cannot be used.
    """
    tasks = [task for each in sets for task in each.open_tasks]
    if not tasks:
        return
    with ExitStack() as held:
        crew = _crew(held, start, workers, len(tasks), out, gone)
        # Tasks may hold what has no hash, so they are counted by place.
        deaths: Counter[tuple[str, int]] = Counter()

        def name_death(task: Task, detail: str) -> None:
            deaths[task.out, task.number] += 1
            again = deaths[task.out, task.number] < crew.attempts
            then = "it is tried again" if again else "it is given up"
            logger.warning("%s: its worker died (%s); %s", task.named, detail, then)

        for task, outcome in run_crew(tasks, crew, on_death=name_death):
            if isinstance(outcome, Lost):
                why = f"its worker died {outcome.attempts} times ({outcome.detail})"
                outcome = ShardFault(f"{task.named}: {why}: killed, crashed, or no memory was left")
            yield task, outcome


def by_this_process(
    sets: Sequence[SetInMaking[Task]], make: Callable[[Task], Outcome]
) -> Generator[tuple[Task, Outcome]]:
    """Outcomes of all open tasks, made in this process one after the other."""
    for each in sets:
        for task in each.open_tasks:
            yield task, make(task)


def _crew(
    held: ExitStack,
    start: Callable[[], Callable[[Any], Any]],
    workers: Workers,
    tasks: int,
    out: Location,
    gone: Callable[[Any], Any],
) -> Crew:
    if workers.cluster is not None:
        address = cluster_address(workers.cluster)
        gpus = int(workers.have_gpus)
        crew = RayCrew(address, workers.count, start, out.folder, source_of=attrgetter("file"), gone=gone, gpus=gpus)
        return held.enter_context(crew)
    size = min(workers.count or 1, tasks)
    # Latents follow, in their last bits, from how many threads compute them: who says how many gets the same.
    threads = torch.get_num_threads() if os.environ.get("OMP_NUM_THREADS") else usable_processors() // size
    return ProcessCrew(size, start, max(1, threads), gpus_here() if workers.have_gpus else ())


def gpus_here() -> tuple[str, ...]:
    """This process's GPUs, as CUDA_VISIBLE_DEVICES names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return tuple(name.strip() for name in named.split(",") if name.strip())
    return tuple(map(str, range(torch.cuda.device_count())))
