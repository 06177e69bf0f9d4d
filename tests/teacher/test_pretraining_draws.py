"""Times of a teacher's training on a grid so short that every one of them comes, and what is logged by time."""

from __future__ import annotations

import math

import pytest
import torch

from fada.data.sampling.dataset import BatchShape, ClipSampler, LatentClip
from fada.diffusion.paths import NoisePath
from fada.engine.objective import StepLoss
from fada.teacher.dual_unet.model import DualUNet
from fada.teacher.pretrain import DropRates, PretrainObjective


@pytest.fixture
def objective(dual_unet: DualUNet) -> PretrainObjective:
    clips = [LatentClip(f"{number}", "A", torch.randn(6, 4, 8, 8), torch.randn(6, 1, 12)) for number in range(4)]
    dual_unet.path = NoisePath("v_prediction", num_train_timesteps=10)
    sampler = ClipSampler(clips, frames=3, motion_frames=2, context=2)
    return PretrainObjective(
        dual_unet, sampler, BatchShape(4), ("spatial",), DropRates({"reference": 0.0, "audio": 0.0}, 0.0), 0
    )


def test_times_are_those_of_the_grid_without_its_clean_end(objective: PretrainObjective) -> None:
    drawn = [round(10 * float(objective._draw(torch.zeros(1), step, 0)[0]), 9) for step in range(400)]
    assert sorted(set(drawn)) == list(range(1, 11))
    for index in range(1, 11):
        assert drawn.count(index) == pytest.approx(40, abs=4 * math.sqrt(400 * 0.09))


def test_losses_are_logged_by_the_quarter_of_time_that_they_are_of(objective: PretrainObjective) -> None:
    errors = torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0])
    t = torch.tensor([0.1, 0.25, 0.5, 0.7, 1.0], dtype=torch.float64)
    found = {name: float(value) for name, value in objective._per_window(errors, t).items()}
    assert found == {"loss_from_0.25": 1.5, "loss_from_0.5": 4.0, "loss_from_0.75": 8.0, "loss_from_1": 16.0}
    loss = objective.loss(objective.module, 0, 0)
    assert isinstance(loss, StepLoss)
    assert set(found) <= set(loss.scalars)
