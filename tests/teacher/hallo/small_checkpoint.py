"""Weights and inputs of a small Hallo, drawn from seeds: the same for our networks and for the public code.

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

CHANNELS = (32, 64, 128, 128)
TOKEN_DIM, AUDIO_DIM = 24, 40
FACE_DIM, FACE_TOKENS = 20, 4
WINDOW, LAYERS, STATES_DIM, HIDDEN, AUDIO_TOKENS = 5, 12, 6, 16, 3
FRAMES, MOTION_FRAMES, SIDE = 5, 2, 16
REGION_WEIGHTS = (1.0, 0.9, 1.2)
SCALE, STEPS = 3.5, 2


def weights(shapes: Mapping[str, torch.Size], prefix: str) -> dict[str, Tensor]:
    """A state dict of these shapes, drawn for keys under a prefix; positions in time are left out."""
    drawn = {}
    for key, shape in shapes.items():
        if not key.endswith("pos_encoder.pe"):
            drawn[key] = drawn_weight(prefix + key, shape)
    return drawn


def positions(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """AnimateDiff's positions in time for every temporal attention of a state dict."""
    attentions = [key.removesuffix("to_q.weight") for key in state if "attention_blocks" in key and "to_q" in key]
    return {f"{key}pos_encoder.pe": _sinusoids(32, len(state[f"{key}to_q.weight"])) for key in attentions}


def _sinusoids(length: int, channels: int) -> Tensor:
    angle = np.arange(length)[:, None] / 10000.0 ** (np.arange(0, channels, 2) / channels)
    return torch.from_numpy(np.stack((np.sin(angle), np.cos(angle)), axis=-1).reshape(1, length, channels)).float()


def inputs() -> dict[str, Tensor]:
    """One clip: latents (frames first), audio windows, face embedding, face region and masks per level."""
    random = np.random.RandomState(5)

    def normal(*shape: int) -> Tensor:
        return torch.from_numpy(random.standard_normal(shape)).float()

    def uniform(*shape: int) -> Tensor:
        return torch.from_numpy(random.uniform(size=shape)).float()

    drawn = {
        "reference": normal(4, SIDE, SIDE),
        "motion": normal(MOTION_FRAMES, 4, SIDE, SIDE),
        "noise": normal(FRAMES, 4, SIDE, SIDE),
        "audio": normal(FRAMES, WINDOW, LAYERS, STATES_DIM),
        "face_embedding": normal(FACE_DIM),
        "face_region": uniform(3, 8 * SIDE, 8 * SIDE),
    }
    return drawn | {f"mask_{level}": uniform(3, SIDE >> level, SIDE >> level) for level in range(4)}


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
