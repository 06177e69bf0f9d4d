"""Gradients are clipped to the norm that the settings give, over all weights together."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import nn

from fada.engine.loop import LoopSettings, fit
from fada.engine.objective import StepLoss
from fada.engine.parallel import ParallelSettings, new_accelerator
from fada.engine.run_log import RunLog


class Steep:
    """Two weights whose gradients are 3 and 4 times a slope."""

    def __init__(self, slope: float) -> None:
        self.module: nn.Module = nn.Linear(2, 1, bias=False)
        self.slope = slope

    def loss(self, model: nn.Module, step: int, micro: int) -> StepLoss:
        return StepLoss(self.slope * model(torch.tensor([[3.0, 4.0]])).sum(), keys=["clip"])


@pytest.mark.parametrize(("slope", "expected"), [(10.0, [0.3, 0.4]), (0.05, [0.15, 0.2])])
def test_a_gradient_is_shortened_to_the_norm_and_a_short_one_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slope: float, expected: list[float]
) -> None:
    seen: list[list[float]] = []
    step = torch.optim.AdamW.step

    def look(self: torch.optim.AdamW, closure: object = None) -> object:
        seen.append(self.param_groups[0]["params"][0].grad.flatten().tolist())
        return step(self)

    monkeypatch.setattr(torch.optim.AdamW, "step", look)
    settings = LoopSettings(steps=1, lr=0.1, warmup=1, clip_norm=0.5, preview_every=0)
    parallel = ParallelSettings(precision="fp32", clip_norm=0.5)
    log = RunLog(tmp_path, "steep", Console(quiet=True))
    try:
        fit(
            Steep(slope),
            settings,
            new_accelerator(parallel, batch=1),
            tmp_path,
            log,
        )
    finally:
        log.close()
    assert seen == [pytest.approx(expected, rel=1e-4)]
