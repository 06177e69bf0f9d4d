"""Steps and second differences of latents, by hand, inside windows and between them."""

from __future__ import annotations

import numpy as np
import pytest

from fada.eval.metrics.not_measurable import NotMeasurable
from fada.eval.metrics.smoothness import second_difference, step_between, step_inside

# Two windows of three frames, two coordinates.
MOVED = np.array([[0.0, 0.0], [1.0, 0.0], [4.0, 4.0], [4.0, 16.0], [4.0, 16.0], [7.0, 20.0]])


def test_second_differences_are_those_of_three_frames_of_one_window() -> None:
    # (0, 1, 4) and (0, 0, 4); then (4, 4, 7) and (16, 16, 20): 2, 4, 3, 4. Across the border there are 3 + 8 and more.
    assert second_difference(MOVED, 3) == pytest.approx((2 + 4 + 3 + 4) / 4)
    assert second_difference(np.arange(8.0)[:, None] * [1.0, -2.0], 8) == 0.0


def test_steps_are_told_apart_by_whether_they_cross_from_one_window_to_the_next() -> None:
    # Lengths 1, 5, 12 (across), 0, 5.
    assert step_inside(MOVED, 3) == pytest.approx((1 + 5 + 0 + 5) / 4)
    assert step_between(MOVED, 3) == pytest.approx(12.0)
    assert step_between(MOVED, 2) == pytest.approx((5 + 0) / 2)


def test_what_there_is_none_of_is_not_measured() -> None:
    with pytest.raises(NotMeasurable, match="no step from one window to the next: 6 frames in windows of 6"):
        step_between(MOVED, 6)
    with pytest.raises(NotMeasurable, match="no step inside a window: 6 frames in windows of 1"):
        step_inside(MOVED, 1)
    with pytest.raises(NotMeasurable, match="three frames of one window of 2, got 6"):
        second_difference(MOVED, 2)
