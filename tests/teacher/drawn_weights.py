"""Weights that follow from their names, for our networks and for the public codes that they are compared with.

Needs numpy and torch only, so that a public code's own environment can read it. Values come from `RandomState`, whose
stream is frozen.
"""

from __future__ import annotations

import zlib

import numpy as np
import torch
from torch import Tensor


def drawn_weight(key: str, shape: torch.Size) -> Tensor:
    """A weight of about unit gain, or a bias or a norm's factor near what they start as."""
    values = np.random.RandomState(zlib.crc32(key.encode())).standard_normal(tuple(shape))
    if len(shape) > 1:
        values = values / np.sqrt(np.prod(shape[1:]))
    elif key.endswith("weight"):
        values = 1 + 0.1 * values
    else:
        values = 0.1 * values
    return torch.from_numpy(values).float()
