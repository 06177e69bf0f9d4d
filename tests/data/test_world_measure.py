"""The mouth measure: right on clean renders, steady under blur, noise and shifts, and honest about time."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from fada.data.clips.clip import Clip
from fada.data.world import make_clip, measure_aperture


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    return [make_clip(1, index, size=64, frames=50, split="test") for index in range(10)]


def errors(clips: list[Clip], frames: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(
        [
            np.abs(measure_aperture(picture, clip.meta["truth"]) - np.array(clip.meta["truth"]["aperture_px"]))
            for clip, picture in zip(clips, frames, strict=True)
        ]
    )


def test_clean_renders_are_measured_to_under_half_a_pixel(clips: list[Clip]) -> None:
    error = errors(clips, [clip.frames for clip in clips])
    assert error.mean() < 0.12
    assert np.quantile(error, 0.99) < 0.5


def test_measure_holds_at_other_sizes() -> None:
    for size in (48, 128):
        clip = make_clip(1, 3, size=size, frames=25)
        assert errors([clip], [clip.frames]).mean() < 0.004 * size


def test_truth_of_one_size_measures_frames_of_another() -> None:
    small, large = (make_clip(1, 3, size=size, frames=25) for size in (64, 128))
    measured = measure_aperture(large.frames, small.meta["truth"])
    np.testing.assert_allclose(measured, large.meta["truth"]["aperture_px"], atol=0.9)


def test_noise_blur_and_dimming_cost_little(clips: list[Clip]) -> None:
    rng = np.random.default_rng(0)
    pictures = [clip.frames.astype(float) for clip in clips]
    noisy = [np.clip(p + rng.normal(0, 10, p.shape), 0, 255).astype(np.uint8) for p in pictures]
    blurred = [gaussian_filter(p, (0, 1, 1, 0)).astype(np.uint8) for p in pictures]
    dimmed = [(0.9 * p).astype(np.uint8) for p in pictures]
    for changed in (noisy, blurred, dimmed):
        assert errors(clips, changed).mean() < 0.4


def test_a_head_moved_by_a_pixel_is_still_measured(clips: list[Clip]) -> None:
    assert errors(clips, [np.roll(clip.frames, (1, -1), (1, 2)) for clip in clips]).mean() < 0.15


@pytest.mark.parametrize("shift", [-5, 0, 4])
def test_frames_shown_late_come_out_as_that_lag(clips: list[Clip], shift: int) -> None:
    clip = clips[0]
    measured = measure_aperture(np.roll(clip.frames, shift, axis=0), clip.meta["truth"])
    truth = np.array(clip.meta["truth"]["aperture_px"])
    scores = {lag: np.corrcoef(np.roll(truth, lag), measured)[0, 1] for lag in range(-8, 9)}
    assert max(scores, key=scores.__getitem__) == shift


def test_a_frozen_mouth_measures_as_still(clips: list[Clip]) -> None:
    frozen = np.repeat(clips[0].frames[:1], 20, axis=0)
    assert measure_aperture(frozen, clips[0].meta["truth"]).std() < 0.3


def test_another_clips_frames_do_not_correlate(clips: list[Clip]) -> None:
    truth = np.array(clips[0].meta["truth"]["aperture_px"])
    assert np.corrcoef(measure_aperture(clips[1].frames, clips[0].meta["truth"]), truth)[0, 1] < 0.6


def test_measure_refuses_what_is_no_picture_of_the_clip(clips: list[Clip]) -> None:
    truth = clips[0].meta["truth"]
    with pytest.raises(ValueError, match=r"frames must be uint8 \(F, H, H, 3\), got float64"):
        measure_aperture(np.zeros((2, 64, 64, 3)), truth)
    with pytest.raises(ValueError, match="the truth describes 50 frames, got 51"):
        measure_aperture(np.zeros((51, 64, 64, 3), np.uint8), truth)
