"""Weights and inputs of a small FLOAT, drawn from seeds: the same for our networks and for the public code.

Needs numpy and torch only, so that the public code's own environment can read it (see `record_transformer.py`).
Values come from `RandomState`, whose stream is frozen.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
from drawn_weights import drawn_weight

LATENT, DIM, DEPTH, HEADS, WINDOW = 24, 32, 2, 4, 2
FRAMES, MOTION_FRAMES = 8, 3
LAYERS, STATES_DIM = 12, 5
EMOTION_AT = 3
SCALES = (2.0, 1.5)
LENGTH = 13
"""Frames of the video that is sampled: two windows, of which the second is padded."""


def weights(shapes: Mapping[str, torch.Size], prefix: str) -> dict[str, Tensor]:
    """A state dict of these shapes, drawn for keys under a prefix; what is no weight is left out."""
    return {key: drawn_weight(prefix + key, shape) for key, shape in shapes.items() if key not in NOT_WEIGHTS}


NOT_WEIGHTS = ("pos_embed", "alignment_mask")


def inputs() -> dict[str, Tensor]:
    """One clip: its portrait, a window's noise and sound, the frames before and their sound; and a whole sound."""
    random = np.random.RandomState(7)

    def normal(*shape: int) -> Tensor:
        return torch.from_numpy(random.standard_normal(shape)).float()

    emotion = torch.zeros(7)
    emotion[EMOTION_AT] = 1.0
    return {
        "reference": normal(LATENT),
        "noise": normal(FRAMES, LATENT),
        "states": normal(FRAMES, LAYERS, STATES_DIM),
        "motion": normal(MOTION_FRAMES, LATENT),
        "motion_states": normal(MOTION_FRAMES, LAYERS, STATES_DIM),
        "all_states": normal(LENGTH, LAYERS, STATES_DIM),
        "noises": normal(2, FRAMES, LATENT),
        "emotion": emotion,
    }


def summary(tensor: Tensor) -> dict[str, Any]:
    """What is recorded of a tensor: shape, mean, deviation and 24 of its values, evenly spread."""
    flat = tensor.detach().double().flatten()
    places = torch.linspace(0, len(flat) - 1, 24).round().long()
    return {
        "shape": list(tensor.shape),
        "mean": float(flat.mean()),
        "deviation": float(flat.std()),
        "values": [round(float(value), 7) for value in flat[places]],
    }
