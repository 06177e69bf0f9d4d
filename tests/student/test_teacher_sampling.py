"""How a teacher is sampled: solver and spacing of a call reach the solver, and students take none."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import pytest
import torch

from fada.diffusion.paths import NoisePath
from fada.diffusion.solvers import Solver, solve
from fada.diffusion.spacing import Spacing
from fada.diffusion.windows import Windows
from fada.generation import denoising
from fada.generation.denoising import ClipDenoiser, Settings
from fada.generation.pipelines import FadaPipeline, open_pipeline
from fada.generation.ranges import SOLVERS, SPACINGS, check_sampler

PATH = NoisePath(beta_schedule="scaled_linear", prediction_type="epsilon")
MEAN, SPREAD = 0.7, 0.5


def gaussian(z: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """The exact noise prediction where data are Gaussian with MEAN and SPREAD."""
    signal, noise = PATH.signal_noise(t, like=z)
    variance = signal**2 * SPREAD**2 + noise**2
    return noise * (z - signal * MEAN) / variance


def exact_end(z: torch.Tensor) -> torch.Tensor:
    """Where the probability-flow ODE of that Gaussian ends: the same place in units of the spread."""
    signal, noise = PATH.signal_noise(torch.ones(1, dtype=torch.float64), like=z)
    last_signal, last_noise = PATH.signal_noise(torch.zeros(1, dtype=torch.float64), like=z)
    start, end = (
        (a**2 * SPREAD**2 + c**2).sqrt() for a, c in ((signal, noise), (last_signal, last_noise))
    )  # fmt: skip
    return last_signal * MEAN + (z - signal * MEAN) / start * end


@pytest.fixture
def denoise(monkeypatch: pytest.MonkeyPatch) -> Any:
    """``denoise(solver, spacing)``: latents of a Gaussian teacher after six steps, and its noise."""
    monkeypatch.setattr(denoising, "guided", lambda model, conditions, scales: gaussian)
    noise = torch.randn(1, 4, 2, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def run(solver: Solver, spacing: Spacing) -> tuple[torch.Tensor, torch.Tensor]:
        sampler = ClipDenoiser(SimpleNamespace(path=PATH), False, Windows(4), None)  # type: ignore[arg-type]
        settings = Settings(6, torch.ones(1, 2), "none", solver, spacing, 0)
        made, nfe = sampler(noise, None, settings, 0, None)
        assert nfe == 6
        return made, noise

    return run


@pytest.mark.parametrize("solver", ["ddim", "dpmpp_2m"])
@pytest.mark.parametrize("spacing", get_args(Spacing))
def test_a_teacher_takes_the_steps_that_are_asked(denoise: Any, solver: Solver, spacing: Spacing) -> None:
    made, noise = denoise(solver, spacing)
    one = torch.ones(1, dtype=torch.float64)
    torch.testing.assert_close(made, solve(gaussian, PATH, noise, one, 0 * one, 6, solver, spacing=spacing))


def test_well_placed_nodes_bring_a_gaussian_teacher_nearer_to_the_exact_end(denoise: Any) -> None:
    errors = {}
    for spacing in ("time", "noise_share"):
        made, noise = denoise("ddim", spacing)
        errors[spacing] = float((made - exact_end(noise)).square().mean())
    assert errors["noise_share"] < 0.5 * errors["time"]


def test_names_of_the_command_line_are_the_solvers_own() -> None:
    assert get_args(Solver) == SOLVERS
    assert get_args(Spacing) == SPACINGS


@pytest.mark.parametrize(
    ("is_student", "solver", "spacing", "message"),
    [
        (False, "euler", None, "solver: got 'euler'; choose from ddim, dpmpp_2m, dpmpp_2m_log_snr"),
        (False, None, "karras", "spacing: got 'karras'; choose from time, log_snr, noise_share"),
        (True, "ddim", None, "solver: got 'ddim', but this is a student: its windows fix where its steps lie"),
        (True, None, "time", "spacing: got 'time', but this is a student"),
        (False, "dpmpp_2m_log_snr", "time", "spacing: got 'time', but dpmpp_2m_log_snr has its own"),
    ],
)
def test_samplers_that_cannot_be_are_refused(
    is_student: bool, solver: str | None, spacing: str | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        check_sampler(is_student, solver, spacing)


def test_a_folders_teacher_is_sampled_so_and_its_student_refuses(student_run: Any) -> None:
    portrait, sound = np.full((16, 16, 3), 90, np.uint8), np.zeros(3200, np.float32)
    teacher = open_pipeline(student_run / "teacher")
    assert isinstance(teacher, FadaPipeline)
    plain, same, other = (
        teacher(portrait, sound, decode=False, **options).latents
        for options in ({}, {"solver": "ddim", "spacing": "time"}, {"spacing": "noise_share"})
    )  # fmt: skip
    assert torch.equal(plain, same)
    assert not torch.equal(plain, other)
    student = open_pipeline(student_run / "students" / "fast")
    with pytest.raises(ValueError, match="spacing: got 'noise_share', but this is a student"):
        student(portrait, sound, spacing="noise_share")
    with pytest.raises(ValueError, match="solver: got 'dpmpp_2m', but this is a student"):
        student.stream(portrait, [sound], solver="dpmpp_2m")
