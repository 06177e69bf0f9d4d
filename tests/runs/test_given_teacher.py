"""Runs that distil a given teacher: one that comes with the package, in half precision, and that knows its faces."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from fada import jobs
from fada.export.run_export import Contents, export_run
from fada.generation.pipelines import FadaPipeline, open_pipeline
from fada.pretrained import shipped
from fada.recipe.schema import Recipe
from fada.teacher.face_space import FEWEST, FaceSpace

QUIET = Console(quiet=True)
Smoke = Callable[..., Recipe]
SHORT = ("distill.phases=[{name: fast, steps: 1, batch: 2, lr: 1e-4, solver: {steps: 1}}]", "engine.preview_every=0")
NAMED = (*SHORT, "teacher.path=shipped:small", "vae.path=shipped:small/vae", "teacher.stages=[]")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny: Smoke) -> Path:
    """A small teacher of two clips."""
    return jobs.train_teacher(tiny(tmp_path_factory.mktemp("trained") / "run", *SHORT), QUIET)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory, trained: Path) -> Path:
    """A folder of models as a package has it: that teacher in half precision, which knows some faces."""
    folder = tmp_path_factory.mktemp("package")
    run = folder / "run"
    teacher = open_pipeline(trained)
    shape = (teacher.vae.config.latent_channels, 16, 16)
    teacher.register_modules(face_space=FaceSpace(shape, directions=2, limit=250.0))
    teacher.save_pretrained(str(run / "teacher"))
    (folder / "shipped").mkdir()
    export_run(run, folder / "shipped" / "small", "teacher", contents=Contents("full", "bf16"))
    return folder / "shipped"


@pytest.fixture
def models(packed: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(shipped, "MODELS", packed)
    return packed


def test_a_run_distils_a_shipped_teacher_and_goes_on_wherever_the_package_lies(
    tiny: Smoke, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny(tmp_path / "run", *NAMED)
    students = jobs.distill(recipe, QUIET)
    assert not (tmp_path / "run" / "vae").exists()
    assert not (tmp_path / "run" / "teacher").exists()
    said = (tmp_path / "run" / "recipe.yaml").read_text()
    assert "path: shipped:small\n" in said
    assert str(models) not in said
    # Rounded weights are trained in float32, what is not trained stays the teacher's; faces are taken over.
    student, teacher = open_pipeline(students[-1]), open_pipeline(models / "small")
    assert student.dtype == torch.float32
    for name, value in teacher.reference_unet.state_dict().items():
        assert torch.equal(student.reference_unet.state_dict()[name], value)
    assert student.face_space.config.limit == 250.0

    moved = tmp_path / "moved"
    (models / "small").rename(models / "kept")
    try:
        moved.mkdir()
        (moved / "small").symlink_to(models / "kept")
        monkeypatch.setattr(shipped, "MODELS", moved)
        before = {file: file.stat().st_mtime_ns for file in (tmp_path / "run" / "students").rglob("*.safetensors")}
        jobs.distill(tiny(tmp_path / "run", *NAMED), QUIET)
        assert {file: file.stat().st_mtime_ns for file in before} == before
    finally:
        (models / "kept").rename(models / "small")


def test_a_report_may_be_measured_in_half_precision(tiny: Smoke, models: Path, tmp_path: Path) -> None:
    settings = (*NAMED, "distill.phases=[]", "bench.precision=bf16", "bench.seconds=0.2", "bench.search_clips=0")
    recipe = tiny(tmp_path / "run", *settings)
    jobs.distill(recipe, QUIET)
    jobs.bench(recipe, QUIET)
    results = json.loads((tmp_path / "run" / "report" / "results.json").read_text())
    assert {system["notes"]["dtype"] for system in results["systems"]} == {"bfloat16"}


def test_a_teacher_of_drawn_clips_knows_their_faces_and_its_students_too(tiny: Smoke, tmp_path: Path) -> None:
    own = tiny(tmp_path / "run", f"data.world.clips={FEWEST}", "data.world.frames=5", *SHORT)
    folders = [jobs.train_teacher(own, QUIET), *jobs.distill(own, QUIET)]
    limits = [open_pipeline(folder).face_space.config.limit for folder in folders]
    assert limits == [limits[0]] * 2
    assert np.isfinite(limits[0])


def test_a_teacher_of_a_few_clips_does_not_say_what_it_knows(trained: Path) -> None:
    assert open_pipeline(trained).face_space is None
    assert not (trained / "face_space").exists()


def test_a_dry_run_prices_the_networks_that_are_given(tiny: Smoke, models: Path, tmp_path: Path) -> None:
    """They are those that the recipe would train: one pass costs the same, whatever the recipe says of its own VAE."""
    own = jobs.dry_run(tiny(tmp_path / "own"))
    other = ("vae.channels=[8,8,8,8]", "vae.latent_channels=9", "teacher.network.channels=[16,16]")
    given = jobs.dry_run(tiny(tmp_path / "given", *other, *NAMED))
    assert [line for line in given.lines if "GFLOP;" in line] == [line for line in own.lines if "GFLOP;" in line]
    assert not any("is not there yet" in line for line in given.lines)


def test_python_opens_a_shipped_model_by_its_name(models: Path) -> None:
    assert open_pipeline("shipped:small").config.size == open_pipeline(models / "small").config.size
    assert FadaPipeline.from_pretrained("shipped:small").face_space.config.limit == 250.0
