"""``fada bench``: the report of a run."""

from __future__ import annotations

from typing import Annotated

import typer

from fada.cli.bench_processes import measure_run
from fada.cli.options import Overrides, RecipePath


def bench(
    recipe: RecipePath,
    overrides: Overrides = None,
    processes: Annotated[
        int, typer.Option("--processes", min=1, help="Processes that share the clips; one of them times.")
    ] = 1,
) -> None:
    """Measure a finished run: evaluations, quality, latency, memory.

    Compares the guided teacher, undistilled shortcuts at equal cost, and the students on held-out clips, and writes
    report.md, results.json, plots, contact sheets and an HTML page with the videos side by side. The same command again goes on
    where it stopped.

    Examples:

      fada bench recipes/tiny/demo.yaml
      fada bench recipes/tiny/demo.yaml bench.clips=4 bench.audio_scale=3
      fada bench recipes/sd15/fast.yaml --processes 8
    """
    from rich.console import Console

    from fada.recipe import load_recipe

    loaded = load_recipe(recipe, overrides or ())
    measure_run(loaded, Console(), processes, ["bench", "run", recipe, *(overrides or ())])
