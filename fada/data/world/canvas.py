"""A stack of pictures to paint on: anti-aliased coverage of ellipses, bands and polygons, many frames at once.

Coordinates are shares of the picture's side, x right and y down. Every frame has an offset: shapes painted through it
move by a fraction of a pixel without being sampled again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Colour = Sequence[float]


@dataclass(frozen=True)
class Patch:
    """A window of the canvas with its coordinates, relative to the moving point it was asked for."""

    rows: slice
    columns: slice
    x: np.ndarray
    """(f, 1, w) coordinates of the pixel centres."""
    y: np.ndarray
    """(f, h, 1) coordinates of the pixel centres."""
    size: int

    def cover(self, distance: np.ndarray) -> np.ndarray:
        """Share of each pixel inside, from a signed distance (negative inside)."""
        return np.clip(0.5 - distance * self.size, 0.0, 1.0)

    def soft(self, distance: np.ndarray, softness: float) -> np.ndarray:
        """Like cover, but fading over `softness` (a share of the side)."""
        share = np.clip(0.5 - distance / softness, 0.0, 1.0)
        return share * share * (3.0 - 2.0 * share)

    def ellipse(self, cx: float | np.ndarray, cy: float | np.ndarray, rx: float, ry: float | np.ndarray) -> np.ndarray:
        """Approximate signed distance to an ellipse: f * (f - 1) / |gradient|, exact at the edge to first order."""
        x, y = (self.x - cx) / rx, (self.y - cy) / ry
        square_x, square_y = x * x, y * y
        radius = np.sqrt(square_x + square_y)
        gradient = np.sqrt(square_x / (rx * rx) + square_y / (ry * ry))
        return radius * (radius - 1.0) / (gradient + 1e-6)

    def band(self, top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
        """Coverage between two heights per column: exact along y, so also for bands thinner than a pixel."""
        return self.below(top) - self.below(np.maximum(bottom, top))

    def below(self, edge: np.ndarray) -> np.ndarray:
        """Coverage of the half plane under an edge (height per column)."""
        return np.clip((self.y - edge) * self.size + 0.5, 0.0, 1.0)


class Canvas:
    """Pictures of many frames, channel first: pixels (3, f, height, width) in [0, 1]."""

    def __init__(self, backdrops: np.ndarray, size: int | None = None) -> None:
        """`size` is the length of one unit in pixels, by default the pictures' width."""
        self.size = backdrops.shape[-1] if size is None else size
        self.pixels = np.array(backdrops, dtype=np.float32)

    def patch(self, point: np.ndarray, box: tuple[float, float, float, float]) -> Patch:
        """A window around a moving point.

        Args:
            point: (f, 2) the point in each frame.
            box: left, top, right, bottom of the window relative to the point.
        """
        left, top = (point.min(0) + np.array(box[:2])) * self.size - 1.0
        right, bottom = (point.max(0) + np.array(box[2:])) * self.size + 1.0
        columns = slice(max(int(left), 0), min(max(int(np.ceil(right)), 1), self.pixels.shape[3]))
        rows = slice(max(int(top), 0), min(max(int(np.ceil(bottom)), 1), self.pixels.shape[2]))
        x = ((np.arange(columns.start, columns.stop) + 0.5) / self.size)[None, None, :] - point[:, 0, None, None]
        y = ((np.arange(rows.start, rows.stop) + 0.5) / self.size)[None, :, None] - point[:, 1, None, None]
        return Patch(rows, columns, x.astype(np.float32), y.astype(np.float32), self.size)

    def paint(self, patch: Patch, coverage: np.ndarray, colour: Colour | np.ndarray, opacity: float = 1.0) -> None:
        """Lay a colour over the patch; `colour` is one RGB or planes (3, f or 1, h, w)."""
        coverage = coverage * np.float32(opacity) if opacity != 1.0 else coverage
        for channel in range(3):
            target = self.pixels[channel, :, patch.rows, patch.columns]
            value = colour[channel]
            target += coverage * ((value if isinstance(value, np.ndarray) else np.float32(value)) - target)

    def shade(self, patch: Patch, factor: np.ndarray) -> None:
        """Multiply the patch by a factor (f or 1, h, w)."""
        self.pixels[:, :, patch.rows, patch.columns] *= factor

    def to_bytes(self) -> np.ndarray:
        """The pictures as uint8 (f, size, size, 3)."""
        pixels = np.clip(self.pixels, 0.0, 1.0) * np.float32(255.0) + np.float32(0.5)
        return np.ascontiguousarray(pixels.astype(np.uint8).transpose(1, 2, 3, 0))
