"""Measures of pictures against pictures whose blur, noise and changes are known."""

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from fada.data.scores.picture import blur, noise, occlusion, shows_surroundings, surroundings
from fada.data.world import make_clip

WHOLE = np.array([0.2, 0.2, 0.8, 0.8])


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return make_clip(0, 0, size=128, frames=12).frames


def test_blur_grows_with_the_width_of_the_blur(frames: np.ndarray) -> None:
    found = [blur(gaussian_filter(frames, (0, sigma, sigma, 0)), WHOLE) for sigma in (0.0, 1.0, 2.0, 4.0)]
    assert found == sorted(found)
    assert found[-1] > found[0] + 0.1


def test_blur_is_about_the_same_at_twice_the_size(frames: np.ndarray) -> None:
    twice = frames.repeat(2, axis=1).repeat(2, axis=2)
    assert blur(twice, WHOLE) == pytest.approx(blur(frames, WHOLE), abs=0.05)


@pytest.mark.parametrize("sigma", [4.0, 8.0, 14.0])
def test_noise_is_measured_in_grey_levels(frames: np.ndarray, sigma: float) -> None:
    noisy = frames + np.random.default_rng(0).normal(0.0, sigma, frames.shape)
    assert noise(np.clip(noisy, 0, 255).astype(np.uint8)) == pytest.approx(sigma, rel=0.2)


def test_a_drawn_picture_has_hardly_any_noise(frames: np.ndarray) -> None:
    assert noise(frames) < 1.0


def test_surroundings_that_stand_still_do_not_change_however_noisy() -> None:
    still = np.full((20, 96, 96, 3), 120, np.uint8)
    assert surroundings(still, WHOLE) == (0.0, 0.0)
    noisy = (still + np.random.default_rng(0).normal(0, 10, still.shape)).astype(np.uint8)
    assert surroundings(noisy, WHOLE)[0] < 4.0


def test_surroundings_that_change_are_told_from_a_face_that_moves() -> None:
    frames = np.full((60, 96, 96, 3), 120, np.uint8)
    frames[::2, 30:60, 30:60] = 240  # the face flickers
    assert surroundings(frames, WHOLE)[0] == 0.0
    frames[30:, :10] = 20  # the wall behind it turns dark, once and for all
    change, drift = surroundings(frames, WHOLE)
    assert drift > 5.0
    assert change == 0.0
    frames[::3, :10] = 200
    assert surroundings(frames, WHOLE)[0] > 5.0


def test_a_head_that_fills_the_picture_leaves_nothing_to_measure() -> None:
    assert np.isnan(surroundings(np.zeros((3, 96, 96, 3), np.uint8), np.array([0.0, 0.0, 1.0, 1.0]))).all()


def swaying_head(backgrounds: np.ndarray, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """A dark ellipse, 0.6 wide and 0.84 high, that sways by +-reach before flat grey backgrounds (F,); and the boxes
    (F, 4) of its face, which leave out hair."""
    side = 192
    rows, columns = np.mgrid[0:side, 0:side] / side
    middles = 0.5 + reach * np.sin(2 * np.pi * np.arange(len(backgrounds)) / 60)
    frames = np.repeat(backgrounds.astype(np.uint8), side * side * 3).reshape(-1, side, side, 3)
    for frame, middle in zip(frames, middles, strict=True):
        frame[((columns - middle) / 0.30) ** 2 + ((rows - 0.5) / 0.42) ** 2 < 1] = (60, 40, 30)
    boxes = np.stack([middles - 0.21, 0 * middles + 0.24, middles + 0.21, 0 * middles + 0.76], axis=1)
    return frames, boxes


@pytest.mark.parametrize("reach", [0.0, 0.05, 0.12])
def test_a_head_that_sways_before_a_still_background_changes_nothing(reach: float) -> None:
    frames, boxes = swaying_head(np.full(125, 190), reach)
    assert surroundings(frames, boxes) == (0.0, 0.0)
    assert surroundings(frames, np.median(boxes, axis=0)) == (0.0, 0.0)


def test_a_background_that_drifts_behind_a_swaying_head_is_measured_as_it_drifts() -> None:
    grey = 100.0 + np.arange(121) / 2  # up to 160 by half a level a frame: in whole levels by 0 and 1 in turn
    frames, boxes = swaying_head(grey, 0.12)
    change, drift = surroundings(frames, boxes)
    assert change == 1.0
    assert drift == pytest.approx(np.percentile(np.abs(np.floor(grey) - np.floor(grey).mean()), 95), abs=0.01)
    assert drift == pytest.approx(28.5, abs=0.5)


def test_a_head_that_sweeps_over_nearly_all_of_the_picture_leaves_nothing_to_measure() -> None:
    frames, boxes = swaying_head(np.full(125, 190), 0.3)
    assert np.isnan(surroundings(frames, boxes)).all()
    assert not shows_surroundings(boxes)
    assert shows_surroundings(swaying_head(np.full(125, 190), 0.05)[1])


def test_what_passes_before_the_face_is_seen_and_brightness_is_not() -> None:
    frames = make_clip(0, 0, size=96, frames=60).frames
    centres = np.full((60, 2), 0.45)
    clear = occlusion(frames, centres, 0.6)
    covered = frames.copy()
    covered[20:32, 22:52, 30:68] = (20, 200, 40)
    brighter = np.clip(frames.astype(int) + np.arange(60)[:, None, None, None], 0, 255).astype(np.uint8)
    assert clear < 0.15
    assert occlusion(covered, centres, 0.6) > 0.3
    blink = frames.copy()
    blink[20:26, 22:52, 30:68] = (20, 200, 40)
    assert occlusion(blink, centres, 0.6) == pytest.approx(clear, abs=0.02)
    assert occlusion(brighter, centres, 0.6) < 0.15
    assert np.isnan(occlusion(frames[:40], centres[:40], 0.6))


def test_a_tilted_head_is_turned_upright_first() -> None:
    frames = make_clip(0, 0, size=96, frames=60).frames
    angles = 25.0 * np.sin(np.arange(60) / 9.0)
    tilted = np.stack(
        [
            np.asarray(Image.fromarray(frame).rotate(-angle, Image.Resampling.BICUBIC, center=(43.2, 43.2)))
            for frame, angle in zip(frames, angles, strict=True)
        ]
    )
    centres = np.full((60, 2), 0.45)
    found = occlusion(tilted, centres, 0.6, angles)
    assert found < 0.12
    assert found < 0.5 * occlusion(tilted, centres, 0.6)
