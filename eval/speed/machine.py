"""What the machine could do at most: the rate of matrix products of a type, with the threads that the nets have."""

from __future__ import annotations

import torch

from fada.eval.speed.rounds import take_turns

SIDES = {"cpu": (512, 1024, 2048), "cuda": (4096, 8192)}
"""Sides of the square products that are tried; small ones stay in a CPU's caches, large ones fill a GPU."""
PASSES = 5


def peak_rate(dtype: torch.dtype, device: torch.device) -> float:
    """Floating-point operations per second of the fastest square matrix product here.

    On CPUs convolutions and products may come from different libraries: in float32 a net of convolutions can go past
    this rate.
    """
    best = 0.0
    for side in SIDES["cuda" if device.type == "cuda" else "cpu"]:
        left = torch.randn(side, side, device=device).to(dtype)
        (seconds,) = take_turns({"product": lambda left=left: left @ left}, PASSES).values()  # type: ignore[misc]
        best = max(best, 2 * side**3 / min(seconds))
    return best
