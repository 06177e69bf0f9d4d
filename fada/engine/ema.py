"""The moving average of the trained weights, which is what a run saves as its result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class MovingAverage:
    """Exponential moving average of the parameters that are trained, in float32 beside the model.

    Early on the decay is (1 + n) / (10 + n), so that the average forgets the start (as in diffusers' EMAModel).
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}
        self.averages = {name: p.detach().float().clone() for name, p in self.parameters.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Move every average towards its parameter."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        averages = list(self.averages.values())
        values = [self.parameters[name].detach().float() for name in self.averages]
        torch._foreach_lerp_(averages, values, 1.0 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the block the module has the averaged weights."""
        kept = {name: p.detach().clone() for name, p in self.parameters.items()}
        try:
            self.copy_to_module()
            yield
        finally:
            for name, p in self.parameters.items():
                p.data.copy_(kept[name])

    @torch.no_grad()
    def copy_to_module(self) -> None:
        """Give the module the averaged weights for good."""
        for name, p in self.parameters.items():
            p.data.copy_(self.averages[name])

    def state_dict(self) -> dict[str, Tensor]:
        """Averages and the count of updates, as tensors."""
        state = {name: average.cpu().contiguous() for name, average in self.averages.items()}
        return {**state, "__updates__": torch.tensor(self.updates)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state_dict` gave; raises ValueError when the parameters differ."""
        names = set(state) - {"__updates__"}
        if names != set(self.averages):
            odd = sorted(names ^ set(self.averages))
            raise ValueError(
                f"moving average: the checkpoint's parameters differ from the model's: {', '.join(odd[:5])}"
            )
        for name, average in self.averages.items():
            average.copy_(state[name])
        self.updates = int(state["__updates__"])
