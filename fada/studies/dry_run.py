"""What a recipe would cost, without running it: shapes on the meta device, forward passes, memory, hours."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from fada.assembly.models import new_teacher, open_teacher
from fada.assembly.settings import default_scales, default_steps
from fada.data.shards.bytes_per_hour import computed, in_words, measured
from fada.data.shards.reading import INDEX_FILE
from fada.data.shards.shard_set import ShardSet
from fada.diffusion.guidance import needed_branches
from fada.export.opening import find_teacher
from fada.pretrained.shipped import located
from fada.recipe.errors import RecipeError
from fada.recipe.paths import missing_paths
from fada.recipe.schema import Recipe
from fada.recipe.sections.distill import Phase
from fada.recipe.sections.running import Engine
from fada.recipe.sections.teacher import Stage
from fada.run.checks import check_shards
from fada.run.codec import trains_codec
from fada.run.folder import check_place, check_run
from fada.student.copies import student_of
from fada.studies.meta_passes import PassCosts, codec_cost, pass_costs, recipe_latent
from fada.studies.step_passes import BACKWARD, StepPasses, phase_passes, points_of, processes_of, public_passes
from fada.teacher.denoiser import AvatarDenoiser

GPU_TFLOPS = 300
"""What one GPU is taken to reach: three tenths of an H100's dense bf16 peak. An assumption, not a measurement."""
MODEL_STATES = {"wav2vec2": (12, 768), "whisper": (4, 384)}
"""Layers and width of wav2vec2-base and of Whisper tiny, whatever encoder is at hand."""


@dataclass(frozen=True)
class Cost:
    """One row of the table: a stage or phase."""

    name: str
    steps: int
    trained: float
    """Trained weights, millions."""
    passes: StepPasses
    """Over one clip, per sample and step."""
    tera_flop: float
    """Floating-point operations per step, 1e12."""
    gibibytes: float
    """Weights, gradients, optimiser, moving average, the frozen teacher, and activations kept for the backward pass."""
    hours: float
    """At the measured matmul rate of this machine."""


@dataclass(frozen=True)
class DryRun:
    """Rows of the table and lines of text around it."""

    costs: list[Cost]
    lines: list[str]

    def print(self, console: Console) -> None:
        """Show it."""
        for line in self.lines:
            console.print(line, markup=False)
        table = Table(title="cost per stage and phase, in one process: passes and TFLOP of a step, memory")
        for head in ("phase", "steps", "trained M", "teacher", "student", "reference", "TFLOP", "GiB", "hours"):
            table.add_column(head, justify="left" if head == "phase" else "right")
        for cost in self.costs:
            table.add_row(
                cost.name, str(cost.steps), f"{cost.trained:.2f}", f"{cost.passes.teacher:.3g}",
                f"{cost.passes.student:.3g}", f"{cost.passes.reference:.3g}", f"{cost.tera_flop:.4g}",
                f"{cost.gibibytes:.2f}", f"{cost.hours:.2g}",
            )  # fmt: skip
        console.print(table)


def dry_run(recipe: Recipe) -> DryRun:
    """Build every network of the recipe on the meta device, run one step's shapes, and price it.

    Raises:
        RecipeError: a part of it would find no clips in shards that are on this machine.
        FolderFault: the run's folder holds what fada did not make.
    """
    check_place(recipe.output)
    check_shards(recipe)
    with torch.device("meta"):
        teacher = _meta_teacher(recipe)
        student = student_of(teacher, recipe.distill.cfg.mode, recipe.distill.cfg.tokens)
    one = pass_costs(recipe, teacher, student)
    rate = matmul_rate(torch.bfloat16 if recipe.engine.precision == "bf16" else torch.float32)
    costs = [_stage_cost(recipe, stage, teacher, one, rate) for stage in recipe.teacher.stages]
    costs += [_phase_cost(recipe, phase, teacher, student, one, rate) for phase in recipe.distill.phases]
    lines = [
        f"{recipe.name}: recipe is valid; shapes of one step run on the meta device",
        "teacher: " + ", ".join(f"{name} {count / 1e6:.2f} M" for name, count in _sizes(recipe, teacher).items()),
        *_codec(recipe, rate),
        f"one pass over a clip of {recipe.clip.frames} frames: {one.forward / 1e9:.2f} GFLOP; "
        f"CFG layers add {100 * (one.with_cfg / one.forward - 1):.1f} %; the reference net's "
        f"{one.reference / 1e9:.2f} GFLOP",
        _evaluations(recipe),
        *(_against_public(recipe, phase, one) for phase in recipe.distill.phases if recipe.distill.method == "perflow"),
        f"matmul rate measured here: {rate / 1e9:.0f} GFLOP/s ({recipe.engine.precision}); hours assume half of it",
        _division(recipe),
        *_bytes(recipe),
        *_missing(recipe),
        *_other_run(recipe),
        f"total: about {sum(cost.hours for cost in costs):.2g} hours; {_on_gpus(recipe, costs)}",
    ]
    return DryRun(costs, lines)


