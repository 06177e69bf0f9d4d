"""A teacher's loss on latents of any rank, and its weights on every noise path: numbers that a formula gives."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fada.data.sampling.dataset import BatchShape, ClipSampler, LatentClip
from fada.diffusion.paths import NoisePath
from fada.teacher.pretrain import DropRates, PretrainObjective


class Constant(nn.Module):
    """Answers with one number; its loss is ``mean (number - target)^2``. Its branches are none of the package's."""

    branches = ("blank", "sound", "feeling", "pose")

    def __init__(self, path: NoisePath) -> None:
        super().__init__()
        self.path, self.number = path, nn.Parameter(torch.zeros(()))

    def inputs_of(self, clips: Any) -> Any:
        return clips

    def part(self, name: str) -> list[nn.Parameter]:
        return [self.number]

    def forward(self, inputs: Any, latents: Tensor, t: Tensor, branch: Tensor, use_temporal: bool) -> Tensor:
        return self.number.expand_as(latents)


def objective(path: NoisePath, sample: Tensor, gamma: float | None = None) -> PretrainObjective:
    clips = [LatentClip(f"{number}", "A", sample.expand(4, *sample.shape), torch.zeros(4, 1, 2)) for number in range(2)]
    sampler = ClipSampler(clips, frames=3, motion_frames=1, context=0)
    drop = DropRates({}, 0.0)
    return PretrainObjective(Constant(path), sampler, BatchShape(2), ("all",), drop, 0, min_snr_gamma=gamma)


@pytest.mark.parametrize("shape", [(6,), (2, 3), (4, 2, 2)])
def test_loss_is_the_mean_over_all_numbers_of_each_sample(shape: tuple[int, ...]) -> None:
    made = objective(NoisePath("flow_prediction"), torch.full(shape, 2.0))
    noise = torch.stack([made._draw(torch.zeros(3, *shape), 0, sample)[3] for sample in range(2)])
    # Of a flow the target is noise minus data.
    expected = (noise - 2.0).square().mean()
    torch.testing.assert_close(made.loss(made.module, 0, 0).total, expected)


@pytest.mark.parametrize("gamma", [0.1, 5.0, 1e6])
def test_min_snr_weighs_the_clean_latents_error_by_the_snr_up_to_gamma_on_every_path(gamma: float) -> None:
    t = torch.tensor([0.2, 0.5, 0.8], dtype=torch.float64)
    for kind in ("epsilon", "v_prediction", "sample", "flow_prediction"):
        path = NoisePath(kind)
        a, c = path.signal_noise(t)
        # How far x0 goes wrong for an error of one in the prediction.
        clean = {"epsilon": c / a, "v_prediction": c, "sample": torch.ones_like(c), "flow_prediction": c}[kind]
        expected = (((a / c) ** 2).clamp(max=gamma) * clean**2).float()
        torch.testing.assert_close(objective(path, torch.zeros(2), gamma)._weights(t), expected)


def test_a_sample_that_loses_a_condition_stands_below_its_branch_whatever_the_branches_are_called() -> None:
    made = objective(NoisePath(), torch.zeros(2))
    made.drop = DropRates({"sound": 0.1, "pose": 0.3}, 0.0)
    found = [made._branch(draw) for draw in (0.0, 0.0999, 0.1001, 0.3999, 0.4001, 0.9999)]
    assert found == [0, 0, 2, 2, 3, 3]
    assert {"loss_blank", "loss_sound", "loss_feeling", "loss_pose"} < set(made.loss(made.module, 0, 0).scalars)


def test_conditions_that_are_not_there_and_more_than_all_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="add up over 1"):
        DropRates({"sound": 0.6, "pose": 0.5}, 0.0)
    made = objective(NoisePath(), torch.zeros(2))
    with pytest.raises(ValueError, match="nothing to drop named audio; choose from"):
        PretrainObjective(made.module, made.sampler, BatchShape(2), ("all",), DropRates({"audio": 0.1}, 0.0), 0)
