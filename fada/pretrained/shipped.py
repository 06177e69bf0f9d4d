"""Models that come with the package, by name: ``shipped:drawn`` is the folder ``teacher/shipped/drawn``."""

from __future__ import annotations

import difflib
from pathlib import Path

from fada.files.folders import inside
from fada.pretrained.errors import ModelFolderError
from fada.pretrained.settings import shortly

MODELS = Path(__file__).resolve().parent.parent / "teacher" / "shipped"
INDEX = "model_index.json"
"""As in pipelines.py, without torch: every recipe that is read comes by here."""
PREFIX = "shipped:"
"""What a model's name begins with where a folder may stand as well."""


def shipped_models() -> dict[str, Path]:
    """Name → folder, sorted by name; not by way of the link through which a clone's package holds it."""
    return {index.parent.name: index.parent.resolve() for index in sorted(MODELS.glob(f"*/{INDEX}"))}


def located(path: Path) -> Path:
    """Where a model lies: ``shipped:NAME`` in the package (``shipped:NAME/PART`` a part of it), another path as it is.

    A recipe that names it so means the same from any folder, and wherever the package is installed.

    Raises:
        ModelFolderError: no model of that name comes with the package, or it has no such part.
    """
    if not str(path).startswith(PREFIX):
        return path
    name, *part = str(path).removeprefix(PREFIX).split("/")
    shipped = shipped_models()
    if name not in shipped or not inside(shipped[name], *part).is_dir():
        near = difflib.get_close_matches(name, shipped, n=1)
        meant = f"; did you mean {near[0]!r}?" if near and name not in shipped else ""
        known = ", ".join(PREFIX + each for each in shipped) or "none"
        raise ModelFolderError(f"{shortly(str(path))}: no such model comes with fada{meant} (those that do: {known})")
    return inside(shipped[name], *part)
