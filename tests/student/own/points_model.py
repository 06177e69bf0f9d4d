"""A denoiser of one point per branch on a flow: all of it is known in closed form."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from fada.diffusion.paths import NoisePath
from fada.teacher.denoiser import Sites


@dataclass(frozen=True)
class Told:
    """Offsets of rows (rows, ...) and their branches (rows,)."""

    offset: Tensor
    branches: Tensor
    hooks: list[Any] = field(default_factory=list)
    time: Tensor | None = None


class Points(nn.Module):
    """Branch k knows that data are the point ``k + 1`` (branch 0: nought) plus the sample's offset, if it is told it.

    On a flow its prediction is ``(z - point) / t``: every window of it is straight already.
    """

    branches: tuple[str, ...] = ("none", "style", "text")

    def __init__(self, sites: Sites | None = None) -> None:
        super().__init__()
        self.path = NoisePath("flow_prediction")
        self.points = nn.Parameter(torch.tensor([0.0, 2.0, 3.0]))
        self.encoder = nn.Linear(1, 1)
        self.encoders = ("encoder",)
        if sites is not None:
            self.sites = lambda: sites

    def inputs_of(self, conditions: Any) -> Any:
        return conditions["offset"]

    def prepare(self, inputs: Tensor) -> Tensor:
        return inputs

    def expand(self, conditions: Tensor, clips: Tensor, branches: Tensor) -> Told:
        return Told(conditions[clips], branches)

    def evaluate(self, latents: Tensor, t: Tensor, conditions: Told) -> Tensor:
        ones = [1] * (latents.ndim - 1)
        told = (conditions.branches > 0).to(latents).view(-1, *ones) * conditions.offset
        point = self.points[conditions.branches].view(-1, *ones) + told
        for hook in conditions.hooks:
            latents = latents + hook(torch.zeros(len(latents), 1, 8)).mean(dim=(1, 2)).view(-1, *ones)
        return (latents - point) / t.to(latents).view(-1, *ones)


def offsets(*shape: int) -> Any:
    """A function that draws samples: the last branch's point plus an offset."""

    def draw(generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        offset = torch.randn(shape, generator=generator)
        return 3.0 + offset, {"offset": offset}

    return draw
