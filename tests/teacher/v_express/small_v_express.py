"""Weights and inputs of a small V-Express, drawn from seeds: the same for our networks and for the public code.

Needs numpy and torch only, so that the public code's own environment can read it (see `record_original.py`).
Values come from `RandomState`, whose stream is frozen.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
from drawn_weights import drawn_weight

CHANNELS = (32, 64, 96, 96)
TOKEN_DIM = 768
"""The public pipeline writes the width of its empty prompt down, so the small reference net has it too."""
AUDIO_DIM = 24
STATES, STATES_DIM, RESAMPLER_DIM, HEADS, HEAD_DIM, WIDER, DEPTH, QUERIES = 10, 6, 16, 12, 2, 4, 4, 5
FRAMES, OVERLAP, VIDEO_FRAMES = 5, 2, 8
"""Of a context, of two contexts in common, and of a video of two contexts."""
HEIGHT, WIDTH = 8, 16
"""Of latents."""
WEIGHTS = (0.95, 3.0)
SCALE, STEPS = 3.5, 2
POINTS, PICTURE = ((20.3, 22.8), (70.1, 30.9), (41.6, 49.2)), (64, 96)
"""Left eye, right eye and nose (x, y) in a picture (height, width)."""
FILES = ("reference_net", "denoising_unet", "audio_projection", "v_kps_guider")


def weights(shapes: Mapping[str, torch.Size], name: str) -> dict[str, Tensor]:
    """A state dict of these shapes, drawn for keys of a file; positions in time are AnimateDiff's."""
    return {
        key: _positions(shape) if key.endswith(".pe") else drawn_weight(f"{name}.{key}", shape)
        for key, shape in shapes.items()
    }


def _positions(shape: torch.Size) -> Tensor:
    length, channels = shape[1:]
    angle = np.arange(length)[:, None] / 10000.0 ** (np.arange(0, channels, 2) / channels)
    return torch.from_numpy(np.stack((np.sin(angle), np.cos(angle)), axis=-1).reshape(1, length, channels)).float()


def inputs() -> dict[str, Tensor]:
    """One video: latents (frames first), states of its sound, pictures of keypoints."""
    random = np.random.RandomState(7)

    def normal(*shape: int) -> Tensor:
        return torch.from_numpy(random.standard_normal(shape)).float()

    return {
        "reference": normal(4, HEIGHT, WIDTH),
        "noise": normal(VIDEO_FRAMES, 4, HEIGHT, WIDTH),
        "states": normal(13, STATES_DIM),
        "keypoints": torch.from_numpy(random.uniform(size=(VIDEO_FRAMES, 3, 8 * HEIGHT, 8 * WIDTH))).float(),
    }


def summary(tensor: Tensor) -> dict[str, object]:
    """What is recorded of a tensor: shape, mean, deviation, and 24 values spread over it."""
    flat = tensor.detach().double().flatten()
    index = torch.linspace(0, len(flat) - 1, 24).long()
    return {
        "shape": list(tensor.shape),
        "mean": float(flat.mean()),
        "deviation": float(flat.std()),
        "values": [round(float(value), 7) for value in flat[index]],
    }


def digits(picture: Tensor) -> list[str]:
    """A picture (3, H, W) of keypoints as a string of digits per row: red dark 1, bright 2; green 3, 6; blue 4, 8."""
    steps = (picture > 0).long() + (picture == 1).long()
    return ["".join(map(str, row)) for row in (steps * torch.tensor([1, 3, 4])[:, None, None]).sum(0).tolist()]
