"""Curves over time against each other: made comparable, correlated at every lag, and how sure that is."""

from __future__ import annotations

import numpy as np

RADIUS = 12
"""Lags looked at: -12 .. 12 frames."""
_MEMORY = 15
"""Lags of the curves' own correlation that count for the standard error."""


def standardise(curve: np.ndarray, width: int | None = None) -> np.ndarray:
    """Zero mean, or zero running mean over ``width`` frames (takes out slow drifts), and unit variance."""
    curve = np.asarray(curve, np.float64)
    if width is None:
        curve = curve - curve.mean()
    else:
        padded = np.pad(curve, width // 2, mode="edge")
        curve = curve - np.convolve(padded, np.full(width, 1 / width), mode="valid")
    deviation = curve.std()
    return curve / deviation if deviation > 1e-6 else np.zeros_like(curve)


def odd_width(seconds: float | None, fps: float) -> int | None:
    """Frames of a running mean over about so many seconds, an odd number; None stays None."""
    return None if seconds is None else round(seconds * fps) // 2 * 2 + 1


def correlations_and_scores(mouth: np.ndarray, sound: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Correlation (25,) of mouth[f + lag] with sound[f] for lags -12 .. 12, and the same over its standard error."""
    curve = _lagged_correlation(mouth, sound)
    return curve, curve / _standard_error(mouth, sound)


def _lagged_correlation(mouth: np.ndarray, sound: np.ndarray) -> np.ndarray:
    result = np.zeros(2 * RADIUS + 1)
    for position, lag in enumerate(range(-RADIUS, RADIUS + 1)):
        first = mouth[max(0, lag) : len(mouth) + min(0, lag)]
        second = sound[max(0, -lag) : len(sound) + min(0, -lag)]
        first, second = first - first.mean(), second - second.mean()
        scale = np.sqrt((first**2).sum() * (second**2).sum())
        result[position] = (first * second).sum() / scale if scale > 1e-9 else 0.0
    return result


def _standard_error(first: np.ndarray, second: np.ndarray) -> float:
    """Of the correlation of two unrelated curves that are each correlated in time (Bartlett's formula)."""
    product = 0.0
    for lag in range(1, _MEMORY):
        product += float((first[:-lag] * first[lag:]).sum() * (second[:-lag] * second[lag:]).sum())
    scale = float((first**2).sum() * (second**2).sum())
    inflation = 1.0 + (2.0 * product / scale if scale > 0 else 0.0)
    return float(np.sqrt(max(inflation, 0.3) / len(first)))
