"""Passes, their operations, and what CFG layers add."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fada.eval.speed.passes import LADDER, ONE, TOLD, count_flop, measure_passes
from fada.teacher.denoiser import AvatarDenoiser
from fada.teacher.inputs import ClipInputs


def test_operations_of_a_matrix_product_are_counted() -> None:
    left, right = torch.ones(3, 4), torch.ones(4, 5)
    assert count_flop(lambda: left @ right) == 2 * 3 * 4 * 5


def test_a_ladder_has_three_times_the_operations_of_a_branch_and_cfg_layers_add_some(
    student: AvatarDenoiser, inputs: ClipInputs, latents: Tensor
) -> None:
    one_clip = ClipInputs(inputs.reference[:1].float(), inputs.audio[:1].float(), inputs.motion[:1].float())
    found = measure_passes(student, one_clip, latents[:1].float(), rounds=2)
    costs = {cost.name: cost for cost in found.costs}
    assert list(costs) == [ONE, TOLD, LADDER]
    assert costs[LADDER].flop == pytest.approx(3 * costs[ONE].flop, rel=0.02)
    assert 0 < found.cfg_flop < 0.2
    assert costs[TOLD].flop == pytest.approx((1 + found.cfg_flop) * costs[ONE].flop)
    assert costs[ONE].rate == costs[ONE].flop / costs[ONE].seconds
