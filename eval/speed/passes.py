"""One pass of a denoising net over one clip: operations, time, the share of it that CFG layers take."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from fada.eval.speed.rounds import ratio, take_turns
from fada.teacher.denoiser import AvatarDenoiser

ONE, TOLD, LADDER = "one branch", "one branch, told its scales", "whole ladder"


@dataclass(frozen=True)
class PassCost:
    """One kind of pass. flop: floating-point operations; seconds: median; rate: operations per second."""

    name: str
    flop: float
    seconds: float

    @property
    def rate(self) -> float:
        """Operations per second."""
        return self.flop / self.seconds


@dataclass(frozen=True)
class Passes:
    """Passes of a student's net: one branch, the same with CFG layers, and all branches in one batch.

    cfg_time: what CFG layers add to the time of a pass; cfg_flop: to its operations; both as shares.
    """

    costs: list[PassCost]
    cfg_time: float
    cfg_flop: float


@torch.no_grad()
def measure_passes(
    student: AvatarDenoiser,
    inputs: Any,
    latents: Tensor,
    rounds: int,
    on_work: Callable[[str, int], None] = lambda name, number: None,
) -> Passes:
    """Costs of passes over the clip of `inputs`, latents (1, F, C, h, w); conditions are prepared beforehand."""
    model: Any = student
    branches = len(model.branches)
    conditions = model.prepare(inputs)
    zeros = torch.zeros(branches, dtype=torch.long)
    one = model.expand(conditions, zeros[:1], torch.tensor([model.scale_count]))
    told = model.with_scales(one, torch.full((1, model.scale_count), 2.5, device=latents.device))
    whole = model.expand(conditions, zeros, torch.arange(branches))
    half = torch.tensor([0.5], dtype=torch.float64, device=latents.device)
    works = {
        ONE: lambda: model.evaluate(latents, half, one),
        TOLD: lambda: model.evaluate(latents, half, told),
        LADDER: lambda: model.evaluate(torch.cat([latents] * branches), half.repeat(branches), whole),
    }
    flop = {name: count_flop(work) for name, work in works.items()}
    seconds = take_turns(works, rounds, on_work=on_work)
    costs = [PassCost(name, flop[name], statistics.median(seconds[name])) for name in works]
    return Passes(costs, ratio(seconds[TOLD], seconds[ONE]) - 1, flop[TOLD] / flop[ONE] - 1)


def count_flop(work: Callable[[], object]) -> float:
    """Floating-point operations of matrix products, convolutions and attention in a call."""
    counter = FlopCounterMode(display=False)
    with counter:
        work()
    return float(counter.get_total_flops())
