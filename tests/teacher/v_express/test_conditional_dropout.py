"""Which frames keep reference and keypoints in a training step, and what becomes of the others."""

from __future__ import annotations

import pytest
import torch

from fada.teacher.dual_unet.layers import Attention
from fada.teacher.frame_dropout import FrameDropout, draw_kept_frames, keep_frames


def test_without_rates_every_frame_keeps_both_and_with_one_none_does() -> None:
    kept = draw_kept_frames(FrameDropout(), 5, 0, 1, range(3))
    assert kept.reference.shape == kept.keypoints.shape == (3, 5)
    assert kept.reference.all()
    assert kept.keypoints.all()
    kept = draw_kept_frames(FrameDropout(1.0, 0.0), 5, 0, 1, range(3))
    assert not kept.reference.any()
    assert kept.keypoints.all()


def test_frames_are_dropped_at_their_rates_and_independently() -> None:
    kept = draw_kept_frames(FrameDropout(0.3, 0.5), 100, 0, 0, range(200))
    reference, keypoints = (~kept.reference, ~kept.keypoints)
    # 20,000 draws: three standard deviations are 0.0097 and 0.0106.
    assert abs(float(reference.float().mean()) - 0.3) < 0.0097
    assert abs(float(keypoints.float().mean()) - 0.5) < 0.0106
    assert abs(float((reference & keypoints).float().mean()) - 0.15) < 0.0076


def test_draws_follow_from_seed_step_and_sample_alone() -> None:
    rates = FrameDropout(0.4, 0.4)
    whole = draw_kept_frames(rates, 8, 3, 7, range(4))
    halves = [draw_kept_frames(rates, 8, 3, 7, samples) for samples in (range(2), range(2, 4))]
    for name in ("reference", "keypoints"):
        assert torch.equal(getattr(whole, name), torch.cat([getattr(half, name) for half in halves]))
    others = [draw_kept_frames(rates, 8, 3, 8, range(4)), draw_kept_frames(rates, 8, 4, 7, range(4))]
    assert all(not torch.equal(each.reference, whole.reference) for each in others)
    # Another rate drops more of the same frames, so that runs differ in as little as they can.
    more = draw_kept_frames(FrameDropout(0.6, 0.4), 8, 3, 7, range(4))
    assert not (more.reference & ~whole.reference).any()
    assert torch.equal(more.keypoints, whole.keypoints)


def test_features_of_dropped_frames_are_zero_and_learn_nothing() -> None:
    features = torch.arange(1.0, 13.0).reshape(1, 3, 2, 2).requires_grad_()
    kept = torch.tensor([[True, False, True]])
    found = keep_frames(features, kept)
    assert found[0, :, 0, 0].tolist() == [1.0, 0.0, 9.0]
    found.sum().backward()
    assert features.grad is not None
    assert features.grad[0, :, 0, 0].tolist() == [1.0, 0.0, 1.0]


def test_a_bank_of_zeros_is_the_attention_without_its_answer() -> None:
    torch.manual_seed(0)
    attention = Attention(8, 2)
    hidden, bank = torch.randn(1, 5, 8), torch.zeros(1, 7, 8)
    assert torch.equal(attention(hidden, attention.context(bank)), attention.to_out[0].bias.expand(1, 5, 8))


@pytest.mark.parametrize(("name", "rate"), [("reference", -0.1), ("keypoints", 1.5)])
def test_shares_beyond_one_are_refused(name: str, rate: float) -> None:
    with pytest.raises(ValueError, match=rf"{name} is a share of the frames, 0 to 1, got {rate}"):
        FrameDropout(**{name: rate})


def test_kept_frames_go_to_another_device() -> None:
    kept = draw_kept_frames(FrameDropout(0.5, 0.5), 4, 0, 0, range(2)).to("meta")
    assert kept.reference.is_meta
    assert kept.keypoints.is_meta
