"""A run is a folder: the resolved recipe, the environment, and what each phase left."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from fada.eval.results import write_json
from fada.files.shareable import shareable_command
from fada.recipe.errors import RecipeError
from fada.recipe.loading import load_recipe, save_recipe
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
    ("bench",),
    ("name",),
    ("output",),
)


def open_run(recipe: Recipe, processes: int | None = None) -> Path:
    """The run's folder, made or found again; its `recipe.yaml` and `environment.json` are written.

    Args:
        processes: that train; None where nothing is trained, and a step's samples do not matter.

    Raises:
        RecipeError: the folder holds a run of another recipe.
    """
    saved = check_run(recipe, processes)
    folder = recipe.output
    folder.mkdir(parents=True, exist_ok=True)
    if processes is None:
        processes = (saved or recipe).engine.processes
    engine = recipe.engine.model_copy(update={"processes": processes})
    save_recipe(recipe.model_copy(update={"engine": engine}), folder / "recipe.yaml")
    write_json(folder / "environment.json", environment())
    return folder


def check_run(recipe: Recipe, processes: int | None = None) -> Recipe | None:
    """What the folder's run was begun with, None for a new folder; refuses another recipe, see `open_run`."""
    path = recipe.output / "recipe.yaml"
    if not path.is_file():
        return None
    saved = load_recipe(path)
    before = None if processes is None else saved.engine.processes or 1
    differences = _differences(_learned(saved, before), _learned(recipe, processes))
    if differences:
        raise RecipeError(
            f"{recipe.output}: holds a run of another recipe ({'; '.join(differences[:5])}); "
            "give another folder with output=..., or delete this one"
        )
    return saved


def environment() -> dict[str, Any]:
    """Versions and machine that a run was made with."""
    packages: dict[str, str | None] = {}
    for name in ("fada", "torch", "diffusers", "transformers", "accelerate", "deepspeed", "numpy"):
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = None
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor_cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
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
