"""A V-Express of a recipe's shape, as small as its networks can be, every weight of it alive, and clips for it."""

from __future__ import annotations

import torch

from fada.data.clips.keypoints import Keypoints
from fada.data.sampling.clip_source import LatentClip
from fada.recipe.sections.teacher import Noise
from fada.teacher.inputs import ClipInputs
from fada.teacher.v_express.model import VExpress
from fada.teacher.v_express.networks import new
from fada.teacher.v_express.section import Network

SIDE, CONTEXT, STATE = 2, 1, 12
"""Side of latents; frames of sound to each side that a frame hears; width of a state, as of 3 bins of log-mel."""
NETWORK = Network(
    channels=(32, 32), attention_levels=(True, False), layers_per_block=1, heads=2, norm_groups=8, audio_tokens=2,
    audio_dim=4, audio_hidden=4, audio_heads=2, audio_depth=1, keypoint_channels=(2, 2, 2, 2), max_frames=4, overlap=2,
)  # fmt: skip
NOISE = Noise(prediction_type="epsilon").model_dump()


def small_model(network: Network = NETWORK) -> VExpress:
    """The model with random weights; layers that start at zero have others, so that everything is seen."""
    torch.manual_seed(0)
    model = new(network, NOISE, (2 * CONTEXT + 1, 1, STATE), (4, SIDE, SIDE))
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


def keypoints(*shape: int) -> Keypoints:
    """Eyes, nose and mouth of frames, another place in each; the box of the lips covers the picture's middle."""
    frames = shape[-1]
    shift = torch.arange(frames)[:, None, None] * 0.02
    points = torch.tensor([[0.3, 0.3], [0.6, 0.3], [0.45, 0.5], [0.4, 0.7], [0.5, 0.7]]) + shift
    box = torch.tensor([0.375, 0.375, 0.625, 0.625]).repeat(frames, 1)
    found = Keypoints(points, torch.ones(frames, 5, dtype=torch.bool), box)
    return Keypoints(*(each.repeat(*shape[:-1], *[1] * each.ndim) for each in found.tensors().values()))


def clip_inputs(clips: int = 1, frames: int = 4) -> ClipInputs:
    """Inputs of clips, drawn from a seed."""
    drawn = torch.Generator().manual_seed(1)
    return ClipInputs(
        torch.randn(clips, 4, SIDE, SIDE, generator=drawn),
        torch.randn(clips, frames, 2 * CONTEXT + 1, 1, STATE, generator=drawn),
        keypoints=keypoints(clips, frames),
    )


def latent_clips(count: int = 4, frames: int = 6) -> list[LatentClip]:
    """Training clips, drawn from a seed."""
    drawn = torch.Generator().manual_seed(2)
    return [
        LatentClip(
            f"{number}",
            "A",
            torch.randn(frames, 4, SIDE, SIDE, generator=drawn),
            torch.randn(frames, 1, STATE, generator=drawn),
            keypoints=keypoints(frames),
        )
        for number in range(count)
    ]
