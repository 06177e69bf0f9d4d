from __future__ import annotations

import numpy as np
import pytest

from fada.eval.statistics.intervals import holm, mean_p_value, paired_differences, ratio_of_medians, t_interval


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
    assert paired_differences({"a": 2.0, "b": 5.0, "c": None}, {"a": 1.0, "b": None, "c": 3.0}) == [1.0]


def test_a_constant_difference_has_a_narrow_interval_however_clips_vary() -> None:
    interval = t_interval(paired_differences({"a": 1.5, "b": 100.5}, {"a": 1.0, "b": 100.0}))
    assert interval is not None
    assert interval.half_width == pytest.approx(0.0, abs=1e-12)


def test_p_value_of_known_numbers() -> None:
    # t = 3 / sqrt(2.5 / 5) = 4.242641 with 4 degrees of freedom: p = 0.013236 (R's t.test).
    assert mean_p_value([1, 2, 3, 4, 5]) == pytest.approx(0.0132356, rel=1e-4)


def test_a_p_value_agrees_with_the_interval() -> None:
    draws = np.random.default_rng(1).normal(0.6, 1.0, (50, 8))
    for row in draws:
        interval = t_interval(row)
        assert interval is not None
        assert (mean_p_value(row) < 0.05) == (interval.low > 0 or interval.high < 0)


@pytest.mark.parametrize("differences", [[], [1.0], [0.0, 0.0, 0.0]])
def test_what_cannot_be_tested_has_no_p_value(differences: list[float]) -> None:
    assert mean_p_value(differences) is None


def test_holm_of_known_numbers() -> None:
    # 4 x 0.005, 3 x 0.01, 2 x 0.03, and 0.04 raised to its predecessor's 0.06 (R's p.adjust).
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_leaves_out_what_was_not_tested() -> None:
    assert holm([0.02, None, 0.9]) == [pytest.approx(0.04), None, pytest.approx(0.9)]


def test_holm_keeps_false_alarms_of_a_whole_family_below_five_percent() -> None:
    random = np.random.default_rng(2)
    families = [[mean_p_value(row) for row in random.normal(0, 1, (10, 6))] for _ in range(400)]
    alarms = np.mean([min(value for value in holm(family) if value is not None) < 0.05 for family in families])
    assert alarms < 0.08 < np.mean([min(family) < 0.05 for family in families])


def test_ratio_of_medians_and_its_interval() -> None:
    ratio = ratio_of_medians([2.0, 2.2, 2.1, 2.0, 2.3], [1.0, 1.1, 1.0, 1.05, 1.0])
    assert ratio is not None
    assert ratio.mean == pytest.approx(2.1)
    assert 2.0 / 1.1 <= ratio.low < 2.1 < ratio.high <= 2.3
    assert ratio.count == 5


def test_a_ratio_of_two_draws_of_the_same_latencies_covers_one() -> None:
    # A percentile bootstrap of a median is a rough tool with 9 values; it must not be a wrong one.
    random = np.random.default_rng(3)
    ratios = [ratio_of_medians(*random.lognormal(0, 0.05, (2, 9)), resamples=500) for _ in range(300)]
    assert np.mean([ratio.low <= 1 <= ratio.high for ratio in ratios]) > 0.9


def test_a_single_latency_has_a_ratio_without_an_interval() -> None:
    assert ratio_of_medians([2.0], [1.0, 1.0]).low is None
    assert ratio_of_medians([], [1.0]) is None
