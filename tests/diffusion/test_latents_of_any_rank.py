"""Latents of any rank: samples of vectors, of sequences and of clips take the same way, known in closed form.

Data are one point. There the noise in z_t is exact, so every solver and every student lands where a formula says.
"""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from fada.diffusion.forms import student_point, window_target
from fada.diffusion.paths import NoisePath, PredictionType
from fada.diffusion.sampling import sample_student
from fada.diffusion.scheduler import PeRFlowScheduler
from fada.diffusion.solvers import Predict, Solver, solve
from fada.diffusion.trajectory import sample_trajectory
from fada.diffusion.windows import Windows
from fada.teacher.guidance import at_branch, guided

SHAPES = [(5,), (3, 5), (2, 4, 6), (2, 3, 4, 4)]
"""Of a sample, without the batch."""
PATHS = {kind: NoisePath(kind, set_alpha_to_one=True) for kind in get_args(PredictionType)}


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape)), dtype=torch.float64)


def exact(path: NoisePath, point: Tensor) -> Predict:
    """The prediction of a network that knows the one point of the data."""

    def predict(z: Tensor, t: Tensor) -> Tensor:
        signal, noise = path.signal_noise(t, like=z)
        return path.training_target(point.expand_as(z), (z - signal * point) / noise, t)

    return predict


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", PATHS)
@pytest.mark.parametrize("solver", get_args(Solver))
def test_solvers_keep_the_noise_of_every_number(shape: tuple[int, ...], kind: str, solver: Solver) -> None:
    path, point, z = PATHS[kind], drawn(*shape), drawn(2, *shape)
    start, end = torch.tensor([0.9, 0.6], dtype=torch.float64), torch.tensor([0.5, 0.25], dtype=torch.float64)
    (a, c), (a_end, c_end) = (path.signal_noise(t, like=z) for t in (start, end))
    expected = a_end * point + c_end / c * (z - a * point)
    torch.testing.assert_close(solve(exact(path, point), path, z, start, end, 5, solver), expected)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", PATHS)
@pytest.mark.parametrize("is_matched", [False, True])
def test_students_land_on_the_point(shape: tuple[int, ...], kind: str, is_matched: bool) -> None:
    path, point, z = PATHS[kind], drawn(*shape), drawn(2, *shape)
    windows = Windows(4, is_matched=is_matched)

    def window_noise(z_t: Tensor, t: Tensor) -> Tensor:
        # Unmatched networks have learned what is exact where the window begins.
        start, end = windows.look_up(t)
        share = ((t - start) / (end - start)).view(-1, *[1] * (z_t.ndim - 1))
        (a, c), (a_end, c_end) = (path.signal_noise(each, like=z_t) for each in (start, end))
        noise = (z_t - torch.lerp(a, a_end, share) * point) / torch.lerp(c, c_end, share)
        return path.training_target(point.expand_as(z_t), noise, start)

    predict = exact(path, point) if is_matched else window_noise
    # The first point is pure noise in name only where the path keeps a little signal: it is the point's own.
    a, c = path.signal_noise(torch.ones(2, dtype=torch.float64), like=z)
    found = sample_student(predict, path, windows, a * point + c * z, 6)
    torch.testing.assert_close(found, point.expand_as(z), rtol=0, atol=1e-3 if is_matched else 1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_jumps_of_a_trajectory_land_on_the_point(shape: tuple[int, ...]) -> None:
    path, point = PATHS["flow_prediction"], drawn(*shape)
    found = sample_trajectory(exact(path, point), path, drawn(2, *shape), 4, generator=torch.Generator())
    torch.testing.assert_close(found, point.expand(2, *shape))


@pytest.mark.parametrize("shape", SHAPES)
def test_targets_and_the_scheduler_are_a_flows_difference_of_noise_and_data(shape: tuple[int, ...]) -> None:
    path, clean, noise = PATHS["flow_prediction"], drawn(2, *shape), drawn(2, *shape) + 1
    t, start, end = (torch.full((2,), each, dtype=torch.float64) for each in (0.6, 0.75, 0.5))
    z_start, z_end = (path.add_noise(clean, noise, each) for each in (start, end))
    torch.testing.assert_close(student_point(z_start, z_end, t, start, end), 0.4 * clean + 0.6 * noise)
    torch.testing.assert_close(window_target(path, z_start, z_end, start, end), noise - clean)
    scheduler = PeRFlowScheduler(prediction_type="flow_prediction", num_windows=2)
    scheduler.set_timesteps(4)
    z = noise
    for timestep in scheduler.timesteps:
        z = scheduler.step(noise - clean, timestep, z).prev_sample
    torch.testing.assert_close(z, clean)


class Branches:
    """A denoiser whose branch k answers ``(k + 1) z + c`` for the number c that a sample is conditioned on."""

    branches = ("none", "style", "text", "sound")
    path = PATHS["epsilon"]

    def expand(self, conditions: Tensor, clips: Tensor, branches: Tensor) -> Any:
        return conditions[clips], branches

    def evaluate(self, latents: Tensor, t: Tensor, conditions: Any) -> Tensor:
        assert len(latents) == len(t) == len(conditions[0])
        ones = [1] * (latents.ndim - 1)
        return (conditions[1].view(-1, *ones) + 1) * latents + conditions[0].view(-1, *ones)


@pytest.mark.parametrize("shape", SHAPES)
def test_branches_of_guidance_are_combined_number_by_number(shape: tuple[int, ...]) -> None:
    z, told = drawn(2, *shape), torch.tensor([10.0, 20.0], dtype=torch.float64)
    scales = torch.tensor([[1.0, 2.0, 5.0], [0.5, 3.0, 7.0]], dtype=torch.float64)
    found = guided(Branches(), told, scales)(z, torch.ones(2, dtype=torch.float64))
    # Each climb adds one z times its scale: 1 + s_1 + s_2 + s_3.
    ones = [1] * len(shape)
    expected = torch.tensor([9.0, 11.5], dtype=torch.float64).view(2, *ones) * z + told.view(2, *ones)
    assert found.shape == z.shape
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_branch_alone_answers_for_its_own_sample(shape: tuple[int, ...]) -> None:
    z, told = drawn(2, *shape), torch.tensor([10.0, 20.0], dtype=torch.float64)
    found = at_branch(Branches(), told, torch.tensor([3, 1]))(z, torch.ones(2, dtype=torch.float64))
    torch.testing.assert_close(found, torch.stack([4 * z[0] + 10, 2 * z[1] + 20]))
