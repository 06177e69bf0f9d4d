"""A first run that is broken off in every phase ends as if nothing had been: every tensor, bit for bit."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from fada import jobs
from fada.recipe.schema import Recipe

QUIET = Console(quiet=True)
PLACES = {
    "drawing": ("fada.data.world.make._draw_one", 1),
    "training the VAE": ("fada.teacher.vae.encode_frames", 0),
    "saving the VAE": ("fada.run.vae.write_manifest", 0),
    "encoding": ("fada.run.data.encode_frames", 1),
    "the first stage, before a checkpoint": ("fada.teacher.pretrain.PretrainObjective.loss", 1),
    "the first stage": ("fada.teacher.pretrain.PretrainObjective.loss", 2),
    "writing a checkpoint": ("fada.engine.checkpoint_state.describe", 0),
    "saving a stage": ("fada.engine.tensor_files.save_file", 0),
    "a preview": ("fada.run.preview.contact_sheet", 0),
    "the second stage": ("fada.teacher.pretrain.PretrainObjective.loss", 0),
    "saving the teacher": ("fada.assembly.models.whole_folder", 0),
    "solving targets": ("fada.student.solved_windows.SolvedWindows.window_ends", 1),
    "the balanced student": ("fada.student.distillation.DistillObjective.loss", 2),
    "saving the balanced student": ("fada.files.whole.sync_tree", 1),
    "the fast student": ("fada.student.distillation.DistillObjective.loss", 2),
    "saving the fast student": ("fada.files.whole.sync_tree", 1),
}
"""In their order: what is called there, and how many calls of it go well before."""


class Broken(BaseException):
    """In place of a kill."""


def break_once(monkeypatch: pytest.MonkeyPatch, place: str, after: int) -> list[str]:
    """Have a call end in `Broken`; gives a list that says where, once it has."""
    owner: Any
    module, name = place.rsplit(".", 1)
    try:
        owner = importlib.import_module(module)
    except ModuleNotFoundError:
        module, kind = module.rsplit(".", 1)
        owner = getattr(importlib.import_module(module), kind)
    real, calls, broken = getattr(owner, name), [0], []

    def call(*arguments: Any, **options: Any) -> Any:
        calls[0] += 1
        if calls[0] > after and not broken:
            broken.append(place)
            raise Broken
        return real(*arguments, **options)

    monkeypatch.setattr(owner, name, call)
    return broken


def test_a_first_run_broken_in_every_phase_equals_the_unbroken_one(
    tiny: Callable[..., Recipe], same_as_unbroken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, (name, place) in enumerate(PLACES.items()):
        # Each start is a process of its own, whose random numbers begin anew.
        torch.manual_seed(1000 + number)
        with monkeypatch.context() as patched:
            broken = break_once(patched, *place)
            with contextlib.suppress(Broken):
                jobs.distill(tiny(tmp_path / "parts"), QUIET)
            assert broken, f"{name} was not reached"
    jobs.distill(tiny(tmp_path / "parts"), QUIET)
    same_as_unbroken(tmp_path / "parts")
    left = [path for path in (tmp_path / "parts").rglob("*") if ".aside-" in path.name or ".fada-" in path.name]
    assert left == []
