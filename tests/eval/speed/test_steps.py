"""Steps with one measure more each: what they ask of the networks, and what their lines say."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fada.data.sampling.dataset import ClipSampler
from fada.eval.speed import steps as module
from fada.eval.speed.steps import (
    CACHED,
    COMPILED,
    PUBLIC,
    StepsSetting,
    TrainingStep,
    measure_steps,
    training_steps,
)
from fada.student.mixed_loss import MixedLossConfig
from fada.teacher.denoiser import AvatarDenoiser
from fada.teacher.dual_unet.model import DualUNet

SOLVER = "2M in log-SNR, 4 steps"
Calls = dict[str, tuple[list[int], int]]


def calls_of(teacher: DualUNet, student: AvatarDenoiser, steps: dict[str, TrainingStep]) -> Calls:
    """Per step the rows of every pass of the denoising nets, and the passes of the reference nets."""
    rows: list[int] = []
    references: list[int] = []
    for net in (teacher.denoising_unet, student.denoising_unet):
        net.register_forward_pre_hook(lambda module, args: rows.append(len(args[0])))
    teacher.reference_unet.register_forward_pre_hook(lambda module, args: references.append(1))
    found: Calls = {}
    for name, step in steps.items():
        rows.clear()
        references.clear()
        step()
        found[name] = (list(rows), len(references))
    return found


def test_the_public_way_batches_its_branches_and_asks_the_reference_net_once(
    small_teacher: DualUNet, student: AvatarDenoiser, sampler: ClipSampler, setting: StepsSetting
) -> None:
    with training_steps(small_teacher, student, sampler, setting) as steps:
        assert calls_of(small_teacher, student, steps) == {
            # Two samples of three branches, DDIM with 8 steps; both points of both samples at once.
            PUBLIC: ([6] * 8 + [4], 1),
            SOLVER: ([6] * 4 + [4], 1),
            CACHED: ([4], 1),
        }


def test_the_last_step_is_the_recipes_own(
    small_teacher: DualUNet, student: AvatarDenoiser, sampler: ClipSampler, setting: StepsSetting
) -> None:
    own = replace(
        setting.settings, guidance="sync", solver="ddim", solver_steps=3, loss=MixedLossConfig("fixed", base=0.0)
    )
    online = replace(setting, settings=own, cached_share=None)
    with training_steps(small_teacher, student, sampler, online) as steps:
        # One branch, three steps; no question about data that cannot count.
        assert calls_of(small_teacher, student, steps) == {
            PUBLIC: ([2] * 8 + [2], 1),
            "DDIM, 3 steps": ([2] * 3 + [2], 1),
        }
    public = replace(online, settings=replace(own, solver_steps=8))
    with training_steps(small_teacher, student, sampler, public) as steps:
        assert list(steps) == [PUBLIC]


def test_steps_go_through_the_same_draws_and_weights_stay(
    small_teacher: DualUNet, student: AvatarDenoiser, sampler: ClipSampler, setting: StepsSetting
) -> None:
    before = student.denoising_unet.conv_in.weight.detach().clone()
    same = replace(setting, settings=replace(setting.settings, solver="ddim", solver_steps=9))
    with training_steps(small_teacher, student, sampler, same) as steps:
        for name in (PUBLIC, "DDIM, 9 steps"):
            steps[name]()
            steps[name]()
    assert steps["DDIM, 9 steps"].losses == pytest.approx(steps[PUBLIC].losses, rel=0.1)
    assert steps[PUBLIC].losses[0] != pytest.approx(steps[PUBLIC].losses[1], rel=1e-3)
    assert torch.equal(student.denoising_unet.conv_in.weight, before)


def test_in_bf16_the_teacher_answers_in_its_own_type_and_the_loss_is_near(
    small_teacher: DualUNet, student: AvatarDenoiser, sampler: ClipSampler, setting: StepsSetting
) -> None:
    with training_steps(small_teacher, student, sampler, setting) as steps:
        steps[SOLVER]()
    exact = steps[SOLVER].losses[0]
    short = replace(setting, dtype=torch.bfloat16)
    with training_steps(small_teacher.to(torch.bfloat16), student, sampler, short) as steps:
        steps[SOLVER]()
    assert steps[SOLVER].losses[0] == pytest.approx(exact, rel=0.1)
    assert steps[SOLVER].losses[0] != exact


def test_a_compiled_teacher_is_a_copy(
    small_teacher: DualUNet,
    student: AvatarDenoiser,
    sampler: ClipSampler,
    setting: StepsSetting,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compiled: list[torch.nn.Module] = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: compiled.append(module))
    with training_steps(small_teacher, student, sampler, replace(setting, is_compiled=True)) as steps:
        assert list(steps) == [PUBLIC, SOLVER, COMPILED, CACHED]
    (net,) = compiled
    assert net is not small_teacher.denoising_unet
    assert torch.equal(net.conv_in.weight, small_teacher.denoising_unet.conv_in.weight)  # type: ignore[union-attr]


def test_lines_say_what_each_measure_brings_and_add_the_share_of_solving_to_cached_targets(
    small_teacher: DualUNet,
    student: AvatarDenoiser,
    sampler: ClipSampler,
    setting: StepsSetting,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seconds = {PUBLIC: 12.0, SOLVER: 4.0, CACHED: 1.5}
    monkeypatch.setattr(module, "take_turns", lambda works, rounds, on_work: {k: [v] for k, v in seconds.items()})
    with training_steps(small_teacher, student, sampler, setting) as steps:
        for name, step in steps.items():
            step.losses.append(7.0)
            step.teacher_seconds.append(0.5 * seconds[name])
        lines = {line.name: line for line in measure_steps(steps, setting, rounds=1)}
    assert lines[PUBLIC].against_public == 1.0
    assert lines[SOLVER].against_public == lines[SOLVER].against_before == pytest.approx(3.0)
    assert lines[SOLVER].teacher_share == pytest.approx(0.5)
    # A quarter of the teacher's 2 seconds in the step before.
    assert lines[CACHED].seconds == pytest.approx(1.5 + 0.5)
    assert lines[CACHED].teacher_share == pytest.approx(0.25)
    assert lines[CACHED].against_before == pytest.approx(2.0)
    assert lines[CACHED].against_public == pytest.approx(6.0)
    assert (lines[SOLVER].loss, lines[CACHED].loss) == (7.0, None)
    assert lines[PUBLIC].told.endswith("windows solved in every step by DDIM, 8 steps")
    assert lines[SOLVER].told == "2M in log-SNR, 4 steps in place of DDIM, 8 steps"
    assert "in every epoch" in lines[CACHED].told
