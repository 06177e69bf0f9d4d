"""Shapes that torch would spread in silence are errors while tests run."""

from __future__ import annotations

import pytest
import torch
from jaxtyping import TypeCheckError

from fada.diffusion.forms import student_point
from fada.diffusion.paths import NoisePath, per_sample


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
