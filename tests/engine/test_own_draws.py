"""What draws from torch's own generator in a step, as dropout does, follows from the step alone."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import nn

from fada.engine.loop import Interrupted, LoopSettings, fit
from fada.engine.objective import StepLoss
from fada.engine.parallel import ParallelSettings, new_accelerator
from fada.engine.run_log import RunLog


class Drawing:
    """A loss that notes what it draws."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.module: nn.Module = nn.Linear(1, 1)
        self.stop_at = stop_at
        self.drawn: dict[tuple[int, int], float] = {}

    def loss(self, model: nn.Module, step: int, micro: int) -> StepLoss:
        if step == self.stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        draw = torch.randn(1, 1)
        self.drawn[step, micro] = float(draw)
        return StepLoss((model(draw) - 1).square().mean(), {}, {}, ["clip"])


def run(folder: Path, objective: Drawing, seed: int = 0) -> None:
    settings = LoopSettings(steps=6, lr=0.01, warmup=1, accumulate=2, checkpoint_every=2, preview_every=0, seed=seed)
    parallel = ParallelSettings(precision="fp32", accumulate=2)
    log = RunLog(folder, "drawing", Console(quiet=True))
    try:
        fit(objective, settings, new_accelerator(parallel, batch=1), folder, log)
    finally:
        log.close()


def test_draws_of_a_resumed_run_are_the_unbroken_ones_and_every_step_has_its_own(tmp_path: Path) -> None:
    whole, begun, resumed, other = Drawing(), Drawing(stop_at=2), Drawing(), Drawing()
    run(tmp_path / "whole", whole)
    with pytest.raises(Interrupted):
        run(tmp_path / "parts", begun)
    torch.manual_seed(99)
    run(tmp_path / "parts", resumed)
    run(tmp_path / "other", other, seed=1)
    assert begun.drawn | resumed.drawn == whole.drawn
    assert len(resumed.drawn) < len(whole.drawn) == 12
    assert len({*whole.drawn.values(), *other.drawn.values()}) == 24
