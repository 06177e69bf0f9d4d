"""What every test runs under: no network, fixed seeds, few threads, no windows."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import torch

    from fada.teacher.dual_unet import DualUNet
    from fada.teacher.inputs import ClipInputs

os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ["MPLBACKEND"] = "Agg"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["DS_ACCELERATOR"] = os.environ.get("DS_ACCELERATOR", "cpu")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def project_root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections leave the machine in no test; processes of one test may still talk to each other."""
    connect = socket.socket.connect

    def refuse_remote(self: socket.socket, address: object) -> None:
        host = address[0] if isinstance(address, tuple) else "localhost"
        if host not in ("localhost", "127.0.0.1", "::1") and self.family != socket.AF_UNIX:
            raise AssertionError(f"a test tried to reach {host}: tests need no network")
        connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", refuse_remote)


@pytest.fixture(autouse=True)
def _fixed_seeds() -> None:
    """Tests that forget their generator are still the same every time."""
    import random
    import sys

    random.seed(0)
    # Only where a test has loaded them already: importing torch costs seconds.
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture
def dual_unet() -> DualUNet:
    """A tiny teacher in float64 whose zero-initialised layers are shaken, so that every condition has an effect."""
    import torch

    from fada.diffusion.paths import NoisePath
    from fada.teacher.dual_unet import AudioProjection, DenoisingUNet, DualUNet, ReferenceUNet

    shape = {
        "channels": (8, 16),
        "layers_per_block": 1,
        "heads": 2,
        "attention_levels": (False, True),
        "temporal_levels": (True, True),
        "norm_groups": 4,
    }
    torch.manual_seed(0)
    path = NoisePath.from_config(
        {"prediction_type": "v_prediction", "beta_schedule": "linear", "rescale_betas_zero_snr": True}
    )
    projection = AudioProjection(5, 1, 12, 16, 2, 8)
    network = DualUNet(ReferenceUNet(**shape), DenoisingUNet(**shape, audio_dim=8, max_frames=8), projection, path)
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.2)
    return network.double().eval().requires_grad_(False)


@pytest.fixture
def teacher(dual_unet: DualUNet) -> DualUNet:
    """The same, where it is what a student learns from."""
    return dual_unet


@pytest.fixture
def inputs() -> ClipInputs:
    """Conditions of two random clips of three frames, with two motion frames."""
    import torch

    from fada.teacher.inputs import ClipInputs

    generator = torch.Generator().manual_seed(1)

    def randn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return ClipInputs(randn(2, 4, 8, 8), randn(2, 3, 5, 1, 12), randn(2, 2, 4, 8, 8), torch.ones(2).bool())


@pytest.fixture
def latents() -> torch.Tensor:
    """Noisy latents of two clips of three frames."""
    import torch

    return torch.randn(2, 3, 4, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
