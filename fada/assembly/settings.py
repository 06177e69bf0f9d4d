"""Sections of a recipe as the plain arguments that classes take."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from fada.data.sampling.clip_source import ClipSource
from fada.data.sampling.dataset import BatchShape
from fada.data.shards.stored_clips import StoredClips
from fada.engine.loop import LoopSettings
from fada.engine.parallel import ParallelSettings, new_accelerator
from fada.engine.trackers import TrackedPhase, Tracker, open_trackers
from fada.files.folders import inside
from fada.recipe.schema import Recipe
from fada.recipe.sections.distill import Loss, Phase
from fada.recipe.sections.section import Section
from fada.student.mixed_loss import MixedLossConfig
from fada.student.solved_windows import DistillSettings
from fada.teacher.checkpointing import Recomputed, checkpoint_activations


def shared_fields(section: Section, made: type[Any]) -> dict[str, Any]:
    """What a section says of the fields that a dataclass made from it has under the same names."""
    return {each.name: getattr(section, each.name) for each in fields(made) if each.name in type(section).model_fields}


def default_steps(recipe: Recipe) -> int:
    """Steps of a student: the recipe's, or one and a half per window, as the paper's 6 over 4."""
    return recipe.distill.steps or math.ceil(1.5 * recipe.distill.windows)


def accelerator(recipe: Recipe, batch: int) -> Accelerator:
    """A fresh Accelerator for one phase, of so many samples per process and micro-batch."""
    settings = ParallelSettings(**shared_fields(recipe.engine, ParallelSettings))
    return new_accelerator(settings, batch)


def batch_shape(recipe: Recipe, size: int, prepared: Accelerator) -> BatchShape:
    """Samples of a step, and this process's among them."""
    return BatchShape(size, prepared.process_index, prepared.num_processes, recipe.engine.accumulate)


def data_workers(recipe: Recipe, device: torch.device, clips: ClipSource) -> int:
    """Processes that read ahead for a training process; clips that are in memory need none."""
    if not isinstance(clips, StoredClips):
        return 0
    asked = recipe.engine.data_workers
    # On a CPU they would take the processors that train.
    return (2 if device.type == "cuda" else 0) if asked is None else asked


def loop_settings(recipe: Recipe, steps: int, lr: float, facts: Mapping[str, Any]) -> LoopSettings:
    """The engine section, for one phase; facts are what it follows from beside."""
    shared = shared_fields(recipe.engine, LoopSettings)
    shared["warmup"] = min(recipe.engine.warmup, max(1, steps // 4))
    return LoopSettings(steps=steps, lr=lr, seed=recipe.seed, facts=facts, **shared)


def trackers_of(recipe: Recipe, logs: Path, phase: str) -> list[Tracker]:
    """The recipe's trackers, for one phase whose own files lie in `logs`."""
    facts = recipe.model_dump(mode="json", exclude={"output"})
    tracked = TrackedPhase(inside(recipe.output, "trackers"), recipe.name, phase, facts)
    return open_trackers(recipe.engine.trackers, logs, tracked)


def recompute(recipe: Recipe, network: nn.Module) -> None:
    """Let a trained network compute again what the recipe does not keep for its backward pass."""
    which = recomputed(recipe)
    if which is not None:
        checkpoint_activations(network, which)


def recomputed(recipe: Recipe) -> Recomputed | None:
    """Which blocks of trained networks the recipe computes again."""
    which = recipe.engine.activation_checkpointing
    return ("all" if which is True else which) or None


def distill_settings(recipe: Recipe, phase: Phase) -> DistillSettings:
    """A phase of the recipe as plain arguments."""
    is_tcd = recipe.distill.method == "tcd"
    return DistillSettings(
        guidance=phase.guidance,
        # Trajectory consistency asks the teacher for single steps of its way: each is a window of its own.
        windows=phase.solver.steps if is_tcd else recipe.distill.windows,
        times="starts" if is_tcd else recipe.distill.times,
        solver=phase.solver.kind,
        solver_steps=1 if is_tcd else phase.solver.steps,
        scales=tuple(phase.scales[name].ends for name in recipe.teacher.family.guidance.names),
        motion_drop=phase.motion_drop,
        loss=_loss_config(phase.loss),
        gt_guidance=phase.loss.gt_guidance,
        seed=recipe.seed,
        matched=recipe.distill.matched,
        spacing=recipe.distill.spacing,
        solver_spacing=phase.solver.spacing,
    )


def _loss_config(section: Loss) -> MixedLossConfig:
    return MixedLossConfig(**shared_fields(section, MixedLossConfig))


def default_scales(recipe: Recipe) -> tuple[float, ...]:
    """Scales of a call that names none, in the order of the branches: the report's, or the middle of what is learned.

    The middle of what the last fast student learns; where there is none, the family's own scale.
    """
    learned = [phase for phase in recipe.distill.phases if phase.guidance == "distill"]
    scales = recipe.teacher.family.guidance.scales
    middle = {name: sum(each.ends) / 2 for name, each in learned[-1].scales.items()} if learned else scales
    asked = recipe.bench.scales
    return tuple(float(middle[name] if (scale := asked[name]) is None else scale) for name in scales)
