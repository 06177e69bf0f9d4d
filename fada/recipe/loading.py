"""Recipes from and to files.

Relative paths in a recipe are relative to the current directory, as those of the command line are.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from fada.recipe.errors import RecipeError, explain
from fada.recipe.overrides import apply_overrides
from fada.recipe.reading import read_yaml
from fada.recipe.schema import Recipe
from fada.recipe.shipped import find_recipe


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """The checked recipe in a YAML file.

    Args:
        path: a file, or the name of a shipped recipe such as ``tiny/demo``.
        overrides: ``key.path=value``, later ones win.

    Raises:
        RecipeError: the file cannot be read, or something in it (or in an override) is wrong; every fault is named.
    """
    file = find_recipe(path)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{file}: cannot be read: {error}") from error
    data, places = read_yaml(text, str(file))
    if not isinstance(data, dict):
        raise RecipeError(f"{file}: a recipe is a mapping of sections, got {type(data).__name__}")
    places |= apply_overrides(data, overrides)
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        raise explain(error, places, str(file)) from error


def dump_recipe(recipe: Recipe) -> str:
    """The resolved recipe as YAML: every field, defaults included, loadable again."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)


def save_recipe(recipe: Recipe, path: str | Path) -> None:
    """Write the resolved recipe; a reader sees the old file or the new one, never half of it."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as stream:
            stream.write(dump_recipe(recipe))
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def recipe_json_schema() -> dict[str, Any]:
    """JSON Schema of a recipe, for editors that complete and check YAML."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Recipe.model_json_schema()}
