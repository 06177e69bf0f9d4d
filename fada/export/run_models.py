"""Which models a run holds, and which of them is meant where none is named: the student of its recipe's last phase."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fada.files.folders import inside
from fada.files.names import PLAIN_NAME
from fada.pretrained.shipped import located
from fada.recipe.reading import read_yaml

INDEX = "model_index.json"
"""What makes a folder a model."""


class ModelChoice(ValueError):
    """A run in which no model can be chosen; the message says what to name."""


def models_of(run: Path) -> dict[str, Path]:
    """A run's finished models by name: the teacher first, then the students in the order of the recipe's phases.

    Students that the recipe does not name follow, by name. Times of files mean nothing: they change with a copy.
    """
    models = {"teacher": run / "teacher"} if (run / "teacher" / INDEX).is_file() else {}
    folders = [path.parent for path in sorted(run.glob(f"students/*/{INDEX}"))]
    # Other names are of what was set aside, or of what is being written.
    found = {folder.name: folder for folder in folders if PLAIN_NAME.fullmatch(folder.name)}
    ordered = [name for name in phases_of(run) if name in found]
    return {**models, **{name: found[name] for name in [*ordered, *(each for each in found if each not in ordered)]}}


def default_model(run: Path) -> Path:
    """The student of the recipe's last phase that is finished; of a run without students its teacher.

    Raises:
        ModelChoice: the run has no model, or several students and no recipe that says which comes last.
    """
    models = models_of(run)
    students = {name: path for name, path in models.items() if name != "teacher"}
    planned = [name for name in phases_of(run) if name in students]
    if planned:
        return students[planned[-1]]
    if len(students) > 1:
        raise ModelChoice(
            f"{run}: holds {', '.join(students)}, and no recipe.yaml that says which is last; name one with --student"
        )
    if not models:
        raise ModelChoice(f"{run}: holds no model; finish the run first")
    return list(models.values())[-1]


def label_of(model: Path) -> str:
    """A model for the console: where it lies in its run, and its steps."""
    try:
        steps = json.loads((model / INDEX).read_bytes()).get("steps")
    except (OSError, ValueError, RecursionError, AttributeError):
        steps = None
    place = f"{model.parent.name}/{model.name}" if model.parent.name == "students" else model.name
    return f"{place} ({steps} steps)" if isinstance(steps, int) else place


def teacher_of(run: Path) -> Path | None:
    """The folder of the teacher that a run trained, or that its recipe names; None where it does neither."""
    own = models_of(run).get("teacher")
    named = teacher_section(run).get("path")
    if own is not None or not isinstance(named, str):
        return own
    return teacher_in(Path(named))


def teacher_in(folder: Path) -> Path | None:
    """The teacher that a folder is, names, or holds as a run."""
    folder = located(folder)
    found = models_of(folder).get("teacher", folder)
    return found if (found / INDEX).is_file() else None


def phases_of(run: Path) -> list[str]:
    """Names of the phases of a run's recipe, in order; nothing where there is no recipe that can be read."""
    distill = recipe_of(run).get("distill")
    phases = distill.get("phases") if isinstance(distill, dict) else None
    named = [phase.get("name") for phase in phases if isinstance(phase, dict)] if isinstance(phases, list) else []
    return [name for name in named if isinstance(name, str)]


def teacher_section(folder: Path) -> dict[str, Any]:
    """What the resolved recipe in a folder says of the teacher; nothing where there is none."""
    found = recipe_of(folder).get("teacher")
    return found if isinstance(found, dict) else {}


def recipe_of(folder: Path) -> dict[str, Any]:
    """The recipe in a folder as it stands there: it may be another version's; empty where none can be read."""
    file = inside(folder, "recipe.yaml")
    try:
        found = read_yaml(file.read_text(encoding="utf-8"), str(file))[0] if file.is_file() else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
