"""Does the mouth move with the sound? Curves of the mouth's opening, one value per video frame.

The generated curve is measured in the frames; the true curve is the one that the drawn world's sound was made from.
"""

from __future__ import annotations

import numpy as np

from fada.eval.metrics.not_measurable import NotMeasurable

STILL = 1e-6
"""Below this standard deviation a curve does not move."""
STILL_PIXELS = 0.05
"""The same for openings measured in pixels, where the measuring itself wavers a little."""
LEAST_OVERLAP = 8
"""Frames that two curves must share to be compared at a shift."""


def correlation(measured: np.ndarray, true: np.ndarray, still: float = STILL) -> float:
    """Pearson r of two curves (F,), in [-1, 1]; by definition 0 for a measured mouth that never moves.

    A still mouth (standard deviation under ``still``) gets 0 and no null, because leaving it out would reward a system
    that freezes.

    Raises:
        NotMeasurable: the true curve does not move, or there are fewer than 8 frames.
    """
    measured, true = _paired(measured, true)
    if true.std() < STILL:
        raise NotMeasurable("the true mouth never moves in this clip")
    if measured.std() < still:
        return 0.0
    return float(np.corrcoef(measured, true)[0, 1])


def lag(measured: np.ndarray, true: np.ndarray, search: int = 12, still: float = STILL) -> int:
    """Frames by which the measured mouth is late (negative: early), where the correlation of the curves peaks.

    Args:
        measured: the generated mouth's opening (F,).
        true: the opening that belongs to the sound (F,).
        search: largest shift tried each way; shorter clips try fewer, so that 8 frames overlap.
        still: standard deviation under which the measured mouth does not move.

    Raises:
        NotMeasurable: one of the curves does not move.
    """
    measured, true = _paired(measured, true)
    if true.std() < STILL or measured.std() < still:
        raise NotMeasurable("a mouth that never moves has no lag")
    reach = min(search, len(true) - LEAST_OVERLAP)
    scores = {shift: _correlation_at(measured, true, shift) for shift in range(-reach, reach + 1)}
    return max(sorted(scores, key=abs), key=lambda shift: scores[shift])


def mean_absolute_error(measured: np.ndarray, true: np.ndarray) -> float:
    """Mean |measured - true| over frames, in the unit of both curves (pixels)."""
    measured, true = _paired(measured, true)
    return float(np.abs(measured - true).mean())


def velocity_ratio(measured: np.ndarray, true: np.ndarray) -> float:
    """Mean speed of the measured mouth over that of the true one: 1 is right, 0 still, above 1 restless.

    Raises:
        NotMeasurable: the true mouth does not move.
    """
    measured, true = _paired(measured, true)
    true_speed = np.abs(np.diff(true)).mean()
    if true_speed < STILL:
        raise NotMeasurable("the true mouth never moves in this clip")
    return float(np.abs(np.diff(measured)).mean() / true_speed)


def velocity_distance(measured: np.ndarray, true: np.ndarray) -> float:
    """Wasserstein-1 distance between the distributions of the two mouths' velocities, in pixels per frame."""
    measured, true = _paired(measured, true)
    return float(np.abs(np.sort(np.diff(measured)) - np.sort(np.diff(true))).mean())


def _correlation_at(measured: np.ndarray, true: np.ndarray, shift: int) -> float:
    late = measured[shift:] if shift >= 0 else measured[:shift]
    early = true[: len(true) - shift] if shift >= 0 else true[-shift:]
    if late.std() < STILL or early.std() < STILL:
        return -1.0
    return float(np.corrcoef(late, early)[0, 1])


def _paired(measured: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    first = np.asarray(measured, dtype=np.float64)
    second = np.asarray(true, dtype=np.float64)
    frames = min(len(first), len(second))
    if frames < LEAST_OVERLAP:
        raise NotMeasurable(f"a mouth curve needs at least {LEAST_OVERLAP} frames, got {frames}")
    first, second = first[:frames], second[:frames]
    if not np.isfinite(first).all():
        raise NotMeasurable(f"the mouth was not found in {int((~np.isfinite(first)).sum())} of {frames} frames")
    return first, second
