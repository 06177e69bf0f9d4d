"""Passes of a step as the dry run counts them: by hand for every shipped recipe, and as networks are really asked."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from fada.assembly.models import new_teacher
from fada.assembly.settings import distill_settings
from fada.data.sampling.dataset import BatchShape, ClipSampler, LatentClip
from fada.recipe.loading import load_recipe
from fada.recipe.schema import Recipe
from fada.student.copies import student_of
from fada.student.distillation import DistillObjective
from fada.student.trajectory import TrajectoryObjective
from fada.studies.meta_passes import pass_costs, recipe_latent
from fada.studies.step_passes import StepPasses, branches_of, phase_passes, public_passes
from fada.teacher.denoiser import AvatarDenoiser
from fada.teacher.dual_unet.model import DualUNet

# By hand: branches x solver steps x windows solved per sample; points x (1 forward + 2 backward); reference net.
BY_HAND: dict[str, dict[str, tuple[float, float, float]]] = {
    "sd15/balanced": {"balanced": (1 * 4 * 65536 / 640000, 6, 1 + 65536 / 640000)},
    "sd15/fast": {
        "balanced": (1 * 4 * 65536 / 640000, 6, 1 + 65536 / 640000),
        "fast": (3 * 4 * 65536 / 640000, 6, 1 + 65536 / 640000),
    },
    "sd15/teacher": {
        "balanced": (1 * 4 * 65536 / 640000, 6, 1 + 65536 / 640000),
        "fast": (3 * 4 * 65536 / 640000, 6, 1 + 65536 / 640000),
    },
    "hallo/balanced": {"balanced": (1 * 4 * 65536 / 640000, 6, 1 + 65536 / 640000)},
    "hallo/fast": {
        "balanced": (1 * 4 * 65536 / 640000, 6, 1 + 65536 / 640000),
        "fast": (3 * 4 * 65536 / 640000, 6, 1 + 65536 / 640000),
    },
    # Windows of a sixth, three steps each, online.
    "real/small": {"fast": (3 * 3, 6, 1)},
    # Of a base, whose loss knows no ground truth, one point alone; TCD's target network answers once more.
    "ablations/adaptive-0.25": {"base": (1 * 2, 3, 1), "student": (1 * 2, 6, 1)},
    "ablations/rflow": {"base": (1 * 8, 3, 1), "student": (1 * 8, 3, 1)},
    "ablations/tcd": {"base": (1 * 1, 3 + 1, 1), "student": (1 * 1, 3 + 1, 1)},
    "bench/tiny": {"fast": (3 * 4 * 8192 / 120000, 6, 1 + 8192 / 120000)},
    "bench/mid": {"fast": (3 * 4 * 4096 / 40000, 6, 1 + 4096 / 40000)},
}


@pytest.mark.parametrize("name", BY_HAND)
def test_passes_of_shipped_recipes_are_those_counted_by_hand(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # A recipe that leaves its processes open has one per GPU.
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    recipe = load_recipe(name)
    counted = {phase.name: phase_passes(recipe, phase) for phase in recipe.distill.phases}
    assert counted == {
        phase: StepPasses(*(pytest.approx(each) for each in hand)) for phase, hand in BY_HAND[name].items()
    }


def test_the_public_way_solves_every_window_with_eight_steps_of_ddim() -> None:
    recipe = load_recipe("sd15/fast")
    balanced, fast = (public_passes(recipe, phase, recomputed=0.5) for phase in recipe.distill.phases)
    assert balanced == StepPasses(8, 7, 1)
    assert fast == StepPasses(24, 7, 1)


@pytest.mark.parametrize(
    ("reference", "audio", "branches"),
    [
        ((1.0, 4.0), (1.0, 9.0), 3),
        ((1.0, 1.0), (1.0, 1.0), 1),
        ((2.0, 2.0), (2.0, 2.0), 2),
        ((1.0, 1.0), (1.0, 9.0), 2),
        ((0.0, 0.0), (0.0, 0.0), 1),
        ((1.0, 2.0), (1.0, 1.0), 3),
    ],
)
def test_branches_that_no_scale_of_a_range_needs_are_not_counted(
    reference: tuple[float, float], audio: tuple[float, float], branches: int
) -> None:
    recipe = tiny(
        f"distill.phases.fast.scales.reference={{low: {reference[0]}, high: {reference[1]}}}",
        f"distill.phases.fast.scales.audio={{low: {audio[0]}, high: {audio[1]}}}",
    )
    assert branches_of(distill_settings(recipe, recipe.distill.phases[-1])) == branches


@pytest.mark.parametrize(
    ("scales", "branches"),
    [
        # Shares of the branches are 1 - a, a - b, b - c and c.
        (((1.0, 2.0), (1.0, 3.0), (1.0, 4.0)), 4),
        (((1.0, 1.0), (1.0, 1.0), (2.0, 4.0)), 2),
        (((1.0, 2.0), (3.0, 3.0), (3.0, 3.0)), 3),
        (((3.0, 3.0), (3.0, 3.0), (1.0, 3.0)), 3),
        (((1.0, 4.0),), 2),
        (((1.0, 1.0),), 1),
    ],
)
def test_branches_are_counted_for_any_number_of_scales(scales: tuple[tuple[float, float], ...], branches: int) -> None:
    recipe = tiny()
    assert branches_of(replace(distill_settings(recipe, recipe.distill.phases[-1]), scales=scales)) == branches


ZERO = "distill.phases.fast.loss={weighting: fixed, base: 0.0}"
SYNC = "distill.phases.fast.guidance=sync"
OWN_REFERENCE = "distill.phases.fast.trains_reference=true"
TCD = ("distill.method=tcd", "distill.windows=1", "distill.steps=6", ZERO, "distill.phases.fast.solver.steps=50")
WAYS: list[tuple[str, ...]] = [(), (SYNC,), (ZERO,), (ZERO, SYNC), (OWN_REFERENCE,), TCD, (*TCD, OWN_REFERENCE)]


@pytest.mark.parametrize("overrides", WAYS, ids=" ".join)
def test_networks_are_asked_as_often_as_is_counted(dual_unet: DualUNet, overrides: tuple[str, ...]) -> None:
    recipe = tiny("distill.phases.fast.solver={kind: dpmpp_2m, steps: 3}", *overrides)
    phase = recipe.distill.phases[-1]
    batch = 2
    objective = objective_of(recipe, dual_unet.float(), batch)
    rows = {"teacher": 0, "learned": 0, "asked": 0, "reference": 0.0}

    def ask(network: Any, key: str) -> None:
        def note(module: object, args: tuple[Tensor, ...]) -> None:
            learns = torch.is_grad_enabled() and any(p.requires_grad for p in network.parameters())
            rows["learned" if key == "student" and learns else "asked" if key == "student" else key] += len(args[0])
            if key == "reference" and learns:
                # Its backward pass counts as two.
                rows[key] += 2 * len(args[0])

        network.register_forward_pre_hook(note)

    student: Any = objective.module
    ask(dual_unet.denoising_unet, "teacher")
    ask(student.denoising_unet, "student")
    references = {id(net): net for net in (dual_unet.reference_unet, student.reference_unet)}
    for net in references.values():
        ask(net, "reference")
    objective.loss(student, 0, 0).total.backward()
    counted = phase_passes(recipe, phase)
    assert rows["teacher"] / batch == counted.teacher
    assert (3 * rows["learned"] + rows["asked"]) / batch == counted.student
    assert rows["reference"] / batch == counted.reference


def test_guidance_inside_adds_operations_to_a_pass_and_a_balanced_student_none() -> None:
    recipe = tiny()
    with torch.device("meta"):
        teacher = new_teacher(recipe, (2 * recipe.audio.context + 1, 1, recipe.audio.bins), recipe_latent(recipe))
        fast, balanced = (student_of(teacher, mode, 2) for mode in ("tokens", "none"))
    fast_costs, balanced_costs = (pass_costs(recipe, teacher, student) for student in (fast, balanced))
    assert balanced_costs.with_cfg == balanced_costs.forward == fast_costs.forward
    assert fast_costs.with_cfg > fast_costs.forward


def tiny(*overrides: str) -> Recipe:
    """The smoke recipe with its fast phase alone, from the teacher."""
    alone = "distill.phases=[{name: fast, steps: 3, batch: 2, lr: 1e-4}]"
    return load_recipe("tiny/smoke", [alone, "engine.processes=1", *overrides])


def objective_of(recipe: Recipe, teacher: DualUNet, batch: int) -> DistillObjective | TrajectoryObjective:
    """What the recipe's phase learns, of random clips."""
    phase = recipe.distill.phases[-1]
    generator = torch.Generator().manual_seed(3)
    clips = [
        LatentClip(
            f"clip-{index}",
            "A",
            torch.randn(9, 4, 8, 8, generator=generator),
            torch.randn(9, 1, 12, generator=generator),
        )
        for index in range(2)
    ]
    sampler = ClipSampler(clips, frames=3, motion_frames=2, context=2)
    student: AvatarDenoiser = student_of(teacher, "none" if phase.guidance == "sync" else "tokens", 2)  # type: ignore[assignment]
    if phase.trains_reference:
        student.reference_unet = copy.deepcopy(student.reference_unet)
    made = TrajectoryObjective if recipe.distill.method == "tcd" else DistillObjective
    settings = distill_settings(recipe, phase)
    return made(teacher, student, sampler, settings, BatchShape(batch), trains_reference=phase.trains_reference)
