"""The plain way is another way to the same step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fada.data.dataset import BatchShape, ClipSampler
from fada.eval.speed.plain import PlainTeacher, TwoCalls
from fada.student.distillation import DistillObjective, DistillSettings
from fada.student.network import Student
from fada.teacher.dual_unet import DualUNet
from fada.teacher.inputs import ClipInputs

HALVES = torch.full((6,), 0.5, dtype=torch.float64)


def loss_of(teacher: Any, student: Student, model: nn.Module, sampler: ClipSampler, settings: Any) -> Tensor:
    return DistillObjective(teacher, student, sampler, settings, BatchShape(2)).loss(model, 3, 0).total


@pytest.mark.parametrize("guidance", ["distill", "sync"])
@pytest.mark.parametrize("prepares_once", [False, True])
def test_plain_and_ours_have_the_same_loss_and_gradient(
    small_teacher: DualUNet,
    student: Student,
    sampler: ClipSampler,
    settings: DistillSettings,
    guidance: str,
    prepares_once: bool,
) -> None:
    changed = DistillSettings(**{**vars(settings), "guidance": guidance, "solver_steps": 2})
    found = {}
    plain = PlainTeacher(small_teacher, prepares_once)
    for name, teacher, model in (("plain", plain, TwoCalls(student)), ("ours", small_teacher, student)):
        student.zero_grad()
        loss = loss_of(teacher, student, model, sampler, changed)
        loss.backward()
        found[name] = (loss.detach(), student.denoising_unet.conv_in.weight.grad.clone())
    torch.testing.assert_close(found["plain"], found["ours"], rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize(("prepares_once", "passes"), [(False, 3), (True, 1)])
def test_the_plain_teacher_asks_the_reference_net_in_every_call(
    small_teacher: DualUNet, inputs: ClipInputs, latents: Tensor, prepares_once: bool, passes: int
) -> None:
    asked: list[int] = []
    small_teacher.reference_unet.register_forward_pre_hook(lambda module, args: asked.append(len(args[0])))
    plain = PlainTeacher(small_teacher, prepares_once)
    clips, rungs = torch.arange(2).repeat(3), torch.arange(3).repeat_interleave(2)
    rows = plain.at_rungs(plain.prepare(inputs.to(torch.float32)), clips, rungs)
    with torch.no_grad():
        plain.evaluate(latents.float().repeat(3, 1, 1, 1, 1), HALVES, rows)
    assert asked == [2] * passes


def test_rows_come_back_in_the_order_in_which_they_were_asked(
    small_teacher: DualUNet, inputs: ClipInputs, latents: Tensor
) -> None:
    clips, rungs = torch.tensor([0, 1, 0, 1, 0, 1]), torch.tensor([2, 0, 1, 2, 0, 1])
    given = inputs.to(torch.float32)
    answers = []
    for teacher in (PlainTeacher(small_teacher), small_teacher):
        with torch.no_grad():
            rows: Any = teacher.at_rungs(teacher.prepare(given), clips, rungs)
            answers.append(teacher.evaluate(latents.float()[clips], HALVES, rows))
    torch.testing.assert_close(answers[0], answers[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scales", [None, torch.tensor([[2.0, 3.0], [1.0, 4.0], [1.0, 1.0], [1.5, 6.0]])])
def test_two_calls_answer_as_one(student: Student, inputs: ClipInputs, latents: Tensor, scales: Tensor | None) -> None:
    calls: list[int] = []
    student.denoising_unet.register_forward_pre_hook(lambda module, args: calls.append(len(args[0])))
    rung = torch.tensor([2, 0, 2, 0])
    given = (inputs.to(torch.float32), latents.float().repeat(2, 1, 1, 1, 1), HALVES[:4], rung, scales, None)
    with torch.no_grad():
        twice: Tensor = TwoCalls(student)(*given)
        once = student(*given)
    assert calls == [2, 2, 4]
    torch.testing.assert_close(twice, once, rtol=1e-4, atol=1e-5)
