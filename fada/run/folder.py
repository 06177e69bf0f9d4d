"""A run is a folder: the resolved recipe, the environment, and what each phase left."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console

from fada.eval.bench.environment import environment
from fada.files.folders import MARK, check_folder, kind_of, take_folder
from fada.files.locks import locked
from fada.files.shareable import shareable_command
from fada.files.whole import clear_leftovers, set_aside, write_json, write_text
from fada.recipe.earlier import ENVIRONMENT, RECIPE, RUN
from fada.recipe.errors import RecipeError
from fada.recipe.loading import dump_recipe, load_recipe
from fada.recipe.schema import Recipe

# Settings that may change between two starts of the same run: they do not alter what is learned. Processes, batch and
# accumulation may, as long as a step has as many samples.
FREE = (
    ("engine", "checkpoint_every"),
    ("engine", "keep_last"),
    ("engine", "keep_every"),
    ("engine", "preview_every"),
    ("engine", "log_every"),
    ("engine", "threads"),
    ("engine", "trackers"),
    ("engine", "data_workers"),
    ("engine", "processes"),
    ("engine", "accumulate"),
    ("engine", "strategy"),
    ("engine", "offload_optimizer"),
    ("engine", "offload_parameters"),
    ("engine", "shard_teacher"),
    ("engine", "deepspeed"),
    ("engine", "activation_checkpointing"),
    ("engine", "timeout_minutes"),
    ("engine", "skip_budget"),
    ("data", "cache"),
    ("bench",),
    ("name",),
    ("output",),
)


@contextmanager
def working_in(recipe: Recipe, doing: str, processes: int | None = None) -> Iterator[Path]:
    """The run's folder, opened and held for this process while the block runs.

    Args:
        doing: what others are told that it is held for.
        processes: see `open_run`.

    Raises:
        FolderFault: the folder holds what fada did not make.
        FolderBusy: another process works in it.
        RecipeError: it holds a run of another recipe.
    """
    # Before the lock, which is a file in it.
    check_place(recipe.output)
    with locked(recipe.output, doing):
        yield open_run(recipe, processes)


def check_place(folder: Path) -> None:
    """Raises FolderFault where no run may be: the folder holds what fada did not make."""
    if not _is_earlier_run(folder):
        check_folder(folder, RUN)


def open_run(recipe: Recipe, processes: int | None = None) -> Path:
    """The run's folder, made or found again; its `recipe.yaml` and `environment.json` are written. For its holder.

    Args:
        processes: that train; None where nothing is trained, and a step's samples do not matter.

    Raises:
        FolderFault: the folder holds what fada did not make.
        RecipeError: the folder holds a run of another recipe.
    """
    saved = check_run(recipe, processes)
    folder = recipe.output
    if _is_earlier_run(folder):
        write_json(folder / MARK, {"kind": RUN})
    take_folder(folder, RUN)
    for inner in [inner for inner, _, _ in os.walk(folder)]:
        clear_leftovers(Path(inner))
    if processes is None:
        processes = (saved or recipe).engine.processes
    engine = recipe.engine.model_copy(update={"processes": processes})
    write_text(folder / RECIPE, dump_recipe(recipe.model_copy(update={"engine": engine})))
    write_json(folder / ENVIRONMENT, made_with())
    return folder


def check_run(recipe: Recipe, processes: int | None = None) -> Recipe | None:
    """What the folder's run was begun with, None for a new folder; refuses another recipe, see `open_run`."""
    path = recipe.output / RECIPE
    if not path.is_file():
        return None
    try:
        saved = load_recipe(path)
    except RecipeError as error:
        raise RecipeError(
            f"{path}: says what the run in this folder was begun with, and cannot be read ({error}); give another "
            "folder with output=..., or move this file away: the run then goes on with the recipe that you give"
        ) from error
    before = None if processes is None else saved.engine.processes or 1
    differences = _differences(_learned(saved, before), _learned(recipe, processes))
    if differences:
        raise RecipeError(
            f"{recipe.output}: holds a run of another recipe ({'; '.join(differences[:5])}); "
            "give another folder with output=..., or delete this one"
        )
    return saved


def _is_earlier_run(folder: Path) -> bool:
    """Whether a folder holds a run that was begun before runs were marked: its recipe and environment say so."""
    if kind_of(folder) is not None:
        return False
    try:
        found = json.loads((folder / ENVIRONMENT).read_bytes())
        load_recipe(folder / RECIPE)
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and {"packages", "command"} <= found.keys()


def trained_parts(folder: Path) -> list[str]:
    """What in a run was trained on its data, or has been begun: names of files and folders."""
    patterns = ("stages/*.safetensors", "teacher/model_index.json", "students/*/model_index.json")
    found = [path for pattern in patterns for path in sorted(folder.glob(pattern))]
    models = [path.parent if path.name == "model_index.json" else path for path in found]
    models += sorted({path.parent.parent for path in folder.glob("work/*/checkpoints/step-*")})
    names = [path.relative_to(folder).as_posix() for path in models]
    return [name for name in names if ".aside-" not in name and ".fada-" not in name]


def put_aside(path: Path, fault: str, console: Console) -> None:
    """Give a part that cannot be used another name, and say so; it is then made anew."""
    aside = set_aside(path)
    where = "" if aside is None else f", it now lies in {aside.name}"
    console.print(f"{path}: {fault}; it is made anew{where}", markup=False, highlight=False)


def made_with() -> dict[str, Any]:
    """What a run was made with: the report's words on machine and libraries, more versions, and the command."""
    packages: dict[str, str | None] = {}
    for name in ("fada", "torch", "diffusers", "transformers", "accelerate", "deepspeed", "numpy"):
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = None
    return {
        **environment(),
        "platform": platform.platform(),
        "packages": packages,
        "command": shareable_command(sys.argv),
    }


def _learned(recipe: Recipe, processes: int | None) -> dict[str, Any]:
    content = recipe.model_dump(mode="json")
    for path in FREE:
        section = content
        for key in path[:-1]:
            section = section[key]
        section.pop(path[-1], None)
    trained = [*content["distill"]["phases"]]
    if recipe.teacher.path is None:
        trained += content["teacher"]["stages"]
    else:
        # A finished teacher's stages are not run.
        del content["teacher"]["stages"]
    for part in trained:
        batch = part.pop("batch")
        if processes is not None:
            part["samples_per_step"] = batch * recipe.engine.accumulate * processes
    return content


def _differences(before: Any, now: Any, path: str = "") -> list[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        keys = sorted(set(before) | set(now))
        return [
            line
            for key in keys
            for line in _differences(before.get(key), now.get(key), f"{path}.{key}" if path else key)
        ]
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        pairs = enumerate(zip(before, now, strict=True))
        return [line for index, (old, new) in pairs for line in _differences(old, new, f"{path}.{index}")]
    return [] if before == now else [f"{path} was {before!r}, is {now!r}"]
