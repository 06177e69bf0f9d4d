"""``fada bench`` in one process or in several that share the clips; one of them times and writes the report."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any


def measure_run(recipe: Any, console: Any, processes: int, command: Sequence[str]) -> None:
    """Measure a finished run and write its report.

    Latencies are measured by one process, after the others have ended: they would slow each other down.

    Args:
        recipe: of the run.
        console: where progress goes.
        processes: to start here; one does everything itself. Where a launcher (torchrun, srun) started this process
            already, the clips are shared among those that it started.
        command: the command line that a started process is given.

    Raises:
        Interrupted: it was asked to stop.
        TrainingFailed: a process failed; its own message was printed, and what was measured is kept.
    """
    from fada import jobs
    from fada.engine import launch
    from fada.engine.loop import Interrupted

    launch.adopt_slurm()
    if "RANK" in os.environ:
        if not _take_share(recipe, console):
            return
    elif processes > 1:
        # Once, before all: several processes would draw the same data and sweep the same scales side by side.
        jobs.bench_scales(recipe, console)
        try:
            launch.start_processes(processes, command)
        except Interrupted:
            raise Interrupted("stopped; what was measured is kept, and the same command goes on") from None
    jobs.bench(recipe, console)


def _take_share(recipe: Any, console: Any) -> bool:
    """Measure this process's clips; whether it is the one that goes on to the report."""
    from fada import jobs
    from fada.engine import launch, parallel

    parallel.join(recipe.engine.timeout_minutes)
    if not launch.is_started_here():
        parallel.main_only(lambda: jobs.bench_scales(recipe, console))
    jobs.bench_share(recipe, console, int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
    # Nothing to do first: all wait here until the last one has measured its clips.
    parallel.main_only(lambda: None)
    goes_on = parallel.is_main() and not launch.is_started_here()
    parallel.leave()
    return goes_on
