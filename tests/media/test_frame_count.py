"""Frames and samples against each other, over all lengths that were lost once."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from fada.media.frame_count import exact_rate, frame_count, frame_starts, frames_begun, frames_in, sample_count

RATES = [
    (25.0, Fraction(25)),
    (24.0, Fraction(24)),
    (30.0, Fraction(30)),
    (12.5, Fraction(25, 2)),
    (50.0, Fraction(50)),
    (29.97, Fraction(2997, 100)),
    (30000 / 1001, Fraction(30000, 1001)),
    (24000 / 1001, Fraction(24000, 1001)),
    (60000 / 1001, Fraction(60000, 1001)),
]
SAMPLE_RATES = [16000, 44100]


@pytest.mark.parametrize(("fps", "exact"), RATES)
def test_a_float_stands_for_the_rate_that_was_meant(fps: float, exact: Fraction) -> None:
    assert exact_rate(fps) == exact


@pytest.mark.parametrize("fps", [rate for rate, _ in RATES])
@pytest.mark.parametrize("sample_rate", SAMPLE_RATES)
def test_sound_of_exactly_n_frames_is_n_frames_for_every_length(sample_rate: int, fps: float) -> None:
    lost = [n for n in range(15001) if frame_count(sample_count(n, sample_rate, fps), sample_rate, fps) != n]
    assert lost == []


@pytest.mark.parametrize("fps", [rate for rate, _ in RATES])
def test_a_whole_sample_less_is_a_frame_less(fps: float) -> None:
    assert all(frame_count(sample_count(n, 16000, fps) - 2, 16000, fps) == n - 1 for n in range(1, 15001))


@pytest.mark.parametrize("samples_per_frame", [640])
def test_at_25_frames_per_second_a_frame_is_640_samples(samples_per_frame: int) -> None:
    for n in range(1, 15001):
        assert sample_count(n, 16000, 25.0) == n * samples_per_frame
        assert frame_count(n * samples_per_frame + 639, 16000, 25.0) == n


@pytest.mark.parametrize(("fps", "exact"), RATES)
def test_frames_begin_at_the_nearest_sample(fps: float, exact: Fraction) -> None:
    for n in range(0, 15001, 37):
        assert abs(sample_count(n, 16000, fps) - n * 16000 / exact) <= Fraction(1, 2)


@pytest.mark.parametrize("length", [math.floor, math.ceil, round])
@pytest.mark.parametrize(("fps", "exact"), RATES)
def test_a_length_is_n_frames_whichever_way_others_round_it(fps: float, exact: Fraction, length) -> None:
    assert [n for n in range(1, 15001) if frame_count(length(n * 16000 / exact), 16000, fps) != n] == []


def test_starts_are_the_counts_of_the_frames_before() -> None:
    np.testing.assert_array_equal(frame_starts(4, 16000, 30.0), [0, 533, 1067, 1600])
    assert frame_starts(0, 16000, 25.0).shape == (0,)


@pytest.mark.parametrize(("samples", "begun"), [(0, 0), (1, 1), (640, 1), (641, 2), (29 * 640, 29)])
def test_a_frame_has_begun_with_its_first_sample(samples: int, begun: int) -> None:
    assert frames_begun(samples, 16000, 25.0) == begun


def test_frames_before_the_beginning_mirror_those_after() -> None:
    assert sample_count(-3, 16000, 25.0) == -1920


@pytest.mark.parametrize(
    ("seconds", "fps", "frames"),
    [(1.16, 25.0, 29), (1.12, 25.0, 28), (0.28, 25.0, 7), (0.1, 30.0, 3), (2.3, 25.0, Fraction(115, 2))],
)
def test_seconds_are_taken_as_they_are_written(seconds: float, fps: float, frames: Fraction) -> None:
    assert frames_in(seconds, fps) == frames


@pytest.mark.parametrize("fps", [0.0, -25.0, math.nan, math.inf])
def test_a_senseless_frame_rate_is_refused(fps: float) -> None:
    with pytest.raises(ValueError, match="fps must be positive and finite, got"):
        frame_count(640, 16000, fps)


def test_seconds_without_end_are_refused() -> None:
    with pytest.raises(ValueError, match="seconds must be finite, got inf"):
        frames_in(math.inf, 25.0)


def test_a_very_slow_rate_does_not_become_none() -> None:
    assert exact_rate(1e-6) > 0