def _other_run(recipe: Recipe) -> list[str]:
    """A line where the folder holds a run that these settings do not continue."""
    try:
        check_run(recipe)
    except RecipeError as error:
        return [f"note: {error}"]
    return []


def state_bytes(engine: Engine, processes: int) -> float:
    """Bytes per trained weight in one process's device memory: weight, gradient, and fp32 copies of the optimiser.

    Plain training keeps weight and gradient in fp32 and three more (two moments, the moving average). Under DeepSpeed
    weights have the training's precision, gradients too unless they are summed in fp32 (bf16), and the optimiser owns a
    fp32 weight beside its three.
    """
    if engine.strategy == "ddp":
        return 4 + 4 + 12
    stage = int(engine.strategy.removeprefix("zero"))
    short = 4 if engine.precision == "fp32" else 2
    weight = short / (processes if stage == 3 else 1)
    gradient = (2 if engine.precision == "fp16" else 4) / (processes if stage >= 2 else 1)
    optimiser = 0.0 if engine.offload_optimizer == "cpu" else 16 / processes
    return (0.0 if engine.offload_parameters == "cpu" else weight) + gradient + optimiser


def matmul_rate(dtype: torch.dtype, size: int = 1024) -> float:
    """Operations per second of a square matrix product here, best of five."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    left = torch.randn(size, size, dtype=dtype, device=device)
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        float((left @ left)[0, 0])
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best


def _evaluations(recipe: Recipe) -> str:
    steps, ladder = default_steps(recipe), len(needed_branches(default_scales(recipe)))
    branches = {"sync": ladder, "distill": 1}
    students = [f"{phase.name} {steps * branches[phase.guidance]}" for phase in recipe.distill.phases] or ["no student"]
    return f"evaluations per clip: teacher {recipe.bench.teacher_steps * ladder}, then {', '.join(students)}"


def _on_gpus(recipe: Recipe, costs: list[Cost]) -> str:
    """The same on GPUs, one process each, for whoever plans on a machine without."""
    hours = sum(cost.steps * cost.tera_flop for cost in costs) / GPU_TFLOPS / 3600
    return f"{hours:.2g} with a GPU per process at {GPU_TFLOPS} TFLOP/s"


def _division(recipe: Recipe) -> str:
    engine, processes = recipe.engine, processes_of(recipe)
    return (
        f"engine: {processes} process{'es' if processes > 1 else ''}, {engine.strategy}, {engine.precision}, "
        f"{state_bytes(engine, processes):.3g} bytes per trained weight in each"
        + (", activations recomputed" if engine.activation_checkpointing else "")
    )


def _bytes(recipe: Recipe) -> list[str]:
    """What an hour of video takes: as shapes say, and as the training shards have it."""
    prices = computed(recipe.clip.fps, recipe_latent(recipe), _audio_dims(recipe))
    features = in_words({"latents": prices["latents"], "audio states": prices["audio_states"]})
    sound = in_words({"sound": prices["audio"]})
    there = [each.path for each in recipe.data.train_sets if Path(each.path, INDEX_FILE).is_file()]
    return [
        f"an hour of video in shards: {features}; in place of states {sound}, where training makes them of it "
        "(audio.states: from_sound)",
        *(f"{place}: an hour of video has {in_words(measured(ShardSet(place))) or 'no length'}" for place in there),
    ]


def _audio_dims(recipe: Recipe) -> tuple[int, int]:
    """Layers and width of the audio states."""
    audio = recipe.audio
    return (1, audio.bins * 4) if audio.kind == "log_mel" else MODEL_STATES[audio.kind]


def _missing(recipe: Recipe) -> list[str]:
    # Without weights of metrics the report only lacks them.
    missing = {key: path for key, path in missing_paths(recipe).items() if not key.startswith("bench.")}
    return [f"{key}: {path} is not there yet" for key, path in missing.items()]


def _sizes(recipe: Recipe, teacher: AvatarDenoiser) -> dict[str, int]:
    """Weights by part, or by network where the family has no parts that are trained apart."""
    stages = recipe.teacher.family.stages
    if stages:
        parts = {name: teacher.part(name) for name in stages}
    else:
        parts = {name: list(network.parameters()) for name, network in teacher.components().items()}
    return {name: _count(weights) for name, weights in parts.items()}


def _count(weights: Iterable[torch.nn.Parameter]) -> int:
    return sum(weight.numel() for weight in weights)


def _codec(recipe: Recipe, rate: float) -> list[str]:
    """What training the family's own codec costs, where this run does."""
    if not trains_codec(recipe):
        return []
    weights, flop = codec_cost(recipe)
    train: Any = recipe.teacher.codec.train  # type: ignore[attr-defined]
    flop *= 1 + BACKWARD
    return [
        f"codec: {weights / 1e6:.2f} M weights; {train.steps} steps of batch {train.batch}, {flop / 1e12:.4g} TFLOP "
        f"each (discriminators not counted): {train.steps * flop / (0.5 * rate) / 3600:.2g} hours"
    ]


