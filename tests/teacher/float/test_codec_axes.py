"""Lambda turned to its principal axes: other numbers, the same pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from fada.data.world.draw import make_clip
from fada.teacher.float.codec_axes import turn_to_principal_axes
from fada.teacher.float.motion_autoencoder import MotionAutoencoder


def codec(finds_face: bool) -> MotionAutoencoder:
    """One in which everything moves."""
    torch.manual_seed(3)
    made = MotionAutoencoder(
        size=32, style_dim=16, motion_dim=4, channels=(8, 8, 8, 6), edges="replicated", in_pixels=True, fills=True,
        finds_face=finds_face,
    )  # fmt: skip
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return made.double().eval().requires_grad_(False)


def frames(number: int) -> np.ndarray:
    return make_clip(1, number, size=32, frames=8).frames


def factors(made: MotionAutoencoder) -> list[Tensor]:
    return [made.read(pixels)[0] for number in range(3) for pixels in made.passes(frames(number))]


@pytest.mark.parametrize("finds_face", [True, False])
def test_numbers_are_uncorrelated_within_clips_and_fall_in_strength_and_pictures_stay(finds_face: bool) -> None:
    made = codec(finds_face)
    before, shown = factors(made), made.driven(next(made.passes(frames(5))), torch.arange(8), torch.arange(8).flip(0))
    told = turn_to_principal_axes(made, before)
    after = factors(made)
    torch.testing.assert_close(told, after)
    within = torch.cat([each - each.mean(0) for each in after])
    covariance = within.T @ within / len(within)
    strengths = covariance.diagonal()
    assert strengths.tolist() == sorted(strengths.tolist(), reverse=True)
    assert float(strengths[0]) > 2 * float(strengths[-1])
    torch.testing.assert_close(covariance, strengths.diag(), atol=1e-6 * float(strengths[0]), rtol=0)
    # A turn: nothing between two frames is nearer or further than it was.
    torch.testing.assert_close(torch.cdist(after[0], after[0]), torch.cdist(before[0], before[0]))
    again = made.driven(next(made.passes(frames(5))), torch.arange(8), torch.arange(8).flip(0))
    torch.testing.assert_close(again, shown, rtol=1e-5, atol=1e-6)
    assert float(shown.std()) > 0
    assert not torch.allclose(after[0], before[0])
