"""How large the numbers of a pipeline may be: one table for the gate (settings.py), for pipelines and for their calls.

Every limit is far beyond what is of use. Light: the command line reads it before it loads anything.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included, finite; whole ones where `is_whole`."""

    low: float
    high: float
    is_whole: bool = False

    def check(self, name: str, value: Any) -> None:
        """Know that a value is one of them.

        Raises:
            ValueError: it is no number, not finite, or outside.
        """
        is_number = isinstance(value, Integral if self.is_whole else Real) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value) or not self.low <= value <= self.high:
            kind = "a whole number" if self.is_whole else "a number"
            raise ValueError(f"{name}: must be {kind} from {self.low:g} to {self.high:g}, got {value!r}")


STEPS = Range(1, 1000, is_whole=True)
SCALE = Range(0, 100)
FRAMES = Range(1, 512, is_whole=True)
MOTION_FRAMES = Range(0, 512, is_whole=True)
CONTEXT = Range(0, 31, is_whole=True)
"""Video frames of sound to each side: an audio projection reads at most 64 in all."""
FPS = Range(1, 240)
SIZE = Range(8, 4096, is_whole=True)
SHARE = Range(0, 1)

PIPELINE = {
    "frames": FRAMES,
    "motion_frames": MOTION_FRAMES,
    "context": CONTEXT,
    "fps": FPS,
    "size": SIZE,
    "steps": STEPS,
}
"""Of a pipeline's config, beside a scale for every guidance branch."""
