"""How many frames a sound makes, and how many samples frames take: the one place where both are counted.

All of it in whole numbers and fractions. In floating point, `samples / 16000 * 25` of exactly 29 frames is 28.999…,
and the last frame is lost. Frame f begins at sample `sample_count(f)`, f / fps seconds rounded to the nearest sample;
frames and samples are so divided alike everywhere, and frames in a row leave no sample out and share none.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

_LARGEST_DENOMINATOR = 1001
"""Of frame rates: 30000/1001 and its like, as video files hold them."""


def exact_rate(fps: float) -> Fraction:
    """The frame rate that a float stands for: 25, 12.5, 29.97, or 30000/1001 where it is that.

    Raises:
        ValueError: it is not a positive, finite number.
    """
    if not (math.isfinite(fps) and fps > 0):
        raise ValueError(f"fps must be positive and finite, got {fps}")
    rate = Fraction(fps).limit_denominator(_LARGEST_DENOMINATOR)
    return rate or Fraction(fps)


def sample_count(frames: int, sample_rate: int, fps: float) -> int:
    """Samples that the first ``frames`` frames take, and so the number of the sample at which the next one begins.

    Halves are rounded up. Negative frames lie before the beginning.
    """
    return math.floor(int(frames) * int(sample_rate) / exact_rate(fps) + Fraction(1, 2))


def sample_range(first: int, last: int, sample_rate: int, fps: float) -> slice:
    """Where the samples of frames [first, last) lie."""
    return slice(sample_count(first, sample_rate, fps), sample_count(last, sample_rate, fps))


def frame_count(samples: int, sample_rate: int, fps: float) -> int:
    """Whole frames of ``samples`` samples; the last may lack less than one sample.

    Where a frame is no whole number of samples (30 per second at 16 kHz), some tools round the length of n frames down,
    some up: both are n frames.
    """
    # n P < samples + 1, with P samples per frame: the largest whole number below this bound.
    return math.ceil((int(samples) + 1) * exact_rate(fps) / int(sample_rate)) - 1


def frames_begun(samples: int, sample_rate: int, fps: float) -> int:
    """Frames of which at least one sample is there: the whole ones, and the last where it is cut short."""
    return max(0, math.ceil((int(samples) - Fraction(1, 2)) * exact_rate(fps) / int(sample_rate)))


def frame_starts(frames: int, sample_rate: int, fps: float) -> np.ndarray:
    """The sample at which each of ``frames`` frames begins, int64 (frames,)."""
    return np.array([sample_count(frame, sample_rate, fps) for frame in range(frames)], np.int64)


def frames_in(seconds: float, fps: float) -> Fraction:
    """How many frames ``seconds`` last, parts of frames too; 1.16 is 1.16, not 1.15999….

    Raises:
        ValueError: seconds are not finite.
    """
    if not math.isfinite(seconds):
        raise ValueError(f"seconds must be finite, got {seconds}")
    # repr is the shortest decimal that gives this float: what a recipe or a command line said.
    return Fraction(repr(float(seconds))) * exact_rate(fps)
