"""A trajectory-consistency step in the Gaussian world: the teacher's step, both landings and their distance by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from gaussian_formulas import Formulas, combined, wide
from gaussian_model import branch_means, calls_of, gaussian_student, gaussian_teacher
from test_gaussian_distillation import FORMS, clips, near, settings
from torch import Tensor

from fada.data.sampling.dataset import BatchShape, ClipSampler
from fada.student.trajectory import TrajectoryObjective

STEPS = 20


def objective(formulas: Formulas, gain: float = 1.0, batch: int = 1, **changes: Any) -> TrajectoryObjective:
    chosen = settings(windows=STEPS, times="starts", solver_steps=1, **changes)
    teacher = gaussian_teacher(formulas)
    student = gaussian_student(teacher, None, is_told=chosen.guidance == "distill", gain=gain)
    sampler = ClipSampler(clips(), 3, motion_frames=2, context=2)
    return TrajectoryObjective(teacher, student, sampler, chosen, BatchShape(batch))


def landed(formulas: Formulas, z: Tensor, t: Tensor, goal: Tensor, prediction: Tensor) -> Tensor:
    slope, gain = map(wide, formulas.line(t, goal))
    return slope * z.double() + gain * prediction


@pytest.mark.parametrize("formulas", FORMS, ids=lambda each: each.form)
@pytest.mark.parametrize("guidance", ["sync", "distill"])
def test_jumps_from_both_ends_of_the_teachers_step_to_one_goal(formulas: Formulas, guidance: str) -> None:
    made = objective(formulas, gain=0.9, guidance=guidance)
    made.follow(lambda: {"denoising_unet.gain": torch.tensor(1.2).double()})
    lengths = set()
    for step in range(8):
        for model in (made.solved.teacher, made.module):
            calls_of(model).clear()
        loss = made.loss(made.module, step, 0)
        (taught,), (average, own) = calls_of(made.solved.teacher), calls_of(made.module)
        batch = made.sampler.batch(step, made.shape)
        t, t_next = (torch.round(each.t * 1000) / 1000 for each in (own, average))
        near(t - t_next, torch.tensor([1 / STEPS]), 1e-9)
        near(taught.t[:1], own.t, 1e-9)
        means_of_branches = branch_means(batch.reference, batch.audio, batch.motion, batch.has_motion)
        if guidance == "distill":
            assert own.scales is not None
            assert torch.equal(own.scales, average.scales)
            assert (own.branches, taught.branches) == ([2], [0, 1, 2])
            means = combined(means_of_branches, own.scales.double())
        else:
            assert own.branches == average.branches == taught.branches
            means = means_of_branches[:, :, own.branches[0]]
        # The noise path at the step's start, and DDIM to its end.
        noise = formulas.noise_in(own.latents, batch.latents, t)
        assert float(noise.std()) == pytest.approx(1.0, abs=0.15)
        near(average.latents, formulas.ddim_end(own.latents, [t, t_next], means))
        goal = t - float(loss.scalars["jump_length"])
        assert bool((goal <= t_next + 1e-9).all() and (goal >= -1e-9).all())
        near(goal * 1000, torch.round(goal * 1000), 1e-6)
        goal = torch.round(goal * 1000) / 1000
        lengths.add(round(float(goal), 3))
        ends = [
            landed(formulas, z, at, goal, factor * formulas.perfect(z, at, means))
            for z, at, factor in ((own.latents, t, 0.9), (average.latents, t_next, 1.2))
        ]
        expected = float((ends[0] - ends[1]).square().mean())
        assert float(loss.total.detach()) == pytest.approx(expected, rel=1e-3, abs=1e-8)
        assert float(loss.scalars["loss_distill"]) == pytest.approx(expected, rel=1e-3, abs=1e-8)
    assert len(lengths) > 4


def test_before_there_is_an_average_the_student_itself_is_the_target_and_no_gradient_passes_through_it() -> None:
    made = objective(FORMS[0], gain=0.9, guidance="sync")
    loss = made.loss(made.module, 0, 0)
    loss.total.backward()
    average, own = calls_of(made.module)
    t, t_next = (torch.round(each.t * 1000) / 1000 for each in (own, average))
    goal = torch.round((t - float(loss.scalars["jump_length"])) * 1000) / 1000
    answers = [FORMS[0].perfect(call.latents, at, call.means) for call, at in ((own, t), (average, t_next))]
    first, last = (
        landed(FORMS[0], call.latents, at, goal, 0.9 * answer)
        for call, at, answer in zip((own, average), (t, t_next), answers, strict=True)
    )
    assert float(loss.total.detach()) == pytest.approx(float((first - last).square().mean()), rel=1e-3)
    gain = wide(FORMS[0].line(t, goal)[1])
    expected = float(2 * ((first - last) * gain * answers[0]).mean())
    assert float(made.module.denoising_unet.gain.grad) == pytest.approx(expected, rel=1e-2)
