"""Weights of the lips and noise with an offset, by hand numbers."""

from __future__ import annotations

import pytest
import torch

from fada.data.sampling.seeds import sample_generator
from fada.teacher.loss_weights import lip_coverage, lip_weights, offset_noise


def test_coverage_is_the_share_of_each_cell_that_lies_in_the_box() -> None:
    # On 4 x 2 cells: x from 0.5 to 2.25 cells, y from 0.5 to 1.
    box = torch.tensor([0.125, 0.25, 0.5625, 0.5])
    found = lip_coverage(box, 2, 4, enlargement=1.0)
    assert found.tolist() == [[0.25, 0.5, 0.125, 0.0], [0.0, 0.0, 0.0, 0.0]]


def test_the_box_is_enlarged_about_its_middle_and_cut_by_the_picture() -> None:
    box = torch.tensor([0.25, 0.625, 0.5, 0.875])
    # Twice: 0.125 to 0.625 and 0.5 to 1.
    assert lip_coverage(box, 4, 4).tolist() == [[0.0] * 4, [0.0] * 4, [0.5, 1.0, 0.5, 0.0], [0.5, 1.0, 0.5, 0.0]]
    beyond = lip_coverage(torch.tensor([0.75, 0.75, 1.25, 1.25]), 2, 2)
    assert beyond.tolist() == [[0.0, 0.0], [0.0, 1.0]]


def test_weights_of_a_sample_have_mean_one_and_the_asked_ratio() -> None:
    # Enlarged: a corner cell of 2 x 2, then another; all of the picture.
    boxes = torch.tensor([[[0.625, 0.625, 0.875, 0.875], [0.125, 0.125, 0.375, 0.375]], [[0.25, 0.25, 0.75, 0.75]] * 2])
    assert lip_coverage(boxes, 2, 2).sum((-1, -2)).tolist() == [[1.0, 1.0], [4.0, 4.0]]
    weights = lip_weights(boxes, 2, 2, 5.0)
    assert weights.shape == (2, 2, 1, 2, 2)
    # One of four cells weighs 5: the mean is 2.
    assert weights[0, 0, 0].tolist() == [[0.5, 0.5], [0.5, 2.5]]
    assert weights[0, 1, 0].tolist() == [[2.5, 0.5], [0.5, 0.5]]
    # Lips that fill the picture weigh as everything does.
    assert weights[1].unique().tolist() == [1.0]
    assert lip_weights(boxes, 2, 2, 1.0).unique().tolist() == [1.0]


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="the lips' weight must be at least 0, got -1"):
        lip_weights(torch.zeros(1, 1, 4), 2, 2, -1)


def test_an_offset_is_one_number_per_channel_in_all_frames_and_cells() -> None:
    noise = torch.randn(3, 4, 2, 2)
    found = offset_noise(noise, 0.05, sample_generator(0, 1, 2, "offset"))
    drawn = torch.randn(4, generator=sample_generator(0, 1, 2, "offset"))
    torch.testing.assert_close(found - noise, 0.05 * drawn[None, :, None, None].expand(3, 4, 2, 2), atol=1e-6, rtol=0)


def test_without_strength_noise_stays_and_nothing_is_drawn() -> None:
    noise, generator = torch.randn(3, 4, 2, 2), sample_generator(0, 0, 0)
    before = generator.get_state()
    assert offset_noise(noise, 0.0, generator) is noise
    assert torch.equal(generator.get_state(), before)


def test_an_offset_adds_its_square_to_the_variance_of_a_channels_mean() -> None:
    draws = torch.stack([offset_noise(torch.zeros(1, 4, 1, 1), 0.5, sample_generator(0, 0, i)) for i in range(2000)])
    assert float(draws.var()) == pytest.approx(0.25, rel=0.05)
