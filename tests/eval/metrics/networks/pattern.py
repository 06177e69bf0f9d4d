"""Weights and inputs that can be made anywhere from names: for our networks here, and for the public ones where
record_original.py ran them."""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor


def weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Random tensors of the same names and shapes, each from its own name, of a size that keeps signals alive."""
    made = {}
    for name, value in state.items():
        if name.endswith("num_batches_tracked"):
            made[name] = torch.zeros_like(value)
            continue
        noise = torch.randn(value.shape, generator=torch.Generator().manual_seed(zlib.crc32(name.encode())))
        if value.ndim > 1:
            made[name] = noise * math.sqrt(2 / value[0].numel())
        elif name.endswith(("weight", "running_var")):
            made[name] = 1 + 0.1 * noise.abs()
        else:
            made[name] = 0.1 * noise
    return made


def graph_weights(shapes: Mapping[str, list[int]], gain: float = 2.0) -> dict[str, np.ndarray]:
    """Random weights of a TensorFlow.js graph, each from its own name: slopes and biases small, matrices and
    convolutions (..., in, out) or (height, width, channels, 1) of a size that keeps signals alive: ``gain`` is what
    a layer makes of its input's variance."""
    made = {}
    for name, shape in shapes.items():
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(zlib.crc32(name.encode())))
        inputs = math.prod(shape[:2] if shape[-1] == 1 else shape[:-1])
        made[name] = (noise * (math.sqrt(gain / inputs) if len(shape) > 1 else 0.3)).numpy()
    return made


def mesh_weights(shapes: Mapping[str, list[int]]) -> dict[str, np.ndarray]:
    """The same for a face mesh: small beside what goes on, and its points about the middle of 192 pixels."""
    made = graph_weights(shapes, gain=0.8)
    places = next(name for name in made if name.endswith("output_mesh/BiasAdd/ReadVariableOp"))
    made[places] = np.float32(96) + np.float32(100) * made[places]
    return made


def picture(*shape: int) -> Tensor:
    """Levels in 0..255, smooth enough to have structure: (B, 3, ..., H, W) float32."""
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))
    return (127.5 + 80 * torch.sin(noise.cumsum(-1) * 0.2 + noise.cumsum(-2) * 0.1)).round().clamp(0, 255)


def layout(state: Mapping[str, Tensor]) -> dict[str, int | str]:
    """How many tensors and numbers, and a hash over names and shapes; counters of batches left out."""
    lines = sorted(f"{name} {list(value.shape)}" for name, value in state.items() if "num_batches" not in name)
    numbers = sum(value.numel() for name, value in state.items() if "num_batches" not in name)
    return {"tensors": len(lines), "numbers": numbers, "sha256": hashlib.sha256("\n".join(lines).encode()).hexdigest()}


def summary(answer: Tensor) -> dict[str, list[float]]:
    """Eight numbers of each row, evenly spread, and the row's norm."""
    rows = answer.flatten(1).double()
    spread = torch.linspace(0, rows.shape[1] - 1, min(8, rows.shape[1])).long()
    return {"numbers": rows[:, spread].flatten().tolist(), "norms": rows.norm(dim=1).tolist()}
