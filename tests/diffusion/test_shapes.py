"""Shapes that torch would spread in silence are errors while tests run."""

from __future__ import annotations

import pytest
import torch
from jaxtyping import TypeCheckError

from fada.diffusion.forms import student_point
from fada.diffusion.paths import NoisePath, per_sample
from fada.student.copies import student_of
from fada.teacher.dual_unet.model import DualUNet
from fada.teacher.inputs import ClipInputs


def test_times_of_another_batch_are_refused() -> None:
    latents, times = torch.zeros(3, 2), torch.full((1,), 0.5)
    with pytest.raises(TypeCheckError, match="parameter 't'"):
        NoisePath().add_noise(latents, latents, times)


def test_ends_of_a_window_of_two_shapes_are_refused() -> None:
    times = torch.ones(3)
    with pytest.raises(TypeCheckError, match="parameter 'z_end'"):
        student_point(torch.zeros(3, 4, 2), torch.zeros(3, 1, 2), times / 2, times, times / 4)


def test_a_value_per_sample_has_no_other_axis() -> None:
    with pytest.raises(TypeCheckError, match="parameter 'values'"):
        per_sample(torch.zeros(3, 1), torch.zeros(3, 2))


def test_a_batch_asked_at_the_times_of_another_is_refused(dual_unet: DualUNet, inputs: ClipInputs) -> None:
    conditions = dual_unet.prepare(inputs)
    rows = dual_unet.expand(conditions, torch.tensor([0, 1]), torch.tensor([2, 2]))
    latents = torch.zeros(2, inputs.audio.shape[1], *inputs.reference.shape[1:])
    assert dual_unet.evaluate(latents, torch.ones(2, dtype=torch.float64), rows).shape == latents.shape
    with pytest.raises(TypeCheckError, match="parameter 't'"):
        dual_unet.evaluate(latents, torch.ones(1, dtype=torch.float64), rows)


def test_scales_of_one_clip_for_several_are_refused(dual_unet: DualUNet) -> None:
    student = student_of(dual_unet, "tokens", 2)
    with pytest.raises(TypeCheckError, match="parameter 'scales'"):
        student.with_scales(None, torch.ones(2))
