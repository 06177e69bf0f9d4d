from __future__ import annotations

import numpy as np
import pytest

from fada.eval.statistics import paired_interval, t_interval


def test_interval_of_known_numbers() -> None:
    # Mean 3, standard deviation sqrt(2.5), t(4, 0.975) = 2.776445 from printed tables.
    interval = t_interval([1, 2, 3, 4, 5])
    assert interval is not None
    assert interval.mean == pytest.approx(3.0)
    assert interval.half_width == pytest.approx(2.776445 * np.sqrt(2.5 / 5), rel=1e-6)


def test_one_video_has_no_interval() -> None:
    interval = t_interval([2.0])
    assert interval is not None
    assert (interval.mean, interval.low, interval.half_width, interval.count) == (2.0, None, None, 1)


def test_no_video_has_no_mean() -> None:
    assert t_interval([]) is None


def test_values_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="must be finite"):
        t_interval([1.0, float("nan")])


def test_interval_covers_the_truth_in_95_of_100_trials() -> None:
    draws = np.random.default_rng(0).normal(5.0, 2.0, (2000, 6))
    covered = [interval.low <= 5.0 <= interval.high for row in draws if (interval := t_interval(row))]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.015)


def test_pairs_use_only_clips_measured_in_both() -> None:
    interval = paired_interval({"a": 2.0, "b": 5.0, "c": None}, {"a": 1.0, "b": None, "c": 3.0})
    assert interval is not None
    assert (interval.mean, interval.count) == (1.0, 1)


def test_a_constant_difference_has_a_narrow_interval_however_clips_vary() -> None:
    interval = paired_interval({"a": 1.5, "b": 100.5}, {"a": 1.0, "b": 100.0})
    assert interval is not None
    assert interval.half_width == pytest.approx(0.0, abs=1e-12)
