"""The recipes that come with the package, by name: ``tiny/demo`` is ``recipes/tiny/demo.yaml``."""

from __future__ import annotations

from pathlib import Path

from fada.recipe.errors import RecipeError, did_you_mean

ROOT = Path(__file__).resolve().parent.parent / "recipes"
THRESHOLDS = ROOT / "data"
"""Thresholds of `fada data filter`, which are no recipes."""


def shipped_recipes() -> dict[str, Path]:
    """Name → file, sorted by name."""
    files = (path for path in sorted(ROOT.glob("**/*.yaml")) if THRESHOLDS not in path.parents)
    return {path.relative_to(ROOT).with_suffix("").as_posix(): path for path in files}


def find_recipe(path: str | Path) -> Path:
    """The file that is meant: a path, or the name of a shipped recipe (with or without ``recipes/`` and ``.yaml``).

    Raises:
        RecipeError: there is neither.
    """
    if Path(path).is_file():
        return Path(path)
    if Path(path).is_dir():
        raise RecipeError(f"{path}: a folder, not a recipe; name a YAML file in it")
    name = Path(path).as_posix().removeprefix("recipes/").removesuffix(".yaml")
    shipped = shipped_recipes()
    if name in shipped:
        return shipped[name]
    raise RecipeError(f"{path}: no such file{did_you_mean(name, shipped)} (shipped: {', '.join(shipped)})")


def purpose(path: Path) -> str:
    """The first comment line of a recipe: what it is for."""
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.lstrip("# ").strip()
