"""``fada distill``: the main job."""

from __future__ import annotations

from fada.cli.options import DryRun, Overrides, RecipePath


def distill(recipe: RecipePath, overrides: Overrides = None, dry_run: DryRun = False) -> None:
    """Distil a teacher into few-step students: the main job.

    Trains whatever the recipe asks for and is not there yet (VAE, teacher, students in order), then writes the
    report. The run is a folder; the same command again resumes it. Ctrl-C stops cleanly after the current step.

    Examples:

      fada distill recipes/tiny/demo.yaml
      fada distill recipes/tiny/demo.yaml distill.phases.fast.steps=500 output=runs/longer
      fada distill recipes/sd15/fast.yaml --dry-run
    """
    from rich.console import Console

    from fada import build
    from fada.recipe import load_recipe

    console = Console()
    loaded = load_recipe(recipe, overrides or ())
    if dry_run:
        build.dry_run(loaded).print(console)
    else:
        build.distill(loaded, console)
