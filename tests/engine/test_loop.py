import json
import os
import signal
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from rich.console import Console
from torch import nn

from fada.engine.checkpoints import Checkpoints
from fada.engine.ema import MovingAverage
from fada.engine.loop import Interrupted, LoopSettings, StepLoss, fit, learning_rate_factor
from fada.engine.run_log import RunLog


class Line:
    """Learn y = 3 x from batches that follow from the step's number."""

    def __init__(self, stop_at: int | None = None, bad_at: int | None = None) -> None:
        torch.manual_seed(0)
        self.module: nn.Module = nn.Linear(1, 1)
        self.stop_at, self.bad_at = stop_at, bad_at

    def loss(self, model: nn.Module, step: int, micro: int) -> StepLoss:
        if step == self.stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        x = torch.randn(8, 1, generator=torch.Generator().manual_seed(step * 10 + micro))
        error = (model(x) - 3 * x).square().mean()
        if step == self.bad_at:
            error = error * float("nan")
        return StepLoss(error, {"error": error.detach(), "nothing": float("nan")}, {"x": x.flatten()})


def settings(**changes: object) -> LoopSettings:
    values = {
        "steps": 12,
        "lr": 0.05,
        "warmup": 2,
        "checkpoint_every": 4,
        "log_every": 3,
        "preview_every": 0,
        **changes,
    }
    return LoopSettings(**values)


def run(folder: Path, objective: Line, **changes: object) -> tuple[Line, MovingAverage | None]:
    AcceleratorState._reset_state()
    log = RunLog(folder, "line", Console(quiet=True))
    try:
        average = fit(objective, settings(**changes), Accelerator(cpu=True), folder, log)
    finally:
        log.close()
    return objective, average


def weights(objective: Line) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in objective.module.parameters()])


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    run(tmp_path, Line(), steps=60, lr=0.2, schedule="constant")
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["loss"] < 0.2 * lines[0]["loss"]


def test_a_stopped_and_resumed_run_equals_the_unbroken_one_bit_for_bit(tmp_path: Path) -> None:
    whole, whole_average = run(tmp_path / "whole", Line())
    with pytest.raises(Interrupted, match="stopped at step 6 of 12; the same command resumes"):
        run(tmp_path / "parts", Line(stop_at=5))
    parts, parts_average = run(tmp_path / "parts", Line())
    assert torch.equal(weights(whole), weights(parts))
    for name, average in whole_average.averages.items():
        assert torch.equal(average, parts_average.averages[name])


def test_a_run_that_died_goes_on_from_its_last_checkpoint(tmp_path: Path) -> None:
    whole, _ = run(tmp_path / "whole", Line())
    with pytest.raises(FloatingPointError):
        run(tmp_path / "parts", Line(bad_at=9))
    assert Checkpoints(tmp_path / "parts" / "checkpoints", 2).latest().name == "step-00000008"
    parts, _ = run(tmp_path / "parts", Line())
    assert torch.equal(weights(whole), weights(parts))


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    first, _ = run(tmp_path, Line())
    again, _ = run(tmp_path, Line(bad_at=0))
    assert torch.equal(weights(first), weights(again))


def test_accumulated_micro_batches_equal_their_mean(tmp_path: Path) -> None:
    objective, _ = run(tmp_path, Line(), steps=1, accumulate=2, clip_norm=1e9)
    by_hand = Line()
    optimizer = torch.optim.AdamW(by_hand.module.parameters(), lr=0.05, weight_decay=1e-2)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate_factor(step, settings(steps=1)))
    (0.5 * (by_hand.loss(by_hand.module, 0, 0).total + by_hand.loss(by_hand.module, 0, 1).total)).backward()
    optimizer.step()
    scheduler.step()
    torch.testing.assert_close(weights(objective), weights(by_hand))


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(FloatingPointError, match="step 3: the loss is nan"):
        run(tmp_path, Line(bad_at=3))


def test_only_the_last_checkpoints_are_kept(tmp_path: Path) -> None:
    run(tmp_path, Line(), keep_last=2)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["step-00000008", "step-00000012"]


@pytest.mark.parametrize(("step", "expected"), [(0, 0.5), (1, 1.0), (100, 0.5), (200, 0.0)])
def test_learning_rate_warms_up_and_follows_a_cosine(step: int, expected: float) -> None:
    assert learning_rate_factor(step, settings(steps=200)) == pytest.approx(expected, abs=1e-3)


def test_moving_average_forgets_its_start() -> None:
    module = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(module.weight)
    average = MovingAverage(module, decay=0.9)
    module.weight.data.fill_(1.0)
    for _ in range(200):
        average.update()
    assert average.averages["weight"].item() == pytest.approx(1.0, abs=1e-3)


def test_applied_average_is_taken_away_again() -> None:
    module = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(module.weight)
    average = MovingAverage(module, decay=0.9)
    module.weight.data.fill_(1.0)
    with average.applied():
        assert module.weight.item() == 0.0
    assert module.weight.item() == 1.0


def test_moving_average_of_another_model_is_refused() -> None:
    average = MovingAverage(nn.Linear(1, 1), 0.9)
    with pytest.raises(ValueError, match="the checkpoint's parameters differ from the model's: bias"):
        average.load_state_dict({"weight": torch.zeros(1, 1), "__updates__": torch.tensor(1)})
