"""``fada bench``: the report of a run."""

from __future__ import annotations

from fada.cli.options import Overrides, RecipePath


def bench(recipe: RecipePath, overrides: Overrides = None) -> None:
    """Measure a finished run: evaluations, quality, latency, memory.

    Compares the guided teacher, undistilled shortcuts at equal cost, and the students on held-out clips, and writes
    report.md, results.json, plots, contact sheets and an HTML page with the videos side by side.

    Examples:

      fada bench recipes/tiny/demo.yaml
      fada bench recipes/tiny/demo.yaml bench.clips=4 bench.audio_scale=3
    """
    from rich.console import Console

    from fada import build
    from fada.recipe import load_recipe

    build.bench(load_recipe(recipe, overrides or ()), Console())
