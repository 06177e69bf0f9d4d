"""Steps with one measure more each: what they ask of the networks, and what their lines say."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fada.data.dataset import ClipSampler
from fada.eval.speed import steps as module
from fada.eval.speed.steps import (
    BATCHED,
    CACHED,
    COMPILED,
    ONE_CALL,
    PLAIN,
    REFERENCE,
    SOLVER,
    StepsSetting,
    TrainingStep,
    measure_steps,
    training_steps,
)
from fada.student.network import Student
from fada.teacher.dual_unet import DualUNet

Calls = dict[str, tuple[list[int], int]]


def calls_of(teacher: DualUNet, student: Student, steps: dict[str, TrainingStep]) -> Calls:
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


def test_each_measure_changes_what_is_asked_of_the_networks(
    small_teacher: DualUNet, student: Student, sampler: ClipSampler, setting: StepsSetting
) -> None:
    with training_steps(small_teacher, student, sampler, setting) as steps:
        assert calls_of(small_teacher, student, steps) == {
            PLAIN: ([2] * 24 + [2, 2], 26),
            REFERENCE: ([2] * 24 + [2, 2], 1),
            BATCHED: ([6] * 8 + [2, 2], 1),
            ONE_CALL: ([6] * 8 + [4], 1),
            SOLVER: ([6] * 4 + [4], 1),
            CACHED: ([4], 1),
        }


def test_measures_that_keep_the_step_keep_its_loss_and_weights_stay(
    small_teacher: DualUNet, student: Student, sampler: ClipSampler, setting: StepsSetting
) -> None:
    before = student.denoising_unet.conv_in.weight.detach().clone()
    with training_steps(small_teacher, student, sampler, setting) as steps:
        for name in (PLAIN, REFERENCE, BATCHED, ONE_CALL):
            steps[name]()
            steps[name]()
    for name in (REFERENCE, BATCHED, ONE_CALL):
        assert steps[name].losses == pytest.approx(steps[PLAIN].losses, rel=1e-3)
    assert steps[PLAIN].losses[0] != pytest.approx(steps[PLAIN].losses[1], rel=1e-3)
    assert torch.equal(student.denoising_unet.conv_in.weight, before)


def test_in_bf16_the_teacher_answers_in_its_own_type_and_the_loss_is_near(
    small_teacher: DualUNet, student: Student, sampler: ClipSampler, setting: StepsSetting
) -> None:
    with training_steps(small_teacher, student, sampler, setting) as steps:
        steps[ONE_CALL]()
    exact = steps[ONE_CALL].losses[0]
    short = replace(setting, dtype=torch.bfloat16)
    with training_steps(small_teacher.to(torch.bfloat16), student, sampler, short) as steps:
        steps[ONE_CALL]()
    assert steps[ONE_CALL].losses[0] == pytest.approx(exact, rel=0.1)
    assert steps[ONE_CALL].losses[0] != exact


def test_a_compiled_teacher_is_a_copy(
    small_teacher: DualUNet,
    student: Student,
    sampler: ClipSampler,
    setting: StepsSetting,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compiled: list[torch.nn.Module] = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: compiled.append(module))
    with training_steps(small_teacher, student, sampler, replace(setting, is_compiled=True)) as steps:
        assert list(steps) == [PLAIN, REFERENCE, BATCHED, ONE_CALL, SOLVER, COMPILED, CACHED]
    (net,) = compiled
    assert net is not small_teacher.denoising_unet
    assert torch.equal(net.conv_in.weight, small_teacher.denoising_unet.conv_in.weight)  # type: ignore[union-attr]


def test_lines_say_what_each_measure_brings_and_add_the_share_of_solving_to_cached_targets(
    small_teacher: DualUNet,
    student: Student,
    sampler: ClipSampler,
    setting: StepsSetting,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seconds = {PLAIN: 12.0, REFERENCE: 10.0, BATCHED: 8.0, ONE_CALL: 6.0, SOLVER: 4.0, CACHED: 1.5}
    monkeypatch.setattr(module, "take_turns", lambda works, rounds, on_work: {k: [v] for k, v in seconds.items()})
    with training_steps(small_teacher, student, sampler, setting) as steps:
        for name, step in steps.items():
            step.losses.append(7.0)
            step.teacher_seconds.append(0.5 * seconds[name])
        lines = {line.name: line for line in measure_steps(steps, setting, rounds=1)}
    assert lines[PLAIN].against_plain == 1.0
    assert lines[BATCHED].against_before == pytest.approx(10 / 8)
    assert lines[SOLVER].against_plain == pytest.approx(3.0)
    assert lines[SOLVER].teacher_share == pytest.approx(0.5)
    # A quarter of the teacher's 2 seconds in the step before.
    assert lines[CACHED].seconds == pytest.approx(1.5 + 0.5)
    assert lines[CACHED].teacher_share == pytest.approx(0.25)
    assert (lines[SOLVER].loss, lines[CACHED].loss) == (7.0, None)
    assert "in every epoch" in lines[CACHED].told
