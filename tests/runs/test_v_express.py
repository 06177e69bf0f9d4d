"""A small V-Express from a recipe: three stages, both students, generation, report, export; resumed, bit for bit."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from fada import jobs
from fada.cli.app import run as command
from fada.eval.bench.results import read_json
from fada.export.delta import load_delta
from fada.generation.pipelines import open_pipeline
from fada.media.audio import write_wav
from fada.media.image import write_png
from fada.media.video import read_video
from fada.recipe import load_recipe
from fada.recipe.schema import Recipe
from fada.run.data import prepare_data
from fada.run.training_run import Run
from fada.teacher.v_express.model import VExpress

QUIET = Console(quiet=True)
SMALL = (
    "data.world={clips: 2, test_clips: 1, frames: 10, flawed_share: 0.0}", "clip.frames=4", "clip.size=32",
    "vae={channels: [8, 8, 8], train: {steps: 2, batch: 2}}", "audio.bins=4", "teacher.network.channels=[32,32]",
    "teacher.network.attention_levels=[true,false]", "teacher.network.heads=2", "teacher.network.audio_dim=8",
    "teacher.network.audio_hidden=8", "teacher.network.audio_heads=2", "teacher.network.keypoint_channels=[2,2,2,2]",
    "teacher.network.max_frames=4", "teacher.stages.frames.steps=2", "teacher.stages.frames.batch=2",
    *(f"teacher.stages.{name}.{rest}" for name in ("sound", "all") for rest in ("steps=2", "batch=1")),
    *(f"distill.phases.{name}.{rest}" for name in ("balanced", "fast") for rest in ("steps=2", "batch=1")),
    "engine={precision: fp32, checkpoint_every: 1, log_every: 1, warmup: 1, threads: 1, ema: 0.9, preview_every: 0}",
    "bench.clips=1", "bench.seconds=0.24", "bench.teacher_steps=2",
)  # fmt: skip
Recipes = Callable[..., Recipe]


@pytest.fixture(scope="module")
def recipe() -> Recipes:
    """``recipe(folder, "key=value", …)``: the tiny recipe, much smaller."""
    return lambda folder, *overrides: load_recipe("tiny/v-express", [f"output={folder}", *SMALL, *overrides])


@pytest.fixture(scope="module")
def finished(recipe: Recipes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with its report."""
    folder = tmp_path_factory.mktemp("run") / "v-express"
    jobs.distill(recipe(folder), QUIET)
    jobs.bench(recipe(folder), QUIET)
    return folder


def test_stages_and_phases_leave_a_teacher_and_two_students_of_the_family(finished: Path) -> None:
    assert sorted(each.name for each in (finished / "stages").iterdir()) == [
        "1-frames.safetensors", "2-sound.safetensors", "3-all.safetensors",
    ]  # fmt: skip
    teacher = open_pipeline(finished / "teacher")
    assert isinstance(teacher.model, VExpress)
    # Trained with weights of 1, on contexts of the recipe's clip.
    assert teacher.model.settings() == {"reference_weight": 1.0, "audio_weight": 1.0, "frames": 4, "overlap": 2}
    for name, mode in (("balanced", "none"), ("fast", "tokens")):
        student = open_pipeline(finished / "students" / name)
        assert student.model.settings() == teacher.model.settings()
        assert ("none" if student.guidance_layers is None else student.guidance_layers.config.mode) == mode
        for network in ("reference_unet", "keypoint_guider"):
            theirs = getattr(teacher, network).state_dict()
            assert all(torch.equal(value, theirs[key]) for key, value in getattr(student, network).state_dict().items())


def test_the_report_counts_evaluations_of_a_context(finished: Path) -> None:
    results = read_json(finished / "report" / "results.json")
    assert {"teacher-6", "balanced-18", "fast-6"} <= {each["name"] for each in results["systems"]}


