from __future__ import annotations

import numpy as np
import pytest

from fada.eval.metrics import identity
from fada.eval.metrics.not_measurable import NotMeasurable


@pytest.fixture
def video() -> np.ndarray:
    """A still picture with a flickering square in its middle."""
    random = np.random.default_rng(0)
    frames = np.repeat(random.integers(40, 200, (1, 24, 24, 3), dtype=np.uint8), 12, axis=0)
    frames[::2, 8:16, 8:16] = 255
    return frames


def test_only_pixels_that_stand_still_are_in_the_mask(video: np.ndarray) -> None:
    mask = identity.still_pixels(video)
    assert not mask[8:16, 8:16].any()
    assert mask.sum() == 24 * 24 - 64


def test_a_video_without_still_pixels_is_not_measurable() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (10, 16, 16, 3), dtype=np.uint8)
    with pytest.raises(NotMeasurable, match="pixels stand still"):
        identity.still_pixels(noise)


def test_a_colour_shift_comes_out_in_levels(video: np.ndarray) -> None:
    mask = identity.still_pixels(video)
    assert identity.colour_error(video + np.uint8(6) * (video < 249), video, mask) == pytest.approx(6.0)


def test_motion_outside_the_mask_is_no_colour_error(video: np.ndarray) -> None:
    other = video.copy()
    other[:, 8:16, 8:16] = 0
    assert identity.colour_error(other, video, identity.still_pixels(video)) == 0.0


def test_an_empty_mask_is_not_measurable(video: np.ndarray) -> None:
    with pytest.raises(NotMeasurable, match="no pixel to compare"):
        identity.colour_error(video, video, np.zeros((24, 24), bool))


def test_shape_error_is_zero_for_the_same_outlines_and_ignores_brightness(video: np.ndarray) -> None:
    assert identity.shape_error(video, video) == pytest.approx(0.0, abs=1e-12)
    assert identity.shape_error((video // 2).astype(np.uint8), video) < 0.01


def test_shape_error_of_a_moved_outline_is_larger(video: np.ndarray) -> None:
    assert identity.shape_error(np.roll(video, 2, axis=2), video) > 0.1


def test_a_flat_picture_has_lost_its_shape(video: np.ndarray) -> None:
    assert identity.shape_error(np.full_like(video, 90), video) == 1.0


def test_a_flat_truth_has_no_shape(video: np.ndarray) -> None:
    with pytest.raises(NotMeasurable, match="no edges"):
        identity.shape_error(video, np.full_like(video, 90))


def test_drift_is_the_growth_of_the_error(video: np.ndarray) -> None:
    drifting = video.astype(int) + 2 * np.arange(12)[:, None, None, None]
    # Quarters of three frames: means 1 and 10 frames in, two levels each.
    error = identity.drift(drifting.clip(0, 255).astype(np.uint8), video, identity.still_pixels(video))
    assert error == pytest.approx(18.0)


def test_flicker_of_a_steady_or_linear_video_is_zero(video: np.ndarray) -> None:
    mask = identity.still_pixels(video)
    linear = (video.astype(int) + np.arange(12)[:, None, None, None]).clip(0, 255).astype(np.uint8)
    assert identity.flicker(video, mask) == identity.flicker(linear, mask) == 0.0


def test_flicker_of_alternating_frames_is_four_times_the_amplitude(video: np.ndarray) -> None:
    alternating = video.astype(int) + 3 * (-1) ** np.arange(12)[:, None, None, None]
    assert identity.flicker(alternating.clip(0, 255).astype(np.uint8), identity.still_pixels(video)) == 12.0


def test_flicker_of_two_frames_is_not_measurable(video: np.ndarray) -> None:
    with pytest.raises(NotMeasurable, match="at least 3 frames, got 2"):
        identity.flicker(video[:2], np.ones((24, 24), bool))


def test_head_region_is_a_box_around_the_drawn_head() -> None:
    truth = {"size": 64, "head_centre": [[32.0, 24.0]] * 3, "person": {"head": [0.2, 0.25]}}
    mask = identity.head_region(truth, (64, 64))
    assert mask[24, 32]
    assert not mask[24, 50]
    assert mask.sum() == 32 * 40


def test_head_region_scales_with_the_picture() -> None:
    truth = {"size": 64, "head_centre": [[32.0, 24.0]] * 3, "person": {"head": [0.2, 0.25]}}
    assert identity.head_region(truth, (128, 128)).sum() == 4 * 32 * 40


def test_without_a_drawn_head_the_whole_picture_counts() -> None:
    assert identity.head_region({}, (8, 9)).sum() == 72
