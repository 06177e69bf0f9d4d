"""Weights for the motion autoencoder in the released layout that follow from a rule, and inputs for them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

SIZES = (64, 256)
"""Of pictures; widths are the released ones, so 256 has all layers but one level."""
FRAMES = 2


def weights(shapes: Mapping[str, Any]) -> dict[str, Tensor]:
    """Weights of unit variance for parameters of these shapes, each from its name; blurs keep their kernel.

    Flows are kept small: random ones of full size look up noise in noise, and rounding would be all that is compared.
    """
    made = {}
    for name, shape in shapes.items():
        if name.endswith("kernel"):
            continue
        generator = torch.Generator().manual_seed(sum(place * ord(letter) for place, letter in enumerate(name, 1)))
        value = torch.randn(tuple(shape), generator=generator, dtype=torch.float64)
        if name.endswith("bias"):
            value = 0.1 * value + (1.0 if "modulation" in name else 0.0)
        if "to_flows" in name and name.endswith("conv.weight"):
            value = 0.1 * value
        made[name] = value
    return made


def frames(size: int) -> Tensor:
    """(1 + FRAMES, 3, size, size) in [-1, 1], float64: the portrait, then frames; smooth waves."""
    line = np.linspace(0, 1, size)
    waves = [
        [[math.tau * (1 + (number + colour) % 3), 0.7 * number + colour, 2.0 + colour] for colour in range(3)]
        for number in range(1 + FRAMES)
    ]
    pictures = [
        [np.sin(rate * line[:, None] + phase) * np.cos(slant * line[None, :]) for rate, phase, slant in colours]
        for colours in waves
    ]
    return torch.from_numpy(np.array(pictures))
