"""Means with honest intervals: one value per video, Student's t, differences paired by clip, ratios of latencies.

Resamples timing rounds only: a percentile bootstrap of a Fréchet distance covers neither the truth nor its own point
estimate, and frames of one video are not independent samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

SIGNIFICANCE = 0.05
"""Level of every test in a report, after correction."""


@dataclass(frozen=True)
class Interval:
    """A mean over videos and its t-interval.

    Args:
        mean: over the videos that have a value.
        low: lower end; equal to ``mean`` minus the half width, None with fewer than two videos.
        high: upper end, None with fewer than two videos.
        count: how many videos had a value.
    """

    mean: float
    low: float | None
    high: float | None
    count: int

    @property
    def half_width(self) -> float | None:
        """Half the interval's width, None where there is no interval."""
        return None if self.high is None else self.high - self.mean


def t_interval(values: Sequence[float], confidence: float = 0.95) -> Interval | None:
    """Mean of ``values`` (one per video) with its two-sided t-interval; None for no values.

    Raises:
        ValueError: a value is not finite.
    """
    if not len(values):
        return None
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"t_interval: values must be finite, got {array.tolist()}; leave out what was not measured")
    mean = float(array.mean())
    if len(array) < 2:
        return Interval(mean, None, None, 1)
    quantile = float(stdtrit(len(array) - 1, 0.5 + confidence / 2))
    half = quantile * float(array.std(ddof=1)) / math.sqrt(len(array))
    return Interval(mean, mean - half, mean + half, len(array))


def paired_differences(values: Mapping[str, float | None], baseline: Mapping[str, float | None]) -> list[float]:
    """``values - baseline`` of every clip in which both were measured."""
    return [
        value - other
        for clip, value in values.items()
        if value is not None and (other := baseline.get(clip)) is not None
    ]


def pseudo_values(value: float, without: Sequence[float]) -> list[float]:
    """The jackknife's numbers per video of a statistic of all videos: ``n value - (n - 1) without``.

    They are used as values per video are: their mean is the statistic less its first-order bias, their t-interval its
    interval, their paired differences those of two statistics.

    Args:
        value: of all n videos.
        without: the statistic without each of them.

    Source: Tukey 1958; Efron and Tibshirani 1993, "An introduction to the bootstrap", section 11.
    """
    count = len(without)
    return [count * value - (count - 1) * each for each in without]


def jackknifed(statistic: Callable[[Sequence[str]], float], clips: Sequence[str]) -> list[float]:
    """Pseudo-values of a statistic of clips, one for each of them; none of fewer than two clips."""
    without = [statistic([each for each in clips if each != left]) for left in clips] if len(clips) > 1 else []
    return pseudo_values(statistic(clips), without)


def mean_p_value(differences: Sequence[float]) -> float | None:
    """Two-sided p-value of Student's t-test that the differences' mean is zero.

    None where it cannot be tested: fewer than two differences, or all of them exactly zero.
    """
    array = np.asarray(differences, dtype=np.float64)
    if len(array) < 2 or not array.any():
        return None
    spread = float(array.std(ddof=1)) / math.sqrt(len(array))
    if spread == 0:
        return 0.0
    return float(2 * stdtr(len(array) - 1, -abs(float(array.mean())) / spread))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """P-values after Holm's correction for as many tests as were made; None stays None and counts as no test.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6.
    """
    tested = sorted((value, place) for place, value in enumerate(p_values) if value is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (value, place) in enumerate(tested):
        largest = max(largest, min(1.0, (len(tested) - rank) * value))
        adjusted[place] = largest
    return adjusted


def ratio_of_medians(
    values: Sequence[float], baseline: Sequence[float], confidence: float = 0.95, resamples: int = 4000
) -> Interval | None:
    """Median of ``values`` over that of ``baseline`` with a percentile bootstrap interval; None where one is empty.

    Both are resampled for themselves, with a fixed seed. ``mean`` is the ratio, ``count`` the smaller number of values;
    with a single value on a side there is no interval.
    """
    if not len(values) or not len(baseline):
        return None
    ratio = float(np.median(values) / np.median(baseline))
    count = min(len(values), len(baseline))
    if count < 2:
        return Interval(ratio, None, None, count)
    random = np.random.default_rng(0)
    above, below = (
        np.median(np.asarray(side)[random.integers(0, len(side), (resamples, len(side)))], axis=1)
        for side in (values, baseline)
    )
    low, high = np.quantile(above / below, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return Interval(ratio, float(low), float(high), count)
