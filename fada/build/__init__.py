"""Recipe to objects: the only place that chooses classes, and what the command line calls."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from fada.build import training
from fada.build.dry_run import dry_run
from fada.build.models import load_pipeline
from fada.build.report import bench
from fada.build.training import train_teacher
from fada.recipe.schema import Recipe

__all__ = ["bench", "distill", "dry_run", "load_pipeline", "train_teacher"]


def distill(recipe: Recipe, console: Console) -> Path:
    """The main job: teacher, students, report; the report's folder."""
    training.distill(recipe, console)
    return bench(recipe, console)
