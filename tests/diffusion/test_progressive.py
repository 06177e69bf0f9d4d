"""`times: starts` with a step per window is one round of progressive distillation (Salimans & Ho, arXiv 2202.00512)."""

from typing import Any

import pytest
import torch

from fada.diffusion.forms import student_point, student_step, window_target
from fada.diffusion.paths import NoisePath
from fada.diffusion.solvers import solve
from fada.diffusion.windows import Windows

STARTS = torch.tensor([6, 5, 4, 3, 2, 1], dtype=torch.float64) / 6
ENDS = torch.tensor([5, 4, 3, 2, 1, 0], dtype=torch.float64) / 6


@pytest.mark.parametrize("teacher_steps", [2, 8])
def test_its_target_is_that_of_progressive_distillation(
    world_class: Any, path: NoisePath, teacher_steps: int, generator: torch.Generator
) -> None:
    if path.is_flow:
        pytest.skip("progressive distillation is of variance-preserving paths")
    z_start = torch.randn(6, 1, dtype=torch.float64, generator=generator)
    z_end = solve(world_class(path).predict, path, z_start, STARTS, ENDS, teacher_steps)
    (a_s, c_s), (a_e, c_e) = (path.signal_noise(t, like=z_start) for t in (STARTS, ENDS))
    # Their algorithm 2: the clean latent from which one DDIM step lands where the teacher's steps did.
    clean = (z_end - c_e / c_s * z_start) / (a_e - c_e / c_s * a_s)
    noise = (z_start - a_s * clean) / c_s
    theirs = {"epsilon": noise, "v_prediction": a_s * noise - c_s * clean, "sample": clean}[path.prediction_type]
    # Both divide by the small difference of the window's ends: rounding, 3e-15 before it, grows with it.
    tolerance = 1e-12
    torch.testing.assert_close(window_target(path, z_start, z_end, STARTS, ENDS), theirs, rtol=0, atol=tolerance)


def test_its_input_is_the_noised_latent_itself(generator: torch.Generator) -> None:
    z_start, z_end = torch.randn(2, 6, 1, dtype=torch.float64, generator=generator)
    assert torch.equal(student_point(z_start, z_end, STARTS, STARTS, ENDS), z_start)


def test_its_sampler_is_ddim_with_as_many_steps(world_class: Any, path: NoisePath) -> None:
    world, z = world_class(path), torch.linspace(-2, 2, 5, dtype=torch.float64)[:, None]
    one = torch.ones(5, dtype=torch.float64)
    windows, found = Windows(4), z
    for start in (1.0, 0.75, 0.5, 0.25):
        bounds = windows.look_up(start * one)
        found = student_step(path, found, world.predict(found, bounds[0]), bounds[0], bounds[1], *bounds)
    torch.testing.assert_close(found, solve(world.predict, path, z, one, 0 * one, 4), rtol=0, atol=1e-12)
