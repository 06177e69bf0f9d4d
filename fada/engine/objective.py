"""What a training learns: its loss of a micro-batch, and what the loop may ask of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, SupportsFloat, runtime_checkable

from torch import Tensor, nn


@dataclass
class StepLoss:
    """What an objective says of one micro-batch."""

    total: Tensor
    """Scalar that is minimised."""
    scalars: Mapping[str, SupportsFloat] = field(default_factory=dict)
    """Averaged over the steps between two log lines; NaN means that there was nothing to count. Left where they were
    made: they are read when the line is written, and no step waits for them."""
    samples: dict[str, Tensor] = field(default_factory=dict)
    """Per-sample values, collected between two log lines into histograms."""
    keys: list[str] = field(default_factory=list)
    """Names of the samples, for messages."""
    faults: Sequence[str] = ()
    """What was wrong with the samples' data, and what was done about it."""


class Objective(Protocol):
    """What is learned."""

    @property
    def module(self) -> nn.Module:
        """The trained module; parameters that do not learn have requires_grad False."""
        ...

    def loss(self, model: nn.Module, step: int, micro: int) -> StepLoss:
        """Loss of one micro-batch; `model` is `module` as the accelerator wrapped it.

        Raises:
            FloatingPointError: a loss is not finite; the message names the samples.
        """
        ...


@runtime_checkable
class LearnsFromItsAverage(Protocol):
    """An objective whose targets come from the moving average of what it trains."""

    def follow(self, averages: Callable[[], dict[str, Tensor]]) -> None:
        """Told, before the first step, where to ask for the averaged parameters by name."""
        ...