def test_the_same_command_again_goes_on_where_it_was_broken_off(
    finished: Path, recipe: Recipes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Data, VAE and the first stage are the other run's; the second stops behind its first step."""
    for part in ("data", "vae", "stages/1-frames.safetensors"):
        source, target = finished / part, tmp_path / "again" / part
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, target)
    for mark in (".fada.json", "recipe.yaml", "environment.json"):
        if (finished / mark).exists():
            shutil.copyfile(finished / mark, tmp_path / "again" / mark)
    again = recipe(tmp_path / "again")
    own, steps = Run._train_stage, []

    def stopped(self: Run, stage: object, model: object) -> None:
        steps.append(stage)
        if len(steps) == 2:
            raise KeyboardInterrupt
        own(self, stage, model)  # type: ignore[arg-type]

    monkeypatch.setattr(Run, "_train_stage", stopped)
    with pytest.raises(KeyboardInterrupt):
        jobs.train_teacher(again, QUIET)
    monkeypatch.setattr(Run, "_train_stage", own)
    jobs.train_teacher(again, QUIET)
    one, two = (open_pipeline(folder / "teacher") for folder in (finished, tmp_path / "again"))
    for name, network in one.model.components().items():
        for key, value in network.state_dict().items():
            assert torch.equal(value, getattr(two, name).state_dict()[key]), (name, key)


@pytest.fixture
def spoken(finished: Path, recipe: Recipes, tmp_path: Path) -> tuple[str, ...]:
    """Portrait and sound of the held-out clip, as arguments."""
    (clip,) = prepare_data(recipe(finished), finished, QUIET).test
    write_png(tmp_path / "face.png", clip.frames[0])
    write_wav(tmp_path / "voice.wav", clip.audio)
    return ("--image", str(tmp_path / "face.png"), "--audio", str(tmp_path / "voice.wav"))


def test_generate_is_driven_by_a_drawn_clip_in_one_go_or_as_a_stream(
    finished: Path, spoken: tuple[str, ...], tmp_path: Path
) -> None:
    (driving,) = (finished / "data/clips").glob("test-*.mp4")
    for name, options in (("whole", ()), ("grown", ("--stream",))):
        out = tmp_path / f"{name}.mp4"
        arguments = ("--model", str(finished), *spoken, "--out", str(out), "--keypoints", str(driving), *options)
        assert command(["generate", *arguments]) == 0
        assert read_video(out).shape == (10, 32, 32, 3)


def test_a_student_exported_as_a_difference_is_the_student(finished: Path, recipe: Recipes, tmp_path: Path) -> None:
    out = tmp_path / "delta"
    assert command(["export", str(finished), "--student", "fast", "--as", "delta", "--out", str(out)]) == 0
    (clip,) = prepare_data(recipe(finished), finished, QUIET).test
    teacher = finished / "teacher"
    pair = (open_pipeline(finished / "students/fast"), load_delta(out, teacher))
    made = [each(clip.frames[0], clip.audio, keypoints=clip.keypoints, steps=4, decode=False).latents for each in pair]
    assert torch.equal(*made)
    assert np.isfinite(made[0].numpy()).all()


def test_the_shipped_teacher_prices_the_released_size_without_its_weights() -> None:
    priced = jobs.dry_run(load_recipe("v-express/teacher", ["clip.size=64"]))
    (sizes,) = (line for line in priced.lines if line.startswith("teacher:"))
    assert sizes == (
        "teacher: reference 859.52 M, keypoints 1.09 M, spatial 865.13 M, audio 73.55 M, temporal 453.21 M"
    )
    assert "evaluations per clip: teacher 50, then balanced 12, fast 6" in priced.lines
    assert [cost.name for cost in priced.costs] == ["frames", "sound", "all", "balanced", "fast"]
    # The paper's second stage: resampler, audio attentions, motion modules.
    assert priced.costs[1].trained == pytest.approx(73.55 + 453.21, abs=0.02)
