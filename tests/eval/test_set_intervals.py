"""Intervals of Fréchet distances, where the true distance is known."""

from __future__ import annotations

import numpy as np
import pytest

from fada.eval.metrics.frechet import frechet_distance
from fada.eval.statistics.set_intervals import LARGEST, video_interval

TRUE = 4.0


def two_sets(random: np.random.Generator, videos: int, frames: int = 4, dimensions: int = 16) -> list[np.ndarray]:
    """Features (videos, frames, d) of two sets at distance `TRUE`; frames of a video are alike."""
    spread = [random.normal(0, 0.5, (videos, 1, dimensions)) for _ in range(2)]
    sets = [each + random.normal(0, np.sqrt(0.75), (videos, frames, dimensions)) for each in spread]
    sets[0][..., 0] += np.sqrt(TRUE)
    return sets


def test_the_interval_covers_the_true_distance_where_percentiles_do_not() -> None:
    random = np.random.default_rng(0)
    covered, by_percentiles = [], []
    for _ in range(40):
        generated, real = two_sets(random, 16)
        low, high = video_interval(frechet_distance, generated, real)
        estimate = frechet_distance(generated.reshape(-1, 16), real.reshape(-1, 16))
        covered.append(low <= TRUE <= high)
        by_percentiles.append(2 * estimate - high <= TRUE <= 2 * estimate - low)
    assert np.mean(covered) >= 0.85
    assert np.mean(by_percentiles) <= 0.3


def test_more_videos_make_it_narrower() -> None:
    random = np.random.default_rng(1)
    widths = [np.ptp(video_interval(frechet_distance, *two_sets(random, videos))) for videos in (10, 60)]
    assert widths[1] < 0.7 * widths[0]


def test_identical_videos_are_at_distance_zero_without_doubt() -> None:
    generated, _ = two_sets(np.random.default_rng(2), 10)
    assert video_interval(frechet_distance, generated, generated) == pytest.approx((0.0, 0.0), abs=1e-9)


def test_it_is_the_same_on_every_run() -> None:
    sets = two_sets(np.random.default_rng(3), 9)
    assert video_interval(frechet_distance, *sets) == video_interval(frechet_distance, *sets)


def test_few_videos_or_large_features_have_none() -> None:
    generated, real = two_sets(np.random.default_rng(4), 7)
    assert video_interval(frechet_distance, generated, real) is None
    many = [np.zeros((200, LARGEST + 1))] * 8
    assert video_interval(frechet_distance, many, many) is None
    assert video_interval(frechet_distance, many, many[:7]) is None
