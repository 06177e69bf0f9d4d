"""What a recipe reads of this machine, and whether it is there."""

from __future__ import annotations

import re
from pathlib import Path

from fada.pretrained.shipped import located
from fada.recipe.errors import RecipeError, shown
from fada.recipe.schema import Recipe

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/+.+")


def missing_paths(recipe: Recipe) -> dict[str, str]:
    """Files and folders that the recipe names and that are not on this machine, by key path; URLs are not looked at."""
    named: dict[str, Path | str | None] = {
        **_train_sets(recipe),
        "data.test_shards": recipe.data.test_shards,
        "audio.path": recipe.audio.path,
        "vae.path": recipe.vae.path,
        "teacher.path": recipe.teacher.path,
        "teacher.init": recipe.teacher.init,
        "engine.deepspeed": recipe.engine.deepspeed,
        **{f"bench.weights.{index}": path for index, path in enumerate(recipe.bench.weights)},
    }
    return {key: str(path) for key, path in named.items() if path is not None and not _is_there(str(path))}


def _train_sets(recipe: Recipe) -> dict[str, str]:
    sets = recipe.data.train_sets
    if isinstance(recipe.data.train_shards, str):
        return {"data.train_shards": recipe.data.train_shards}
    return {f"data.train_shards.{index}.path": each.path for index, each in enumerate(sets)}


def check_paths(recipe: Recipe) -> None:
    """Know that everything that a run reads is there, before anything is made.

    Raises:
        RecipeError: naming every key path whose file or folder is missing.
    """
    # Metrics whose weights are missing are left out of the report, with a reason.
    missing = {key: path for key, path in missing_paths(recipe).items() if not key.startswith("bench.")}
    if missing:
        raise RecipeError("\n".join(f"{key}: {shown(path)} is not here; give another" for key, path in missing.items()))


def _is_there(path: str) -> bool:
    if _URL.fullmatch(path):
        return True
    try:
        return located(Path(path)).exists()
    except OSError:
        return False
