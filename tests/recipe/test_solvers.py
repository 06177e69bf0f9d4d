"""How near the shipped recipes' solvers come to window ends, on a teacher whose answers are exact: a mixture.

Six faces with six mouths each, in 24 dimensions, of narrow Gaussians; guidance at the paper's scales makes the way
curved. What is held against them is what the public way does: DDIM with 8 steps in a quarter of the time.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from fada.diffusion.paths import NoisePath
from fada.diffusion.spacing import spaced_windows
from fada.eval.speed.endpoints import Compared, EndpointErrors, EndpointSamples, endpoint_errors
from fada.eval.speed.public_way import public_steps
from fada.recipe.loading import load_recipe

FACES, MOUTHS, DIMENSIONS, SPREAD = 6, 6, 24, 0.15


class Mixture:
    """Perfect predictions of the recipe's type: of all faces, of one, of one mouth of it."""

    branches = ("nothing", "reference", "audio")

    def __init__(self, path: NoisePath) -> None:
        self.path = path
        generator = torch.Generator().manual_seed(0)
        faces = torch.randn(FACES, 1, DIMENSIONS, generator=generator, dtype=torch.float64)
        mouths = 0.35 * torch.randn(1, MOUTHS, DIMENSIONS, generator=generator, dtype=torch.float64)
        self.centres = (faces + mouths).flatten(0, 1)
        self.known = torch.zeros(3, FACES * MOUTHS, dtype=torch.bool)
        self.known[0], self.known[1, :MOUTHS], self.known[2, 0] = True, True, True

    def expand(self, conditions: Any, clips: Tensor, branches: Tensor) -> Tensor:
        return self.known[branches]

    def evaluate(self, latents: Tensor, t: Tensor, known: Tensor) -> Tensor:
        signal, noise = (each[:, None] for each in self.path.signal_noise(t))
        z = latents.flatten(1).double()
        apart = z[:, None] - signal[..., None] * self.centres
        variance = (signal * SPREAD) ** 2 + noise**2
        shares = (-apart.square().sum(-1) / (2 * variance)).masked_fill(~known, -torch.inf).softmax(1)
        clean = (shares[..., None] * (self.centres + (signal * SPREAD**2 / variance)[..., None] * apart)).sum(1)
        found = (z - signal * clean) / noise
        answer = found if self.path.prediction_type == "epsilon" else signal * found - noise * clean
        return answer.view_as(latents)


def errors(name: str, *compared: Compared, scales: tuple[float, float] = (2.5, 6.5)) -> list[EndpointErrors]:
    """Of the last phase's windows, noise first."""
    recipe = load_recipe(name)
    path = NoisePath.from_config(recipe.noise.model_dump())
    mixture, generator = Mixture(path), torch.Generator().manual_seed(1)
    clean = mixture.centres[0] + SPREAD * torch.randn(64, 1, 1, 1, DIMENSIONS, generator=generator, dtype=torch.float64)
    noise = torch.randn(clean.shape, generator=generator, dtype=torch.float64)
    samples = EndpointSamples(clean.view(noise.shape), noise, None, torch.tensor([scales]).expand(len(noise), 2))
    windows = spaced_windows(path, recipe.distill.windows, recipe.distill.spacing)
    return endpoint_errors(mixture, samples, windows, 96, compared)  # type: ignore[arg-type]


@pytest.mark.parametrize("scales", [(1.0, 1.0), (2.5, 6.5)])
@pytest.mark.parametrize(
    "name", ["sd15/balanced", "sd15/fast", "sd15/teacher", "hallo/fast", "bench/mid", "real/small"]
)
def test_window_ends_of_shipped_recipes_are_at_least_as_near_as_those_of_ddim(
    name: str, scales: tuple[float, float]
) -> None:
    distill = load_recipe(name).distill
    solver, public = distill.phases[-1].solver, public_steps(distill.windows)
    assert solver.steps < public
    ddim, own = errors(name, ("ddim", public, "time"), (solver.kind, solver.steps, solver.spacing), scales=scales)
    assert sum(own.errors) < sum(ddim.errors)
    # A window that starts without signal takes equal steps of time, and may stay a little behind: its errors are small.
    assert own.errors[0] < 1.3 * ddim.errors[0] + 1e-4
    assert all(mine < 1.1 * theirs for mine, theirs in zip(own.errors[1:], ddim.errors[1:], strict=True))
