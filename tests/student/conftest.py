"""A tiny teacher in float64 and random clips."""

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


@pytest.fixture
def teacher() -> DualUNet:
    """Its zero-initialised layers are shaken, so that every condition has an effect."""
    torch.manual_seed(0)
    path = NoisePath.from_config(
        {"prediction_type": "v_prediction", "beta_schedule": "linear", "rescale_betas_zero_snr": True}
    )
    projection = AudioProjection(5, 1, 12, 16, 2, 8)
    network = DualUNet(ReferenceUNet(**SHAPE), DenoisingUNet(**SHAPE, audio_dim=8, max_frames=8), projection, path)
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.2)
    return network.double().eval().requires_grad_(False)


@pytest.fixture
def inputs() -> ClipConditions:
    generator = torch.Generator().manual_seed(1)

    def randn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return ClipConditions(randn(2, 4, 8, 8), randn(2, 3, 5, 1, 12), randn(2, 2, 4, 8, 8), torch.ones(2).bool())


@pytest.fixture
def latents() -> torch.Tensor:
    return torch.randn(2, 3, 4, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