def _meta_teacher(recipe: Recipe) -> AvatarDenoiser:
    if recipe.teacher.path is not None and located(recipe.teacher.path).exists():
        return open_teacher(recipe, find_teacher(recipe.teacher.path)).to("meta")
    audio = (2 * recipe.audio.context + 1, *_audio_dims(recipe))
    return new_teacher(recipe, audio, recipe_latent(recipe))


def _stage_cost(recipe: Recipe, stage: Stage, teacher: Any, one: PassCosts, rate: float) -> Cost:
    trained = sum(_count(teacher.part(part)) for part in stage.trains)
    total = _count(teacher.parameters())
    frames = stage.frames or recipe.clip.frames
    share = frames / recipe.clip.frames
    # Single frames have none before them.
    images = 1.0 if frames > 1 else 1 / (1 + recipe.clip.motion_frames)
    learned = 1 + BACKWARD + one.recomputed
    passes = StepPasses(0, learned * share, images * (learned if "reference" in stage.trains else 1))
    per_weight = state_bytes(recipe.engine, processes_of(recipe))
    flop = _flop(recipe, passes, one) * stage.batch
    memory = trained * per_weight + (total - trained) * 4 + one.kept * share * stage.batch
    return Cost(stage.name, stage.steps, trained / 1e6, passes, flop / 1e12, memory / 2**30,
                stage.steps * flop / (0.5 * rate) / 3600)  # fmt: skip


def _phase_cost(
    recipe: Recipe, phase: Phase, teacher: AvatarDenoiser, student: AvatarDenoiser, one: PassCosts, rate: float
) -> Cost:
    passes = phase_passes(recipe, phase, one.recomputed)
    frozen = _count(teacher.parameters())
    per_weight = state_bytes(recipe.engine, processes_of(recipe))
    trained = _count(student.parameters())
    if not phase.trains_reference:
        trained -= sum(_count(getattr(student, name).parameters()) for name in student.encoders)
    flop = _flop(recipe, passes, one) * phase.batch
    # With cached targets the teacher is let go before the student is trained.
    is_cached = phase.targets == "cached"
    weights = trained * per_weight + (0 if is_cached else frozen * (2 if recipe.engine.precision == "bf16" else 4))
    # The student's one pass is over both halves of the mixed loss, where it has two.
    memory = weights + one.kept * points_of(recipe, phase) * phase.batch
    return Cost(phase.name, phase.steps, trained / 1e6, passes, flop / 1e12, memory / 2**30,
                phase.steps * flop / (0.5 * rate) / 3600)  # fmt: skip


def _flop(recipe: Recipe, passes: StepPasses, one: PassCosts) -> float:
    """Operations of a step per sample of a micro-batch."""
    nets = one.forward * passes.teacher + one.with_cfg * passes.student + one.reference * passes.reference
    return nets * recipe.engine.accumulate


def _against_public(recipe: Recipe, phase: Phase, one: PassCosts) -> str:
    """What the step costs beside the public way's, by operations."""
    ours, public = phase_passes(recipe, phase, one.recomputed), public_passes(recipe, phase, one.recomputed)
    return (
        f"{phase.name}: {ours.teacher:.3g} teacher and {ours.student:.3g} student passes a step; the public way "
        f"{public.teacher:.3g} and {public.student:.3g}: "
        f"{_flop(recipe, public, one) / _flop(recipe, ours, one):.2f} times the operations"
    )
