from __future__ import annotations

import numpy as np
import pytest

from fada.eval.metrics import mouth
from fada.eval.metrics.not_measurable import NotMeasurable

CURVE = np.random.default_rng(0).normal(size=60).cumsum()


def test_the_same_curve_correlates_fully() -> None:
    assert mouth.correlation(3 * CURVE + 2, CURVE) == pytest.approx(1.0)


def test_a_still_mouth_correlates_with_nothing() -> None:
    assert mouth.correlation(np.full(60, 2.0), CURVE) == 0.0


def test_wavering_below_the_given_threshold_is_still() -> None:
    assert mouth.correlation(1e-3 * CURVE / CURVE.std(), CURVE, still=mouth.STILL_PIXELS) == 0.0


def test_a_still_truth_is_not_measurable() -> None:
    with pytest.raises(NotMeasurable, match="true mouth never moves"):
        mouth.correlation(CURVE, np.zeros(60))


@pytest.mark.parametrize("shift", [-12, -5, -1, 0, 1, 7, 12])
def test_a_shift_put_in_comes_out_as_lag(shift: int) -> None:
    late, true = CURVE[12 - shift : 48 - shift], CURVE[12:48]
    assert mouth.lag(late, true) == shift


def test_a_still_mouth_has_no_lag() -> None:
    with pytest.raises(NotMeasurable, match="has no lag"):
        mouth.lag(np.zeros(60), CURVE)


def test_correlation_falls_as_the_shift_grows() -> None:
    smooth = np.sin(np.arange(80) * 0.2)
    scores = [mouth.correlation(smooth[20 - shift : 60 - shift], smooth[20:60]) for shift in range(6)]
    assert scores == sorted(scores, reverse=True)


def test_motion_ratio_is_one_for_truth_zero_for_still_and_two_for_doubled() -> None:
    ratios = [mouth.velocity_ratio(factor * CURVE, CURVE) for factor in (1, 0, 2)]
    assert ratios == pytest.approx([1.0, 0.0, 2.0])


def test_velocity_distance_is_zero_for_the_same_velocities_in_another_order() -> None:
    steps = np.diff(CURVE)
    shuffled = np.concatenate([[0.0], np.random.default_rng(1).permutation(steps)]).cumsum()
    assert mouth.velocity_distance(shuffled, CURVE) == pytest.approx(0.0, abs=1e-12)


def test_mean_absolute_error_of_a_constant_offset() -> None:
    assert mouth.mean_absolute_error(CURVE + 1.5, CURVE) == pytest.approx(1.5)


def test_curves_are_compared_over_the_shorter_one() -> None:
    assert mouth.correlation(CURVE[:20], CURVE) == pytest.approx(1.0)


def test_too_few_frames_are_not_measurable() -> None:
    with pytest.raises(NotMeasurable, match="at least 8 frames, got 5"):
        mouth.correlation(CURVE[:5], CURVE)


def test_frames_without_a_mouth_are_not_measurable() -> None:
    with pytest.raises(NotMeasurable, match="not found in 2 of 60 frames"):
        mouth.correlation(np.where(np.arange(60) < 2, np.nan, CURVE), CURVE)
