"""How smoothly latents move, in windows that are made one after the other: coordinates (F, D) of one video.

Values are in the coordinates' own units, to be set beside those of the true video. Nothing here looks across the border
of two windows but `step_between`.
"""

from __future__ import annotations

import numpy as np

from fada.eval.metrics.not_measurable import NotMeasurable


def second_difference(coordinates: np.ndarray, window: int) -> float:
    """Mean of ``|x[t+1] - 2 x[t] + x[t-1]|`` over coordinates and over three frames of one window: 0 for steady motion.

    Args:
        coordinates: (F, D); window: frames that are made at once.

    Raises:
        NotMeasurable: no window has three frames.
    """
    middle = np.arange(1, len(coordinates) - 1)
    inside = middle[(middle - 1) // window == (middle + 1) // window]
    if not len(inside):
        raise NotMeasurable(f"a second difference needs three frames of one window of {window}, got {len(coordinates)}")
    return float(np.abs(coordinates[inside + 1] - 2 * coordinates[inside] + coordinates[inside - 1]).mean())


def step_inside(coordinates: np.ndarray, window: int) -> float:
    """Mean length of the step from a frame to the next one of its window.

    Raises:
        NotMeasurable: no window has two frames.
    """
    return _mean_step(coordinates, window, crosses=False)


def step_between(coordinates: np.ndarray, window: int) -> float:
    """Mean length of the step from a window's last frame to the next one's first.

    Raises:
        NotMeasurable: there is one window.
    """
    return _mean_step(coordinates, window, crosses=True)


def _mean_step(coordinates: np.ndarray, window: int, *, crosses: bool) -> float:
    lengths = np.linalg.norm(np.diff(coordinates, axis=0), axis=1)
    chosen = lengths[(np.arange(1, len(coordinates)) % window == 0) == crosses]
    if not len(chosen):
        what = "from one window to the next" if crosses else "inside a window"
        raise NotMeasurable(f"no step {what}: {len(coordinates)} frames in windows of {window}")
    return float(chosen.mean())
