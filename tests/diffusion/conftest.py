"""A world where every answer is known: Gaussian data, whose predictor and ODE are closed forms.

Data are ``N(mean, std^2 I)``; the ODE keeps ``(z - a mean) / sqrt(a^2 std^2 + c^2)`` constant. ``vectors/method.json``
holds numbers for it, and for every other formula, made with NumPy in float64 independently of this package.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from fada.diffusion.forms import lambda_eta
from fada.diffusion.paths import NoisePath


@dataclass(frozen=True)
class GaussianWorld:
    """The perfect predictor, the exact ODE and the perfect student of Gaussian data on a path."""

    path: NoisePath
    mean: float | Tensor = 1.3
    std: float = 0.6

    def predict(self, z: Tensor, t: Tensor) -> Tensor:
        """The perfect prediction of the path's type, z (B, 1)."""
        a, c = self.path.signal_noise(t, like=z)
        unit = (z - a * self.mean) / (a**2 * self.std**2 + c**2)
        return self.path.training_target(self.mean + a * self.std**2 * unit, c * unit, t)

    def scale_shift(self, t_start: Tensor, t_end: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """``p, q`` of the exact ``z_end = p z_start + q``."""
        (a_s, c_s), (a_e, c_e) = (self.path.signal_noise(t, like=like) for t in (t_start, t_end))
        p = ((a_e**2 * self.std**2 + c_e**2) / (a_s**2 * self.std**2 + c_s**2)).sqrt()
        return p, a_e * self.mean - p * a_s * self.mean

    def exact_end(self, z: Tensor, t_start: Tensor, t_end: Tensor) -> Tensor:
        """Where the ODE goes."""
        p, q = self.scale_shift(t_start, t_end, z)
        return p * z + q

    def perfect_student(self, z_t: Tensor, t: Tensor, t_start: Tensor, t_end: Tensor) -> Tensor:
        """The window's target, found from a point of the chord alone."""
        p, q = self.scale_shift(t_start, t_end, z_t)
        r = ((t - t_start) / (t_end - t_start)).to(z_t).view(-1, 1)
        z_start = (z_t - r * q) / (1 - r + r * p)
        slope, gain = (x.to(z_t).view(-1, 1) for x in lambda_eta(self.path, t_start, t_end))
        return (p * z_start + q - slope * z_start) / gain


PATHS = {
    "epsilon": NoisePath(),
    "v_zero_snr": NoisePath(
        prediction_type="v_prediction",
        beta_schedule="linear",
        beta_start=0.00085,
        beta_end=0.012,
        rescale_betas_zero_snr=True,
    ),
    "x0_zero_snr": NoisePath(prediction_type="sample", rescale_betas_zero_snr=True),
    "flow": NoisePath(prediction_type="flow_prediction"),
}


@pytest.fixture(scope="session")
def vectors() -> dict[str, Any]:
    """Reference numbers of every formula."""
    return json.loads((Path(__file__).parent / "vectors" / "method.json").read_text())


@pytest.fixture(params=list(PATHS))
def path(request: pytest.FixtureRequest) -> NoisePath:
    """One path of each form: eps on Stable Diffusion's schedule, v and x0 at zero terminal SNR, rectified flow."""
    return PATHS[request.param]


@pytest.fixture
def world(path: NoisePath) -> GaussianWorld:
    """The Gaussian world on each path."""
    return GaussianWorld(path)


@pytest.fixture
def eps_path() -> NoisePath:
    """Stable Diffusion 1.5's path."""
    return PATHS["epsilon"]


@pytest.fixture
def v_path() -> NoisePath:
    """Linear betas rescaled to zero terminal SNR, v-prediction."""
    return PATHS["v_zero_snr"]


@pytest.fixture
def world_class() -> type[GaussianWorld]:
    """The class of Gaussian worlds, for tests that choose their own mean."""
    return GaussianWorld


@pytest.fixture
def generator() -> torch.Generator:
    """Seeded randomness of one test."""
    return torch.Generator().manual_seed(0)
