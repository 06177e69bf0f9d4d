"""Losses of the motion autoencoder, by hand on small pictures."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from fada.teacher.float import codec_losses as losses
from fada.teacher.float.discriminators import PatchDiscriminator, judged


def ramp(size: int = 8, slope: float = 1.0) -> Tensor:
    """(1, 3, size, size), brighter by `slope` from column to column."""
    return (slope * torch.arange(size).float()).expand(1, 3, size, size)


def test_a_change_of_colour_everywhere_counts_once_at_every_resolution() -> None:
    assert float(losses.pyramid_distance(ramp(), ramp() + 0.3)) == pytest.approx(3 * 0.3, abs=1e-6)


def test_a_ramp_counts_with_its_mean_and_its_slope_at_every_resolution() -> None:
    # Columns of 0 to 7: a mean of 3.5 at all resolutions; half the resolution doubles the step from column to column.
    assert float(losses.pyramid_distance(ramp(), torch.zeros(1, 3, 8, 8))) == pytest.approx(3 * 3.5 + 1 + 2 + 4)


def test_boxes_of_eyes_hold_brows_and_corners() -> None:
    points = torch.tensor([[[0.4, 0.5], [0.6, 0.5], [0.5, 0.6], [0.45, 0.7], [0.55, 0.7]]])
    torch.testing.assert_close(losses.eye_boxes(points), torch.tensor([[0.28, 0.38, 0.72, 0.58]]))


def test_boxes_of_eyes_hold_both_of_a_tilted_head() -> None:
    left, top, right, bottom = losses.eye_boxes(torch.tensor([[[0.4, 0.6], [0.6, 0.4]]])).unbind(1)
    assert max(float(left), float(top)) < 0.4
    assert min(float(right), float(bottom)) > 0.6


def test_boxes_of_mouths_go_beyond_the_lips_by_a_share_of_their_width() -> None:
    torch.testing.assert_close(
        losses.mouth_boxes(torch.tensor([[0.4, 0.6, 0.6, 0.7]])), torch.tensor([[0.33, 0.53, 0.67, 0.77]])
    )


def test_a_patch_of_the_upper_half_is_the_upper_half() -> None:
    picture = torch.randn(1, 3, 8, 8)
    upper = losses.patches(picture, torch.tensor([[0.0, 0.0, 1.0, 0.5]]), 8)
    torch.testing.assert_close(upper, picture[:, :, :4])


def test_a_patch_beyond_the_picture_goes_on_with_its_edge() -> None:
    beyond = losses.patches(ramp(), torch.tensor([[1.0, 0.0, 2.0, 1.0]]), 8)
    torch.testing.assert_close(beyond, torch.full_like(beyond, 7.0))


def test_adversarial_losses_at_known_verdicts() -> None:
    zero, one = torch.zeros(2, 1, 2, 2), torch.ones(2, 1, 2, 2)
    assert float(losses.looks_real(zero)) == pytest.approx(math.log(2))
    assert float(losses.looks_real(one)) == pytest.approx(math.log(1 + math.exp(-1)))
    assert float(losses.tells_apart(one, -one)) == pytest.approx(2 * math.log(1 + math.exp(-1)))
    assert float(losses.tells_apart(-one, one)) == pytest.approx(2 * math.log(1 + math.exp(1)))


class Slope(PatchDiscriminator):
    """Whose verdict is twice the mean of a picture."""

    def __init__(self) -> None:
        super().__init__((4,))

    def forward(self, pictures: Tensor) -> tuple[Tensor, list[Tensor]]:
        return 2 * pictures.mean((1, 2, 3), keepdim=True), []


def test_the_penalty_is_the_squared_gradient() -> None:
    # 4 x 4 x 3 pixels of gradient 2 / 48 each.
    assert losses.gradient_penalty(Slope(), torch.randn(5, 3, 4, 4)).item() == pytest.approx(48 * (2 / 48) ** 2)


def test_the_penalty_does_not_grow_with_the_number_of_patches() -> None:
    torch.manual_seed(0)
    judge = PatchDiscriminator((4,))
    small = F.interpolate(torch.randn(1, 3, 1, 1), size=(16, 16))
    large = F.interpolate(small[..., :1, :1], size=(32, 32))
    ratio = losses.gradient_penalty(judge, large) / losses.gradient_penalty(judge, small)
    assert ratio.item() < 1


def test_the_penalty_reaches_the_discriminator() -> None:
    judge = PatchDiscriminator((4, 4))
    losses.gradient_penalty(judge, torch.randn(2, 3, 16, 16)).backward()
    assert judge.convs[0][0].weight.grad.abs().sum() > 0  # type: ignore[index, union-attr]


def test_statistics_are_compared_channel_by_channel_and_level_by_level() -> None:
    spread = torch.tensor([-1.0, 1.0]).repeat(8).view(1, 1, 4, 4)
    level = torch.cat([spread, spread + 2], dim=1)
    same = [level, level]
    other = [level, torch.cat([spread, 3 * spread], dim=1)]
    # The second level's second channel: its mean is 2 against 0, its deviation 1 against 3, of two channels.
    assert float(losses.statistics_distance(same, other)) == pytest.approx((2 + 2) / 2, abs=1e-4)


def test_statistics_ignore_where_something_is() -> None:
    level = torch.randn(1, 3, 4, 4)
    assert float(losses.statistics_distance([level], [level.flip(3)])) == pytest.approx(0.0, abs=1e-6)


def test_what_judges_a_codec_learns_nothing_from_it() -> None:
    judge, pictures = PatchDiscriminator((4, 4)), torch.randn(2, 3, 16, 16, requires_grad=True)
    verdicts, features = judged(judge, pictures)
    torch.testing.assert_close(verdicts, judge(pictures)[0])
    assert len(features) == 2
    verdicts.sum().backward()
    assert pictures.grad is not None
    assert all(each.grad is None for each in judge.parameters())


def test_small_patches_are_enlarged_for_networks_of_photographs() -> None:
    assert losses.enlarged(torch.zeros(1, 3, 16, 32)).shape == (1, 3, 64, 128)
    assert losses.enlarged(torch.zeros(1, 3, 80, 160)).shape == (1, 3, 80, 160)
