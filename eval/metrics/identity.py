"""Is it still the same face, and does it stay so? Compared where the true video does not move.

Mouth, eyes and the outline of a swaying head change for good reasons; background, clothes, hair and the inner parts of
the face do not. The mask of still pixels comes from the true video, so it is the same for every system.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fada.eval.metrics.fidelity import same_length
from fada.eval.metrics.not_measurable import NotMeasurable

STILL_LEVELS = 3.0
"""A pixel stands still when no colour channel's standard deviation over time exceeds this (grey levels of 255)."""
LEAST_SHARE = 0.05
"""Smallest share of still pixels that a statement can rest on."""


def still_pixels(truth: np.ndarray) -> np.ndarray:
    """Mask (H, W) of the pixels that do not move in the true video (F, H, W, 3).

    Raises:
        NotMeasurable: fewer than 5 % of the pixels stand still.
    """
    deviation = np.sqrt(np.maximum(_mean(truth, 2) - _mean(truth, 1) ** 2, 0.0))
    mask = (deviation <= STILL_LEVELS).all(axis=-1)
    if mask.mean() < LEAST_SHARE:
        raise NotMeasurable(f"only {mask.mean():.1%} of the true video's pixels stand still")
    return mask


def head_region(truth: dict[str, Any], size: tuple[int, int]) -> np.ndarray:
    """Mask (H, W) of a box around the drawn head, hair included; the whole picture where the truth has no head.

    Args:
        truth: of the drawn world: ``head_centre`` (F, 2) in pixels x, y and ``person.head``, half width and half
            height as shares of the side.
        size: the picture's height and width.
    """
    mask = np.ones(size, dtype=bool)
    half = truth.get("person", {}).get("head")
    if half is None or "head_centre" not in truth:
        return mask
    scale = size[0] / truth.get("size", size[0])
    across, down = np.asarray(truth["head_centre"], dtype=np.float64).mean(0) * scale
    rows, columns = np.indices(size) + 0.5
    # A quarter more than the skull: room for hair and ears.
    reach_across, reach_down = 1.25 * half[0] * size[1], 1.25 * half[1] * size[0]
    return (np.abs(columns - across) <= reach_across) & (np.abs(rows - down) <= reach_down)


def colour_error(frames: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    """Mean absolute difference of the videos' mean pictures over ``mask`` (H, W), in grey levels of 255."""
    frames, truth = same_length(frames, truth)
    _check_mask(mask)
    return float(np.abs(_mean(frames, 1) - _mean(truth, 1))[mask].mean())


def shape_error(frames: np.ndarray, truth: np.ndarray) -> float:
    """1 - Pearson r between the edge strengths of the videos' mean pictures: 0 for the same outlines.

    Raises:
        NotMeasurable: the true mean picture has no edges.
    """
    frames, truth = same_length(frames, truth)
    edges, true_edges = (_edge_strength(_mean(video, 1).mean(-1)).ravel() for video in (frames, truth))
    if true_edges.std() < 1e-9:
        raise NotMeasurable("the true picture has no edges")
    if edges.std() < 1e-9:
        return 1.0
    return float(1.0 - np.corrcoef(edges, true_edges)[0, 1])


def drift(frames: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    """How much further from the true mean picture the last quarter is than the first, in grey levels over ``mask``."""
    frames, truth = same_length(frames, truth)
    _check_mask(mask)
    quarter = max(1, len(frames) // 4)
    target = _mean(truth, 1)[mask]
    first, last = (np.abs(_mean(part, 1)[mask] - target).mean() for part in (frames[:quarter], frames[-quarter:]))
    return float(last - first)


def flicker(frames: np.ndarray, mask: np.ndarray) -> float:
    """Mean absolute second difference over time of the still pixels, in grey levels of 255; 0 for steady or linear.

    Raises:
        NotMeasurable: fewer than three frames, or another picture size than the mask's.
    """
    if frames.shape[1:3] != mask.shape:
        raise NotMeasurable(f"pictures differ in size: {frames.shape[1:3]} and {mask.shape}")
    if len(frames) < 3:
        raise NotMeasurable(f"flicker needs at least 3 frames, got {len(frames)}")
    pixels = frames[:, mask].astype(np.int16)
    return float(np.abs(pixels[2:] - 2 * pixels[1:-1] + pixels[:-2]).mean())


def _check_mask(mask: np.ndarray) -> None:
    if not mask.any():
        raise NotMeasurable("no pixel to compare stands still in the true video")


def _mean(frames: np.ndarray, power: int) -> np.ndarray:
    """Mean over time of ``frames ** power``, without a float copy of the whole video."""
    total = np.zeros(frames.shape[1:], dtype=np.float64)
    for frame in frames:
        total += frame.astype(np.float64) ** power
    return total / len(frames)


def _edge_strength(picture: np.ndarray) -> np.ndarray:
    down, right = np.gradient(picture)
    return np.hypot(down, right)
