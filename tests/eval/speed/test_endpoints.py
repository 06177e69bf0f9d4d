"""Errors of solvers, where the true end is known: Gaussian data (method.md, section 7)."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from fada.diffusion.paths import NoisePath
from fada.diffusion.windows import Windows
from fada.eval.speed.endpoints import EndpointErrors, EndpointSamples, endpoint_errors

MEANS, DEVIATION = (0.0, 0.5, 1.0), 0.3


class Gaussian:
    """Perfect noise predictions for N(m, s^2), a mean per branch."""

    branches = ("nothing", "reference", "audio")
    path = NoisePath(prediction_type="epsilon", beta_schedule="linear", beta_start=1e-4, beta_end=0.02)

    def expand(self, conditions: Any, clips: Tensor, branches: Tensor) -> Tensor:
        return torch.tensor(MEANS, dtype=torch.float64)[branches]

    def evaluate(self, latents: Tensor, t: Tensor, means: Tensor) -> Tensor:
        signal, noise = (each.reshape(-1, 1, 1, 1, 1) for each in self.path.signal_noise(t))
        centred = latents - signal * means.reshape(-1, 1, 1, 1, 1)
        return noise * centred / (signal**2 * DEVIATION**2 + noise**2)


@pytest.fixture
def samples() -> EndpointSamples:
    generator = torch.Generator().manual_seed(0)
    latents, noise = torch.randn(2, 3, 2, 1, 4, 4, dtype=torch.float64, generator=generator)
    return EndpointSamples(latents, noise, None, torch.tensor([[2.0, 3.0], [1.5, 4.0], [2.0, 2.0]]))


def errors(samples: EndpointSamples, *compared: tuple[Any, int, Any], fine_steps: int = 250) -> list[EndpointErrors]:
    return endpoint_errors(Gaussian(), samples, Windows(4), fine_steps, compared)  # type: ignore[arg-type]


def test_the_fine_solution_is_without_error_against_itself(samples: EndpointSamples) -> None:
    (found,) = errors(samples, ("ddim", 50, "time"), fine_steps=50)
    assert found.errors == [0.0] * 4


def test_more_steps_and_a_second_order_leave_smaller_errors(samples: EndpointSamples) -> None:
    coarse, fine, second = errors(samples, ("ddim", 4, "time"), ("ddim", 8, "time"), ("dpmpp_2m", 8, "time"))
    assert fine.is_no_larger(coarse) == [True] * 4
    # First order: half the step, half the error.
    assert coarse.errors[1] / fine.errors[1] == pytest.approx(2, rel=0.15)
    assert second.errors[1] < 0.5 * fine.errors[1]


def test_windows_are_told_one_after_the_other(samples: EndpointSamples) -> None:
    told: list[int] = []
    endpoint_errors(Gaussian(), samples, Windows(2), 2, (("ddim", 1, "time"),), told.append)  # type: ignore[arg-type]
    assert told == [1, 2]


@pytest.mark.parametrize(
    ("solver", "steps", "spacing", "name"),
    [
        ("ddim", 8, "time", "DDIM, 8 steps"),
        ("dpmpp_2m", 1, "time", "2M, 1 step"),
        ("dpmpp_2m", 4, "noise_share", "2M, 4 steps of the noise's share"),
        ("dpmpp_2m_log_snr", 4, "time", "2M in log-SNR, 4 steps"),
    ],
)
def test_solvers_are_named_for_people(solver: Any, steps: int, spacing: Any, name: str) -> None:
    assert EndpointErrors(solver, steps, [], spacing).name == name
