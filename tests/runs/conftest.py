"""A finished run of the smoke recipe, made once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from fada import jobs
from fada.recipe import load_recipe
from fada.recipe.schema import Recipe

QUIET = Console(quiet=True)


Smoke = Callable[..., Recipe]


@pytest.fixture(scope="session")
def smoke() -> Smoke:
    """``smoke(folder, "key=value", …)``: the smoke recipe with another output, and overrides.

    With one thread from the first sum on, whatever ran in this process before.
    """
    own = "engine.threads=1"
    return lambda folder, *overrides: load_recipe("tiny/smoke", [f"output={folder}", own, *overrides])


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, smoke: Smoke) -> Path:
    """A finished run of the smoke recipe."""
    folder = tmp_path_factory.mktemp("run") / "smoke"
    jobs.distill(smoke(folder), QUIET)
    jobs.bench(smoke(folder), QUIET)
    return folder


TINY = ("data.world.clips=2", "data.world.test_clips=1", "data.world.frames=6", "vae.train.steps=3",
        "vae.channels=[8,8]", "teacher.network.channels=[8,16]", "teacher.network.norm_groups=4",
        "teacher.network.layers_per_block=1", "distill.phases.balanced.targets=cached",
        "distill.phases.balanced.cached_samples=4", "engine.checkpoint_every=2", "engine.threads=1")  # fmt: skip


@pytest.fixture(scope="session")
def tiny(smoke: Smoke) -> Smoke:
    """``tiny(folder, "key=value", …)``: a recipe of seconds."""
    return lambda folder, *overrides: smoke(folder, *TINY, *overrides)


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory, tiny: Smoke) -> Path:
    """A finished run of it, never broken off, without a report; do not write into it."""
    folder = tmp_path_factory.mktemp("tiny") / "whole"
    jobs.distill(tiny(folder), QUIET)
    return folder


def everything(run: Path) -> dict[str, torch.Tensor]:
    """All weights that a run makes, by file and name."""
    parts = [*run.glob("vae/*.safetensors"), *run.glob("stages/*.safetensors"), *run.glob("teacher/**/*.safetensors"),
             *run.glob("students/**/*.safetensors")]  # fmt: skip
    kept = [path for path in parts if ".aside-" not in str(path)]
    return {f"{path.relative_to(run)}: {name}": value for path in kept for name, value in load_file(str(path)).items()}


def differing(run: Path, whole: Path) -> list[str]:
    """Names of tensors that are not those of the unbroken run."""
    found, expected = everything(run), everything(whole)
    assert len(expected) > 500
    assert found.keys() == expected.keys()
    return [name for name, value in expected.items() if not torch.equal(found[name], value)]


def losses(run: Path) -> dict[str, list[tuple[int, float]]]:
    """Steps and losses of every log."""
    return {
        str(log.relative_to(run)): [(row["step"], row["loss"]) for row in map(json.loads, log.read_text().splitlines())]
        for log in sorted(run.glob("work/*/log.jsonl"))
    }


def _check_equal(run: Path, whole: Path) -> None:
    assert differing(run, whole) == []
    assert losses(run) == losses(whole)


@pytest.fixture(scope="session")
def equal_runs() -> Callable[[Path, Path], None]:
    """Checks that a run has every tensor and every logged loss of an unbroken one, bit for bit."""
    return _check_equal


@pytest.fixture(scope="session")
def same_as_unbroken(tiny_run: Path) -> Callable[[Path], None]:
    """The same, against `tiny_run`."""
    return lambda run: _check_equal(run, tiny_run)
