"""V-Express's networks by name, and a model of a recipe's shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fada.diffusion.paths import NoisePath
from fada.teacher.hallo.projections import FaceLocator
from fada.teacher.v_express.audio_projection import AudioResampler
from fada.teacher.v_express.model import VExpress
from fada.teacher.v_express.section import Network
from fada.teacher.v_express.unets import VExpressDenoisingUNet, VExpressReferenceUNet

MODEL = VExpress
NETWORKS = {
    "reference_unet": VExpressReferenceUNet,
    "denoising_unet": VExpressDenoisingUNet,
    "audio_projection": AudioResampler,
    "keypoint_guider": FaceLocator,
}


def new(network: Network, noise: Mapping[str, Any], audio: tuple[int, int, int], latent: tuple[int, ...]) -> VExpress:
    """A V-Express with random weights, its attentions weighed as in training; `audio` is (window, layers, dim)."""
    shape: dict[str, Any] = {
        "in_channels": latent[0],
        "channels": network.channels,
        "layers_per_block": network.layers_per_block,
        "heads": network.heads,
        "attention_levels": network.attention_levels,
        "norm_groups": network.norm_groups,
    }
    window, layers, states_dim = audio
    reference = VExpressReferenceUNet(**shape, token_dim=network.audio_dim)
    denoiser = VExpressDenoisingUNet(**shape, audio_dim=network.audio_dim, max_frames=network.max_frames)
    # Both start from the same weights, as both start from SD 1.5 in the paper.
    own, theirs = reference.state_dict(), denoiser.state_dict()
    shared = {key: value for key, value in theirs.items() if key in own and own[key].shape == value.shape}
    reference.load_state_dict({**own, **shared})
    return VExpress(
        reference,
        denoiser,
        AudioResampler(
            states=window * layers,
            states_dim=states_dim,
            dim=network.audio_hidden,
            inner=network.audio_hidden,
            heads=network.audio_heads,
            feed_forward=4 * network.audio_hidden,
            depth=network.audio_depth,
            queries=network.audio_tokens,
            token_dim=network.audio_dim,
        ),
        FaceLocator(network.channels[0], network.keypoint_channels),
        NoisePath.from_config(noise),
        reference_weight=1.0,
        audio_weight=1.0,
        frames=network.max_frames,
        overlap=network.overlap,
    )
