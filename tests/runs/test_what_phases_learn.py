"""From a recipe to what each stage and phase learns: clips, weights it starts from, settings, and what becomes of it.

Nothing is trained: data are random, and models are opened as two that are told apart.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from accelerate import Accelerator
from rich.console import Console
from torch import nn

from fada.assembly.settings import default_steps, distill_settings
from fada.data.audio.features import LogMelEncoder
from fada.data.sampling.dataset import LatentClip
from fada.engine.checkpoints import Checkpoints
from fada.engine.loop import LoopSettings, fit
from fada.engine.objective import StepLoss
from fada.engine.parallel import ParallelSettings, new_accelerator
from fada.engine.run_log import RunLog
from fada.recipe import load_recipe
from fada.recipe.schema import Recipe
from fada.run import training
from fada.run import training_run as run_module
from fada.run.data import RunData
from fada.run.training_run import Run, Shared
from fada.student.distillation import DistillObjective
from fada.student.trajectory import TrajectoryObjective
from fada.teacher.dual_unet.model import DualUNet
from fada.teacher.dual_unet.networks import new

QUIET = Console(quiet=True)
ALONE = cast(Accelerator, SimpleNamespace(process_index=0, num_processes=1, device=torch.device("cpu")))


def recipe_of(folder: Path, *overrides: str) -> Recipe:
    return load_recipe("tiny/smoke", [f"output={folder / 'run'}", *overrides])


def run_of(folder: Path, *overrides: str) -> Run:
    """A run whose data are two clips of each set."""
    generator = torch.Generator().manual_seed(3)
    latents, states = (torch.randn(4, 8, *shape, generator=generator) for shape in ((4, 16, 16), (1, 8)))
    clips = [LatentClip(f"{number}", "AABB"[number], latents[number], states[number]) for number in range(4)]
    vae: Any = SimpleNamespace(config=SimpleNamespace(latent_channels=4, block_out_channels=(8, 16)))
    data = RunData(clips, [], vae, LogMelEncoder(8))
    shared = Shared(data, folder / "given-teacher", folder / "targets", {})
    return Run(recipe_of(folder, *overrides), QUIET, shared)


def first_bias(model: DualUNet) -> float:
    """A number by which weights are told apart."""
    return float(model.denoising_unet.conv_in.bias.detach()[0])


def qualities(made: Any) -> set[str]:
    return {clip.quality for clip in made.sampler.clips}


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, DualUNet]:
    """Models by the name of the folder that a run opens: `given-teacher` and `balanced`, of different weights."""
    run, models = run_of(tmp_path), {}
    for number, name in enumerate(("given-teacher", "balanced")):
        model = run.new_teacher()
        nn.init.constant_(model.denoising_unet.conv_in.weight, float(number))
        models[name] = model
    monkeypatch.setattr(run_module, "open_teacher", lambda recipe, folder: models[folder.name])
    return models


@pytest.mark.parametrize(("quality", "expected"), [("A", {"A"}), ("B", {"B"}), ("all", {"A", "B"})])
def test_a_stage_is_trained_on_the_clips_that_it_names(tmp_path: Path, quality: str, expected: set[str]) -> None:
    run = run_of(tmp_path, f"teacher.stages.clips.quality={quality}")
    made = run.stage_objective(run.recipe.teacher.stages[1], run.new_teacher(), ALONE)
    assert qualities(made) == expected


@pytest.mark.parametrize(("quality", "expected"), [("A", {"A"}), ("B", {"B"}), ("all", {"A", "B"})])
def test_a_phase_is_trained_on_the_clips_that_it_names(
    tmp_path: Path, opened: dict[str, DualUNet], quality: str, expected: set[str]
) -> None:
    run = run_of(tmp_path, f"distill.phases.fast.quality={quality}")
    phase, teacher = run.recipe.distill.phases[1], tmp_path / "given-teacher"
    made = run.phase_objective(phase, teacher, ALONE, run.new_student(phase, teacher))
    assert qualities(made) == expected


def test_a_stage_learns_what_its_section_says(tmp_path: Path) -> None:
    own = ["teacher.stages.clips.trains=[audio,temporal]", "teacher.stages.clips.min_snr_gamma=5"]
    own += [f"teacher.stages.clips.drop.{name}={rate}" for name, rate in (("reference", 0.2), ("audio", 0.3))]
    run = run_of(tmp_path, *own, "teacher.stages.clips.drop.motion=0.4")
    images, clips = run.recipe.teacher.stages
    model = run.new_teacher()
    made = run.stage_objective(clips, model, ALONE)
    assert (made.drop.conditions, made.drop.motion) == ({"reference": 0.2, "audio": 0.3}, 0.4)
    assert made.min_snr_gamma == 5
    assert (made.sampler.frames, made.sampler.motion_frames, made.is_image_stage) == (3, 1, False)
    learned = {name: {p.requires_grad for p in made.module.part(name)} for name in ("reference", "spatial", "audio")}
    assert learned == {"reference": {False}, "spatial": {False}, "audio": {True}}
    assert made.module is not model
    made = run.stage_objective(images, model, ALONE)
    assert (made.sampler.frames, made.sampler.motion_frames, made.is_image_stage) == (1, 0, True)
    assert (made.min_snr_gamma, made.shape.size) == (None, 2)


@pytest.mark.parametrize(("init", "expected"), [("balanced", 1.0), ("teacher", 0.0)])
def test_a_student_starts_from_the_weights_that_its_phase_names_and_learns_from_the_teacher(
    tmp_path: Path, opened: dict[str, DualUNet], init: str, expected: float
) -> None:
    run = run_of(tmp_path, f"distill.phases.fast.init={init}")
    phase, teacher = run.recipe.distill.phases[1], tmp_path / "given-teacher"
    student = run.new_student(phase, teacher)
    made = run.phase_objective(phase, teacher, ALONE, student)
    for network, weight in ((student, expected), (made.module, expected), (made.solved.teacher, 0.0)):
        assert bool((network.denoising_unet.conv_in.weight == weight).all())


def test_a_teacher_that_is_start_and_goal_is_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, asked = run_of(tmp_path), []
    model = run.new_teacher()
    monkeypatch.setattr(run_module, "open_teacher", lambda recipe, folder: asked.append(folder.name) or model)
    balanced, fast = run.recipe.distill.phases
    teacher = tmp_path / "given-teacher"
    run.phase_objective(balanced, teacher, ALONE, run.new_student(balanced, teacher))
    assert asked == ["given-teacher"]
    run.phase_objective(fast, teacher, ALONE, run.new_student(fast, teacher))
    assert asked == ["given-teacher", "balanced", "given-teacher"]


def test_a_balanced_student_has_no_layers_for_scales_and_a_fast_one_those_of_the_recipe(
    tmp_path: Path, opened: dict[str, DualUNet]
) -> None:
    run = run_of(tmp_path, "distill.cfg.mode=layer")
    teacher = tmp_path / "given-teacher"
    balanced, fast = (run.new_student(phase, teacher).guidance_layers for phase in run.recipe.distill.phases)
    assert balanced is None
    assert fast.config.mode == "layer"


def test_a_phase_learns_as_its_sections_say(tmp_path: Path, opened: dict[str, DualUNet]) -> None:
    fast = {
            "scales": "{audio: {low: 2, high: 8}, reference: {low: 1.5, high: 3}}", "motion_drop": "0.4",
            "solver": "{kind: dpmpp_2m, steps: 5, spacing: noise_share}", "lr": "1e-4",
            "loss": "{weighting: fixed, base: 0.7, slope: 0.5, loss_space: endpoint, gt_guidance: sampled}",
    }  # fmt: skip
    overrides = [f"distill.phases.fast.{name}={value}" for name, value in fast.items()]
    run = run_of(tmp_path, *overrides, "distill.matched=true", "distill.spacing=log_snr", "seed=7", "distill.windows=5")
    phase = run.recipe.distill.phases[1]
    settings = distill_settings(run.recipe, phase)
    assert settings.scales == ((1.5, 3.0), (2.0, 8.0))
    assert (settings.motion_drop, settings.gt_guidance, settings.guidance) == (0.4, "sampled", "distill")
    assert (settings.solver, settings.solver_steps, settings.solver_spacing) == ("dpmpp_2m", 5, "noise_share")
    assert (settings.matched, settings.spacing, settings.windows, settings.seed) == (True, "log_snr", 5, 7)
    loss = settings.loss
    assert (loss.weighting, loss.base, loss.slope, loss.loss_space) == ("fixed", 0.7, 0.5, "endpoint")
    teacher = tmp_path / "given-teacher"
    made = run.phase_objective(phase, teacher, ALONE, run.new_student(phase, teacher))
    assert isinstance(made, DistillObjective)
    assert made.settings == settings
    assert (made.sampler.frames, made.sampler.motion_frames, made.sampler.seed) == (3, 1, 7)


@pytest.mark.parametrize(
    "change",
    ["scales.audio={low: 2, high: 8}", "scales.reference={low: 2, high: 4}", "motion_drop=0.5", "quality=A",
     "solver.steps=3", "solver.kind=dpmpp_2m", "solver.spacing=log_snr"],
)  # fmt: skip
def test_a_cache_notes_all_that_its_window_ends_follow_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    monkeypatch.setattr(run_module, "fingerprint", lambda network: "the same")
    notes = []
    for overrides in ([], [f"distill.phases.fast.{change}"]):
        run = run_of(tmp_path, *overrides)
        phase = run.recipe.distill.phases[1]
        clips = run._sampler(3, 1, phase.quality).clips
        notes.append(run._cache(phase, distill_settings(run.recipe, phase), clips))
    assert notes[0].made_with != notes[1].made_with
    assert notes[0].folder != notes[1].folder


def test_a_cache_is_named_as_by_earlier_versions_so_that_theirs_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "fingerprint", lambda network: "the same")
    run = run_of(tmp_path, "distill.phases.fast.scales={audio: {low: 2, high: 8}}")
    phase = run.recipe.distill.phases[1]
    made = run._cache(phase, distill_settings(run.recipe, phase), run._sampler(3, 1, phase.quality).clips).made_with
    assert made["audio_scale"] == [2.0, 8.0]
    assert made["reference_scale"] == [1.0, 4.0]
    assert set(made) == {
        "teacher", "precision", "noise", "clip", "context", "features", "clips", "guidance", "windows", "solver",
        "solver_steps", "audio_scale", "reference_scale", "motion_drop", "count", "seed",
    }  # fmt: skip


def test_trajectory_consistency_takes_single_steps_of_the_whole_way(
    tmp_path: Path, opened: dict[str, DualUNet]
) -> None:
    own = ["distill.method=tcd", "distill.windows=1", "distill.steps=4"]
    for name in ("balanced", "fast"):
        own += [f"distill.phases.{name}.loss={{weighting: fixed, base: 0}}", f"distill.phases.{name}.solver.steps=20"]
    run = run_of(tmp_path, *own)
    phase, teacher = run.recipe.distill.phases[0], tmp_path / "given-teacher"
    made = run.phase_objective(phase, teacher, ALONE, run.new_student(phase, teacher))
    assert isinstance(made, TrajectoryObjective)
    assert (made.settings.windows, made.settings.times, made.settings.solver_steps) == (20, "starts", 1)


@pytest.mark.parametrize(("windows", "expected"), [(4, 6), (3, 5), (1, 2)])
def test_a_students_steps_are_one_and_a_half_per_window_and_none_is_cut(
    tmp_path: Path, windows: int, expected: int
) -> None:
    assert default_steps(recipe_of(tmp_path, f"distill.windows={windows}")) == expected


def test_a_saved_student_takes_its_own_steps_and_a_teacher_the_reports(
    tmp_path: Path, opened: dict[str, DualUNet], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(tmp_path, "bench.teacher_steps=25", "bench.scales={audio: 6, reference: 2}")
    monkeypatch.setattr(run_module, "new_pipeline", lambda recipe, model, vae, encoder, **options: options)
    student = run.new_student(run.recipe.distill.phases[0], tmp_path / "given-teacher")
    assert cast(Any, run.pipeline(student, is_student=True))["steps"] == 6
    assert cast(Any, run.pipeline(opened["given-teacher"]))["steps"] == 25
    assert cast(Any, run.pipeline(student))["scales"] == (2.0, 6.0)


def test_stages_come_in_the_recipes_order_each_on_what_the_one_before_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, done = run_of(tmp_path), []

    def train(self: Run, stage: Any, model: DualUNet) -> None:
        done.append((stage.name, first_bias(model)))
        nn.init.constant_(model.denoising_unet.conv_in.bias, float(len(done)))

    monkeypatch.setattr(Run, "_train_stage", train)
    monkeypatch.setattr(run_module, "save_pipeline", lambda built, folder: done.append(("saved", built)))
    monkeypatch.setattr(Run, "pipeline", lambda self, model: first_bias(model))
    first = first_bias(run.new_teacher())
    run.teacher()
    assert done == [("images", first), ("clips", 1.0), ("saved", 2.0)]
    # The last finished stage holds all of the model.
    done.clear()
    run.teacher()
    assert done == [("saved", 2.0)]


def test_phases_come_in_the_recipes_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of(tmp_path)
    monkeypatch.setattr(Run, "student", lambda self, phase, teacher: phase.name)
    assert run.shared is not None
    assert cast(Any, training.distill_shared(run.recipe, run.shared, QUIET)) == ["balanced", "fast"]
    monkeypatch.setattr(Run, "teacher", lambda self: tmp_path)
    assert cast(Any, training.distill(run.recipe, QUIET)) == ["balanced", "fast"]


def test_both_nets_of_a_new_teacher_start_from_the_same_weights(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path)
    model = new(recipe.teacher.network, recipe.noise.model_dump(), (5, 1, 8), (4, 8, 8))
    reference, denoiser = model.reference_unet.state_dict(), model.denoising_unet.state_dict()
    shared = reference.keys() & denoiser.keys()
    assert any(".attn1.to_k." in name for name in shared)
    assert all(torch.equal(reference[name], denoiser[name]) for name in shared)


class Line:
    """A layer of one weight that is drawn to 3."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.module: nn.Module = nn.Linear(1, 1)
        self.sampler = None

    def loss(self, model: nn.Module, step: int, micro: int) -> StepLoss:
        return StepLoss((model(torch.ones(1, 1)) - 3).square().mean(), keys=["clip"])


