"""Means with honest intervals: one value per video, Student's t, and differences paired by clip.

Resamples nothing: a percentile bootstrap of a Fréchet distance covers neither the truth nor its own point estimate,
and frames of one video are not independent samples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit


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


def paired_interval(
    values: Mapping[str, float | None], baseline: Mapping[str, float | None], confidence: float = 0.95
) -> Interval | None:
    """Mean and t-interval of ``values - baseline`` over the clips in which both were measured; None if none were."""
    differences = [
        value - other
        for clip, value in values.items()
        if value is not None and (other := baseline.get(clip)) is not None
    ]
    return t_interval(differences, confidence)
