"""Recipes from and to files.

Relative paths in a recipe are relative to the current directory, as those of the command line are.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from fada.family import families
from fada.files.whole import write_text
from fada.recipe.earlier import is_record, translated
from fada.recipe.errors import RecipeError, explain
from fada.recipe.overrides import apply_overrides, replaced
from fada.recipe.reading import MOST_BYTES, read_yaml
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
    data, places = read_yaml(read_text(file), str(file))
    if not isinstance(data, dict):
        raise RecipeError(f"{file}: a recipe is a mapping of sections, got {type(data).__name__}")
    if is_record(file):
        data = translated(data)
    places = replaced(places, apply_overrides(data, overrides))
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        teacher = data.get("teacher")
        kind = teacher.get("kind", "dual_unet") if isinstance(teacher, dict) else None
        raise explain(error, places, str(file), kind) from error


def read_text(file: Path) -> str:
    """The text of a recipe's file.

    Raises:
        RecipeError: it is no file that can be read, too large, or not UTF-8.
    """
    try:
        # A pipe or device would be waited for, or read for ever.
        if not file.is_file():
            raise RecipeError(f"{file}: cannot be read: not a regular file")
        with file.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise RecipeError(f"{file}: more than {MOST_BYTES} bytes are no recipe")
        return content.decode("utf-8")
    except OSError as error:
        raise RecipeError(f"{file}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{file}: cannot be read: not UTF-8 text (byte {error.start}); save it as UTF-8") from error


def dump_recipe(recipe: Recipe) -> str:
    """The resolved recipe as YAML: every field, defaults included, loadable again."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)


def save_recipe(recipe: Recipe, path: str | Path) -> None:
    """Write the resolved recipe; a reader sees the old file or the new one, never half of it."""
    write_text(path, dump_recipe(recipe))


def recipe_json_schema() -> dict[str, Any]:
    """JSON Schema of a recipe, for editors that complete and check YAML."""
    schema = Recipe.model_json_schema()
    teacher = schema["$defs"]["Teacher"]["properties"]
    for field, name in (("network", "section"), ("codec", "codec_section")):
        sections = {each.name: section for each in families().values() if (section := getattr(each, name)) is not None}
        title = field.capitalize()
        for family, section in sections.items():
            found = section.model_json_schema(ref_template="#/$defs/{model}")
            schema["$defs"] |= found.pop("$defs", {}) | {f"{title}_{family}": found}
        # Beside `kind` stands which of them is meant.
        told = {"anyOf": [{"$ref": f"#/$defs/{title}_{family}"} for family in sections]} if sections else {}
        teacher[field] = {"description": teacher[field].get("description", ""), **told}
    teacher["kind"] |= {"enum": list(families())}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
