"""What a step says of itself, whose reference net it asks, and who learns."""

from __future__ import annotations

import math

import pytest
import torch
from gaussian_model import calls_of, gaussian_student, gaussian_teacher
from test_gaussian_distillation import FORMS, clips, objective, settings, taken

from fada.data.sampling.dataset import BatchShape, ClipSampler
from fada.student.copies import student_of
from fada.student.distillation import DistillObjective, train_student
from fada.student.mixed_loss import MixedLossConfig
from fada.student.trajectory import TrajectoryObjective
from fada.teacher.dual_unet.model import DualUNet


def test_figures_of_a_step_are_those_of_its_windows_and_clip_sets() -> None:
    config = MixedLossConfig(weighting="adaptive", slope=0.5, base=0.3, peak=4.0, dead=8.0)
    made = objective(FORMS[0], loss=config, shape=BatchShape(8))
    dead = 0.0
    for step in range(4):
        found = taken(made, step)
        distill, data = found.errors()
        scalars, start = found.loss.scalars, found.window[0]
        for edge in (0.25, 0.5, 0.75, 1.0):
            expected = float(distill[(start - edge).abs() < 1e-9].mean())
            assert float(scalars[f"loss_distill_from_{edge:g}"]) == pytest.approx(expected, rel=1e-3)
        ratio = data / distill
        for name in "AB":
            chosen = sorted(float(ratio[row]) for row, of in enumerate(found.batch.qualities) if of == name)
            if chosen:
                # The lower of two middle ones, as torch's median.
                expected = chosen[(len(chosen) - 1) // 2]
                assert float(scalars[f"ratio_{name}"]) == pytest.approx(expected, rel=1e-3)
        share = float((ratio >= 8).double().mean())
        assert float(scalars["dead_share"]) == pytest.approx(share)
        dead += share
    assert dead != 2.0  # Or else it could be the share of the others.


@pytest.mark.parametrize("family", [DistillObjective, TrajectoryObjective])
@pytest.mark.parametrize(("trains_reference", "passes"), [(False, 1), (True, 2)])
def test_a_reference_net_that_learns_looks_itself_and_a_frozen_one_is_asked_once(
    family: type, trains_reference: bool, passes: int
) -> None:
    changes = {"times": "starts", "solver_steps": 1} if family is TrajectoryObjective else {}
    teacher = gaussian_teacher(FORMS[0])
    student = gaussian_student(teacher)
    sampler = ClipSampler(clips(), 3, motion_frames=2, context=2)
    made = family(
        teacher,
        student,
        sampler,
        settings(guidance="sync", **changes),
        BatchShape(2),
        trains_reference=trains_reference,
    )
    made.loss(made.module, 0, 0)
    looked = teacher.reference_unet.__dict__["calls"]
    # In trajectory consistency the target network looks as well.
    expected = passes + (trains_reference and family is TrajectoryObjective)
    assert len(looked) == expected


@pytest.mark.parametrize("trains_reference", [False, True])
def test_all_of_a_student_learns_but_what_looks_unless_that_is_asked(teacher: DualUNet, trains_reference: bool) -> None:
    student = student_of(teacher, "tokens", 2)
    student.requires_grad_(False)
    train_student(student, trains_reference)
    assert {p.requires_grad for p in student.reference_unet.parameters()} == {trains_reference}
    for part in (student.denoising_unet, student.audio_projection):
        assert all(p.requires_grad for p in part.parameters())


def test_processes_together_have_the_times_of_one_big_batch() -> None:
    whole = taken(objective(FORMS[0], guidance="sync", shape=BatchShape(4)), 2)
    parts = [taken(objective(FORMS[0], guidance="sync", shape=BatchShape(2, rank, 2)), 2) for rank in range(2)]
    assert torch.equal(torch.cat([part.t for part in parts]), whole.t)


@pytest.mark.parametrize("spacing", ["noise_share", "log_snr"])
def test_windows_that_the_recipe_spaces_start_where_its_clock_is_at_equal_parts(spacing: str) -> None:
    formulas = FORMS[0]
    grid = torch.arange(1, 1001).double() / 1000
    a, c = formulas.levels(grid)
    clock = c / (a + c) if spacing == "noise_share" else (c / a).log()
    wanted = [float(clock[0] + number / 4 * (clock[-1] - clock[0])) for number in (1, 2, 3)]
    edges = [float(grid[(clock - each).abs().argmin()]) for each in wanted]
    found = taken(objective(formulas, spacing=spacing, guidance="sync", shape=BatchShape(4)))
    assert found.teacher[0].t.tolist() == pytest.approx([*edges, 1.0], abs=1e-6)
    assert max(abs(edge - number / 4) for number, edge in enumerate(edges, 1)) > 0.1


def test_a_goal_may_be_the_data_or_the_teachers_own_step_and_nothing_beyond() -> None:
    teacher = gaussian_teacher(FORMS[0])
    chosen = settings(guidance="sync", windows=20, times="starts", solver_steps=1)
    sampler = ClipSampler(clips(), 3, motion_frames=2, context=2)
    made = TrajectoryObjective(teacher, gaussian_student(teacher), sampler, chosen, BatchShape(1))
    latest = torch.tensor([0.002], dtype=torch.float64)
    goals = [round(1000 * float(made._goals(latest, step, 0))) for step in range(300)]
    assert set(goals) == {0, 1, 2}
    for goal in range(3):
        # A third of 300 draws each, within four standard deviations.
        assert goals.count(goal) == pytest.approx(100, abs=4 * math.sqrt(300 * 2 / 9))
    assert calls_of(teacher) == []
