"""Verbs that train: in this process, or in as many as the recipe asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


def run_training(recipe: Any, console: Any, train: Callable[[], object], command: Sequence[str]) -> bool:
    """Train here, or start processes that do; whether this process is one that goes on to the report.

    Args:
        train: what one process does.
        command: the command line that does it, for the processes.

    Raises:
        RecipeError: a file or folder that the recipe names is not here.
        ValueError: nor is what divides the training, or a tracker of it.
    """
    from fada import jobs
    from fada.engine import launch, parallel
    from fada.engine.trackers import check_trackers
    from fada.recipe.paths import check_paths

    check_paths(recipe)
    parallel.check_strategy(recipe.engine.strategy)
    check_trackers(recipe.engine.trackers)
    count = launch.processes_to_start(recipe.engine.processes)
    if count > 1:
        jobs.prepare(recipe, console)
        launch.start_processes(count, command)
        return True
    train()
    goes_on = parallel.is_main() and not launch.is_started_here()
    parallel.leave()
    return goes_on
