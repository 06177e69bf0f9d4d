"""``fada distill``: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fada.cli.options import DryRun, Overrides, RecipePath
from fada.cli.running import run_training


def distill(
    recipe: RecipePath,
    overrides: Overrides = None,
    dry_run: DryRun = False,
    replay: Annotated[
        Path | None,
        typer.Option(
            "--replay",
            metavar="DIR",
            help="Compute a failed step again (RUN/work/PHASE/failed/STEP), sample by sample.",
        ),
    ] = None,
) -> None:
    """Distil a teacher into few-step students: the main job.

    Trains whatever the recipe asks for and is not there yet (VAE, teacher, students in order), then writes the
    report. The run is a folder; the same command again resumes it. Ctrl-C stops cleanly after the current step.
    Starts as many processes as the recipe asks for (engine.processes); works unchanged under torchrun, accelerate
    launch, deepspeed and srun.

    Examples:

      fada distill recipes/tiny/demo.yaml
      fada distill recipes/tiny/demo.yaml distill.phases.fast.steps=500 output=runs/longer
      fada distill recipes/sd15/fast.yaml --dry-run
      fada distill recipes/tiny/demo.yaml engine.processes=2 engine.strategy=zero2
      fada distill recipes/tiny/demo.yaml --replay runs/demo/work/fast/failed/step-00000123
    """
    from fada import jobs
    from fada.recipe import load_recipe
    from fada.terminal import SafeConsole

    console = SafeConsole()
    loaded = load_recipe(recipe, overrides or ())
    if dry_run:
        jobs.dry_run(loaded).print(console)
    elif replay is not None:
        jobs.replay(loaded, replay, console).print(console)
    elif run_training(loaded, console, lambda: jobs.distill(loaded, console), ["distill", recipe, *(overrides or ())]):
        jobs.bench(loaded, console)
