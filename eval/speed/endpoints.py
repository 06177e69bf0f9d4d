"""How far from the window's true end a solver stops: its error against many small steps, window by window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fada.diffusion.solvers import Solver, solve
from fada.diffusion.spacing import Spacing
from fada.diffusion.windows import Windows
from fada.family import Denoiser
from fada.teacher.guidance import guided

Compared = tuple[Solver, int, Spacing]
COMPARED: tuple[Compared, ...] = (
    ("ddim", 8, "time"),
    ("dpmpp_2m", 4, "time"),
    ("dpmpp_2m", 6, "time"),
    ("dpmpp_2m_log_snr", 4, "time"),
    ("dpmpp_2m", 4, "noise_share"),
)
"""Solvers, steps and their clock; the first is what the others are held against."""
NAMES: dict[Solver, str] = {"ddim": "DDIM", "dpmpp_2m": "2M", "dpmpp_2m_log_snr": "2M in log-SNR"}
CLOCKS: dict[Spacing, str] = {"time": "", "log_snr": " of log-SNR", "noise_share": " of the noise's share"}


def solver_name(solver: Solver, steps: int, spacing: Spacing) -> str:
    """For people, as `2M, 4 steps`; steps of time go without saying."""
    return f"{NAMES[solver]}, {steps} {'step' if steps == 1 else 'steps'}{CLOCKS[spacing]}"


@dataclass(frozen=True)
class EndpointErrors:
    """Errors of one solver: root mean square over a clip's latents, mean over samples, per window, noise first."""

    solver: Solver
    steps: int
    errors: list[float]
    spacing: Spacing = "time"

    @property
    def name(self) -> str:
        """For people."""
        return solver_name(self.solver, self.steps, self.spacing)

    def is_no_larger(self, other: EndpointErrors) -> list[bool]:
        """Per window, whether the error is at most the other's."""
        return [own <= theirs for own, theirs in zip(self.errors, other.errors, strict=True)]


@dataclass(frozen=True)
class EndpointSamples:
    """Where solvers start from: clean latents and noise (B, F, C, h, w), conditions, scales (B, scales)."""

    latents: Tensor
    noise: Tensor
    conditions: Any
    scales: Tensor


@torch.no_grad()
def endpoint_errors(
    denoiser: Denoiser,
    samples: EndpointSamples,
    windows: Windows,
    fine_steps: int,
    compared: Sequence[Compared] = COMPARED,
    on_window: Callable[[int], None] = lambda window: None,
) -> list[EndpointErrors]:
    """Errors of the guided teacher's window ends, by each solver.

    Args:
        fine_steps: of DDIM in one window, for the end that counts as true.
        on_window: told of every finished window.
    """
    predict = guided(denoiser, samples.conditions, samples.scales)
    path, batch = denoiser.path, len(samples.latents)
    errors: dict[Compared, list[float]] = {each: [] for each in compared}
    for window in range(windows.count):
        place = windows.count - 1 - window
        end, start = (torch.full((batch,), bound, dtype=torch.float64) for bound in windows.bounds[place : place + 2])
        z_start = path.add_noise(samples.latents, samples.noise, start)
        fine = solve(predict, path, z_start, start, end, fine_steps, "ddim")
        for each in compared:
            solver, steps, spacing = each
            stopped = solve(predict, path, z_start, start, end, steps, solver, spacing=spacing)
            distance = (stopped - fine).square().flatten(1).mean(dim=1).sqrt()
            errors[each].append(float(distance.mean()))
        on_window(window + 1)
    return [EndpointErrors(solver, steps, found, spacing) for (solver, steps, spacing), found in errors.items()]
