"""Forward passes of one step of a phase, counted: what it asks of which network, and what the public way asks.

The public way to compare with is a competent one, see `eval/speed/public_way.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from fada.assembly.settings import distill_settings
from fada.diffusion.guidance import needed_branches
from fada.eval.speed.public_way import public_way
from fada.recipe.schema import Recipe
from fada.recipe.sections.distill import Phase
from fada.student.solved_windows import DistillSettings

BACKWARD = 2.0
"""A backward pass costs about two forward passes."""


@dataclass(frozen=True)
class StepPasses:
    """Passes over one clip, per sample and step.

    teacher: of its denoising net, all branches counted; with cached targets their mean over the training. student: of
    the trained net, a backward pass counted as two, and what it computes again. reference: of the reference net, by
    whomever, counted alike.
    """

    teacher: float
    student: float
    reference: float


def phase_passes(recipe: Recipe, phase: Phase, recomputed: float = 0.0) -> StepPasses:
    """What a phase's step asks as the recipe stands.

    Args:
        recomputed: share of a student's forward pass that its backward pass computes again.
    """
    share = cached_share(recipe, phase)
    return _passes(recipe, phase, distill_settings(recipe, phase), share, recomputed)


def public_passes(recipe: Recipe, phase: Phase, recomputed: float = 0.0) -> StepPasses:
    """The same of the public way, which solves the same windows anew in every step."""
    return _passes(recipe, phase, public_way(distill_settings(recipe, phase)), None, recomputed)


def _passes(
    recipe: Recipe, phase: Phase, settings: DistillSettings, share: float | None, recomputed: float
) -> StepPasses:
    """Share: windows solved per sample, None where they are not cached."""
    learned, solves = 1 + BACKWARD + recomputed, 1.0 if share is None else share
    teacher = branches_of(settings) * settings.solver_steps * solves
    student = learned * points_of(recipe, phase)
    calls = 1
    if recipe.distill.method == "tcd":
        # The student's jump is held against that of its moving average.
        calls, student = 2, student + 1
    # Whoever solves a window looks at its reference; frozen, the same features serve a student in that very step.
    if phase.trains_reference:
        own = learned + calls - 1
    else:
        own = 0.0 if share is None else calls
    return StepPasses(teacher, student, solves + own)


def branches_of(settings: DistillSettings) -> int:
    """Branches that a pass of the teacher has: one in `sync`; else those that some scales in the ranges need."""
    if settings.guidance == "sync":
        return 1
    lowest, highest = torch.tensor(settings.scales, dtype=torch.float64).reshape(-1, 2).T
    # Coefficients are linear in the scales: one that is zero at a corner and at those next to it is zero everywhere.
    corners = lowest.repeat(len(lowest) + 1, 1)
    corners[1:].diagonal().copy_(highest)
    return len(needed_branches(corners))


def points_of(recipe: Recipe, phase: Phase) -> int:
    """Points at which a student learns per sample: on the teacher's chord, and on the data's where that may count."""
    uses_data = distill_settings(recipe, phase).loss.uses_ground_truth
    return 2 if recipe.distill.method == "perflow" and uses_data else 1


def samples_of(recipe: Recipe, phase: Phase) -> int:
    """Samples that a phase learns from, in all processes."""
    return phase.steps * phase.batch * recipe.engine.accumulate * processes_of(recipe)


def cached_share(recipe: Recipe, phase: Phase) -> float | None:
    """Windows that are solved per sample with cached targets, once for the whole training; None without."""
    if phase.targets != "cached":
        return None
    windows = distill_settings(recipe, phase).windows
    # A cache is filled whole, and holds equally many of every window.
    count = -(-phase.cached_samples // windows) * windows
    return count / samples_of(recipe, phase)


def processes_of(recipe: Recipe) -> int:
    """Processes that the recipe asks for: one per GPU, or one, where it leaves that open."""
    return recipe.engine.processes or max(1, torch.cuda.device_count())
