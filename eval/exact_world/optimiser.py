"""Adam with a warm-up and a cosine, and the moving average of the weights, for many nets side by side."""

from __future__ import annotations

import math

import torch
from torch import Tensor

AVERAGE = 0.99
"""Decay of the moving average of the weights, which is what is measured."""
WARM_UP = 20
"""Steps in which the rate rises."""


class Optimiser:
    """Adam with a warm-up and a cosine, and the moving average of the weights."""

    def __init__(self, weights: dict[str, Tensor], steps: int, lr: float) -> None:
        self.weights, self.steps, self.lr, self.done = weights, steps, lr, 0
        self.adam = torch.optim.Adam(list(weights.values()), lr=lr, fused=True)
        self.averages = {name: value.detach().clone() for name, value in weights.items()}

    def step(self, loss: Tensor) -> None:
        """One step down; the loss is the sum of the seeds' own."""
        rate = self.lr * min(1.0, (self.done + 1) / WARM_UP)
        rate *= 0.5 * (1.0 + math.cos(math.pi * self.done / self.steps))
        for group in self.adam.param_groups:
            group["lr"] = rate
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
        self.done += 1
        # Young averages forget their start sooner.
        decay = min(AVERAGE, self.done / (self.done + 10))
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.averages.values()), [value.detach() for value in self.weights.values()], 1.0 - decay
            )
