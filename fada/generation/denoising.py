"""One clip from noise to latents: the predictor that a guidance means, and the sampler that a model was made for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from fada.diffusion.guidance import needed_branches
from fada.diffusion.sampling import sample_student
from fada.diffusion.solvers import Predict, Solver, solve
from fada.diffusion.spacing import Spacing
from fada.diffusion.trajectory import sample_trajectory
from fada.diffusion.transfer import moved
from fada.diffusion.windows import Windows
from fada.generation.ranges import GUIDANCES
from fada.teacher.denoiser import AvatarDenoiser
from fada.teacher.guidance import guided

Guidance = Literal["auto", "ladder", "embedded", "none"]


def which_guidance(wanted: Guidance, usual: Guidance, embeds: bool) -> Guidance:
    """The guidance of a call: `auto` is what the model was made for.

    Args:
        embeds: whether it has the scales inside.

    Raises:
        ValueError: there is none of that name, or the model cannot be guided so.
    """
    guidance = usual if wanted == "auto" else wanted
    if guidance == "auto":
        return "embedded" if embeds else "ladder"
    if guidance == "embedded" and not embeds:
        raise ValueError(
            "guidance: this model was not taught its scales; use guidance='ladder', or a student that was "
            "distilled with guidance: distill"
        )
    if guidance not in GUIDANCES:
        raise ValueError(f"guidance: got {guidance!r}; choose from {', '.join(GUIDANCES)}")
    return guidance


@dataclass(frozen=True)
class Settings:
    """Of one call: steps per clip; scales (1 or B, branches - 1), in their order; solver and spacing of a teacher's."""

    steps: int
    scales: Tensor
    guidance: Guidance
    solver: Solver
    spacing: Spacing
    seed: int


@dataclass(frozen=True)
class ClipDenoiser:
    """A model with its sampler.

    windows: of a student; gamma: of a trajectory-consistency student, see `sample_trajectory`; None for any other.
    """

    model: AvatarDenoiser
    is_student: bool
    windows: Windows
    gamma: float | None

    def __call__(
        self, noise: Tensor, conditions: Any, settings: Settings, index: int, on_step: Callable[[int], None] | None
    ) -> tuple[Tensor, int]:
        """Denoised latents of the clip of this index, and how many evaluations they took."""
        model, path, steps = self.model, self.model.path, settings.steps
        if settings.guidance == "embedded":
            predict, branches = embedded(model, conditions, settings.scales), 1
        else:
            predict, branches = guided(model, conditions, settings.scales), len(needed_branches(settings.scales))
        if noise.device.type == "mps":
            # The samplers' tables are float64, which that device lacks.
            predict, noise = _elsewhere(predict, noise.device), noise.cpu()
        if self.gamma is not None:
            # A generator of its own: the initial noise of later clips must stay that of every other model.
            again = torch.Generator().manual_seed(fresh_noise_seed(settings.seed, index))
            return sample_trajectory(predict, path, noise, steps, self.gamma, again, on_step), steps * branches
        if self.is_student:
            return sample_student(predict, path, self.windows, noise, steps, on_step), steps * branches
        ones = torch.ones(len(noise), dtype=torch.float64)
        made = solve(predict, path, noise, ones, 0 * ones, steps, settings.solver, on_step, settings.spacing)
        return made, steps * branches


def fresh_noise_seed(seed: int, index: int) -> int:
    """Where the noise between the jumps of a call's clip of this index comes from; never the initial noise's seed."""
    found = (seed * 1_000_003 + index) % 2**63
    # Of seed 0, a call's default, the first clip would be 0 too: its fresh noise would be the initial one again.
    return found if found != seed else 2**63 - 1


def embedded(student: AvatarDenoiser, conditions: Any, scales: Tensor) -> Predict:
    """Predictor of a student that is told its scales (B, scales): one pass a step."""
    count = len(scales)
    rows = student.expand(conditions, torch.arange(count), torch.full((count,), student.scale_count))
    told = student.with_scales(rows, moved(scales, next(student.parameters()).device))
    return lambda latents, t: student.evaluate(latents, t, told)


def _elsewhere(predict: Predict, device: torch.device) -> Predict:
    """The predictor on its device, for latents that stay where they are."""
    return lambda latents, t: predict(latents.to(device), t).to(latents.device)
