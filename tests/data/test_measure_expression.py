"""The expression measure: right on clean renders of any size, steady under blur and noise, and for any emotion."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from fada.data.clips.clip import Clip
from fada.data.clips.emotion import EMOTIONS
from fada.data.world import draw, make_clip, measure_expression
from fada.data.world.feeling import Feeling
from fada.data.world.measure_expression import ExpressionSeen


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    return [make_clip(11, index, size=64, frames=24, split="test", version=2, emotion=True) for index in range(6)]


def measured(frames: np.ndarray, truth: dict[str, Any]) -> tuple[np.ndarray, ExpressionSeen]:
    """Absolute errors (N, 4), and what was seen."""
    seen = measure_expression(frames, truth, most=5)
    true = np.stack(
        [np.array(truth[name]) for name in ("brow", "slant", "lid")] + [np.array(truth["corners"])[:, 0]], axis=1
    )
    return np.abs(seen.features - true[seen.frames]), seen


def test_clean_renders_are_measured_to_a_few_hundredths(clips: list[Clip]) -> None:
    found = [measured(clip.frames, clip.meta["truth"]) for clip in clips]
    errors = np.concatenate([error for error, _ in found])
    assert errors.mean() < 0.02
    assert np.quantile(errors, 0.95) < 0.08
    # What is left of the picture when the face is painted again, in grey levels.
    assert np.mean([seen.error.mean() for _, seen in found]) < 0.5
    assert [seen.frames.tolist() for _, seen in found] == [[0, 6, 12, 17, 23]] * 6


def test_blur_and_noise_cost_little(clips: list[Clip]) -> None:
    rng = np.random.default_rng(0)
    for clip in clips[:2]:
        pixels = clip.frames.astype(float)
        blurred = gaussian_filter(pixels, (0, 0.8, 0.8, 0)).astype(np.uint8)
        noisy = np.clip(pixels + rng.normal(0, 8, pixels.shape), 0, 255).astype(np.uint8)
        for changed in (blurred, noisy):
            assert measured(changed, clip.meta["truth"])[0].mean() < 0.08


@pytest.mark.parametrize("version", [1, 2])
def test_large_pictures_are_measured_in_small_ones(version: int) -> None:
    clip = make_clip(11, 3, size=150, frames=20, version=version, emotion=True)
    assert measured(clip.frames, clip.meta["truth"])[0].mean() < 0.1


@pytest.mark.parametrize("name", EMOTIONS)
def test_every_emotion_at_full_intensity_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draw, "draw_feeling", lambda rng: Feeling(name, float(name != "neutral")))
    clip = make_clip(11, 3, size=64, frames=20, version=1, emotion=True)
    errors, _ = measured(clip.frames, clip.meta["truth"])
    assert errors.mean() < 0.08


def test_a_moved_head_is_measured_where_it_is(clips: list[Clip]) -> None:
    rolled = np.roll(clips[2].frames, (1, -2), (1, 2))
    assert measured(rolled, clips[2].meta["truth"])[0].mean() < 0.06


def test_a_blink_is_not_taken_for_narrowed_eyes() -> None:
    clip = make_clip(11, 2, size=64, frames=50, version=1, emotion=True)
    truth = clip.meta["truth"]
    closed = int(np.argmax(truth["blink"]))
    assert truth["blink"][closed] == 1.0
    kept = (*np.flatnonzero(np.array(truth["blink"]) == 0)[:4].tolist(), closed)
    frames = clip.frames[list(kept)]
    is_curve = {name: isinstance(value, list) and len(value) == 50 for name, value in truth.items()}
    shown = {name: [value[at] for at in kept] if is_curve[name] else value for name, value in truth.items()}
    errors, _ = measured(frames, shown)
    assert errors[:, 2].max() < 0.2


def test_what_is_no_picture_of_the_clip_is_refused(clips: list[Clip]) -> None:
    truth = clips[0].meta["truth"]
    with pytest.raises(ValueError, match=r"frames must be uint8 \(F, H, H, 3\), got float32 \(24, 64, 64, 3\)"):
        measure_expression(clips[0].frames.astype(np.float32), truth)
    with pytest.raises(ValueError, match="the truth describes 24 frames, got 48; cut the frames to the clip"):
        measure_expression(np.concatenate([clips[0].frames] * 2), truth)