def line_trained(folder: Path, ema: float) -> dict[str, torch.Tensor]:
    settings = LoopSettings(
        steps=4, lr=0.5, warmup=1, ema=ema, checkpoint_every=2, preview_every=0, schedule="constant"
    )
    log = RunLog(folder, "fast", QUIET)
    try:
        return fit(Line(), settings, new_accelerator(ParallelSettings(precision="fp32"), batch=1), folder, log)
    finally:
        log.close()


@pytest.mark.parametrize("ema", [0.9, 0.0])
def test_a_checkpoint_is_exported_as_its_moving_average_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ema: float
) -> None:
    recipe = recipe_of(tmp_path, f"engine.ema={ema}")
    run = recipe.output
    result = line_trained(run / "work" / "fast", ema)
    if ema:
        assert not torch.equal(result["weight"], line_trained(tmp_path / "last", 0.0)["weight"])
    built = Line().module
    monkeypatch.setattr(training, "load_recipe", lambda path: recipe)
    monkeypatch.setattr(training, "open_vae", lambda recipe, run: "vae")
    monkeypatch.setattr(training, "find_teacher", lambda path: path)
    monkeypatch.setattr(training, "faces_known_to", lambda recipe, teacher: None)
    monkeypatch.setattr(Run, "new_student", lambda self, phase, teacher: built)
    monkeypatch.setattr(training, "pipeline", lambda recipe, student, vae, encoder, **options: student)
    exported = cast(Any, training.from_checkpoint(run, "fast", None, QUIET))
    assert {name: value.tolist() for name, value in exported.state_dict().items()} == {
        name: value.tolist() for name, value in result.items()
    }
    earlier = cast(Any, training.from_checkpoint(run, "fast", 2, QUIET))
    assert not torch.equal(earlier.state_dict()["weight"], result["weight"])
    assert Checkpoints(run / "work" / "fast" / "checkpoints", keep_last=1).latest() is not None


def test_what_a_training_ends_with_is_what_is_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of(tmp_path)
    result = nn.Linear(1, 1)
    found = {"weight": torch.full((1, 1), 5.0), "bias": torch.full((1,), 6.0)}
    monkeypatch.setattr(run_module, "fit", lambda *arguments: found)
    settings = LoopSettings(steps=1, lr=1.0)
    prepared = cast(Accelerator, SimpleNamespace(is_main_process=True, device=torch.device("cpu")))
    run._fit(Line(), settings, prepared, "work", "name", result, None)
    assert (float(result.weight), float(result.bias)) == (5.0, 6.0)
    assert not any(p.requires_grad for p in result.parameters())
