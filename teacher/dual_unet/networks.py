"""The dual UNet's networks by name, and a model of a recipe's shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fada.diffusion.paths import NoisePath
from fada.teacher.dual_unet.audio_projection import AudioProjection
from fada.teacher.dual_unet.model import DualUNet
from fada.teacher.dual_unet.section import Network
from fada.teacher.dual_unet.unets import DenoisingUNet, ReferenceUNet

MODEL = DualUNet
NETWORKS = {
    "reference_unet": ReferenceUNet,
    "denoising_unet": DenoisingUNet,
    "audio_projection": AudioProjection,
}


def new(network: Network, noise: Mapping[str, Any], audio: tuple[int, int, int], latent: tuple[int, ...]) -> DualUNet:
    """A dual UNet with random weights; `audio` is (window, layers, dim) of states, latent its codec's shape."""
    shape: dict[str, Any] = {
        "in_channels": latent[0],
        "channels": network.channels,
        "layers_per_block": network.layers_per_block,
        "heads": network.heads,
        "attention_levels": network.attention_levels,
        "temporal_levels": network.temporal_levels,
        "norm_groups": network.norm_groups,
        "has_places": network.has_places,
    }
    window, layers, states_dim = audio
    reference = ReferenceUNet(**shape)
    denoiser = DenoisingUNet(**shape, audio_dim=network.audio_dim, max_frames=network.max_frames)
    # Both start from the same weights, as both start from SD 1.5 in the paper: the reference's keys then lie in the
    # space that the denoising net's queries know.
    shared = reference.state_dict().keys()
    reference.load_state_dict({key: value for key, value in denoiser.state_dict().items() if key in shared})
    return DualUNet(
        reference,
        denoiser,
        AudioProjection(window, layers, states_dim, network.audio_hidden, network.audio_tokens, network.audio_dim),
        NoisePath.from_config(noise),
    )
