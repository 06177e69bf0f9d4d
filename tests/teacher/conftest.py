"""Tiny networks that every teacher and student test shares."""

import pytest
import torch

from fada.diffusion.paths import NoisePath
from fada.teacher.dual_unet import AudioProjection, ClipConditions, DenoisingUNet, DualUNet, ReferenceUNet

SHAPE = {
    "channels": (8, 16),
    "layers_per_block": 1,
    "heads": 2,
    "attention_levels": (False, True),
    "temporal_levels": (True, True),
    "norm_groups": 4,
}


def tiny_dual_unet() -> DualUNet:
    """A dual UNet in float64 whose zero-initialised layers are shaken, so that every condition has an effect."""
    torch.manual_seed(0)
    path = NoisePath.from_config(
        {"prediction_type": "v_prediction", "beta_schedule": "linear", "rescale_betas_zero_snr": True}
    )
    network = DualUNet(
        ReferenceUNet(**SHAPE),
        DenoisingUNet(**SHAPE, audio_dim=8, max_frames=8),
        AudioProjection(5, 1, 12, 16, 2, 8),
        path,
    )
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.2)
    return network.double().eval().requires_grad_(False)


def clip_inputs(batch: int = 2, frames: int = 3, motion: int = 2) -> ClipConditions:
    """Conditions of random clips."""
    generator = torch.Generator().manual_seed(1)

    def randn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return ClipConditions(
        randn(batch, 4, 8, 8), randn(batch, frames, 5, 1, 12), randn(batch, motion, 4, 8, 8), torch.ones(batch).bool()
    )


@pytest.fixture
def dual_unet() -> DualUNet:
    return tiny_dual_unet()


@pytest.fixture
def inputs() -> ClipConditions:
    return clip_inputs()


@pytest.fixture
def latents() -> torch.Tensor:
    return torch.randn(2, 3, 4, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
