"""The square around the head: one steady box per clip, cut out and scaled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fada.media.pictures import cut_square


@dataclass(frozen=True)
class CropBox:
    """A square of one size whose place is fixed or glides slowly, in pixels of the source."""

    side: float
    centres: np.ndarray
    """float64 (F, 2): x, y."""
    is_fixed: bool
    padded_share: float
    """Largest share of the square that lies outside the picture."""

    def corners(self) -> np.ndarray:
        """left, top (F, 2)."""
        return self.centres - self.side / 2

    def to_json(self) -> dict[str, Any]:
        """Side, first corner and whether it moves."""
        left, top = self.corners()[0]
        return {
            "left": round(float(left), 2),
            "top": round(float(top), 2),
            "side": round(self.side, 2),
            "is_fixed": self.is_fixed,
            "padded_share": round(self.padded_share, 4),
        }


def choose_box(
    points: np.ndarray, frame_size: tuple[int, int], margin: float = 1.9, min_margin: float = 1.4, fps: float = 25.0
) -> CropBox:
    """The square to cut for a clip.

    One box for all frames where the head stays in it; a box gliding with the head, smoothed over a second, where it
    does not. Inside the picture where that keeps the whole head; over its edge otherwise.

    Args:
        points: landmarks (F, 478, 2 or 3) in pixels.
        frame_size: height and width of the picture.
        margin: side of the square in face heights (forehead to chin); 1.9 shows hair and neck.
        min_margin: the square may shrink to this many face heights to stay inside the picture.
        fps: frames per second, for the smoothing.
    """
    low, high = points[:, :, :2].min(axis=1), points[:, :, :2].max(axis=1)
    face = float(np.median(np.maximum(*(high - low).T)))
    middle = (low + high) / 2
    # Hair rises above the forehead landmarks more than the neck matters below the chin.
    middle = middle - (0.0, 0.06 * face)
    height, width = frame_size
    side = margin * face
    if side > min(height, width):
        side = max(float(min(height, width)), min_margin * face)
    reach = (high.max(axis=0) - low.min(axis=0)).max()
    is_fixed = bool(reach <= 0.92 * side)
    if is_fixed:
        centre = (middle.min(axis=0) + middle.max(axis=0)) / 2
        centres = np.repeat(centre[None], len(points), axis=0)
    else:
        centres = _smooth(middle, sigma=fps)
    centres = _keep_inside(centres, side, (width, height), slack=0.2 * side)
    return CropBox(float(side), centres.astype(np.float64), is_fixed, _padded_share(centres, side, (width, height)))


def _smooth(path: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian average along time, the ends repeated."""
    radius = int(3 * sigma)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    weights /= weights.sum()
    padded = np.pad(path, ((radius, radius), (0, 0)), mode="edge")
    return np.stack([np.convolve(padded[:, axis], weights, mode="valid") for axis in range(2)], axis=1)


def _keep_inside(centres: np.ndarray, side: float, size: tuple[int, int], slack: float) -> np.ndarray:
    """Move the box towards the picture, by no more than ``slack`` so that the head stays in the middle."""
    limits = np.array(size, np.float64)
    low, high = np.minimum(side / 2, limits / 2), np.maximum(limits - side / 2, limits / 2)
    wanted = np.clip(centres, low, high)
    return centres + np.clip(wanted - centres, -slack, slack)


def _padded_share(centres: np.ndarray, side: float, size: tuple[int, int]) -> float:
    left_top, right_bottom = centres - side / 2, centres + side / 2
    inside = np.clip(np.minimum(right_bottom, size) - np.maximum(left_top, 0), 0, None).prod(axis=1)
    return float(np.clip(1 - inside / side**2, 0, 1).max())


def cut(pixels: np.ndarray, corner: np.ndarray, side: float, size: int) -> np.ndarray:
    """The square at ``corner`` (left, top) scaled to (size, size, 3); beyond the picture its edge is repeated."""
    return cut_square(pixels, float(corner[0]), float(corner[1]), side, size)


def to_crop(points: np.ndarray, box: CropBox) -> np.ndarray:
    """Landmarks (F, 478, 2) as shares of the square: 0, 0 its upper left and 1, 1 its lower right corner."""
    return ((points[:, :, :2] - box.corners()[:, None]) / box.side).astype(np.float32)
