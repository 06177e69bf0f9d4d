"""Squares of the shown picture out of stored planes: one affine map does turn, mirror, pixel aspect, crop and scale.

Coordinates are continuous: 0 is the left edge of the first pixel, its middle lies at 0.5.
"""

from __future__ import annotations

import math

import numpy as np

from fada.media.upright import Layout

_SHARP_BELOW = 1.25
"""Pixels of the plane for one of the result, below which a cubic keeps the detail that straight lines would blur."""
_GRID = np.array([2.0**24, 2.0**24, 2.0**12])
"""Maps are brought to multiples of these parts: then sums are exact, and a part gives the bits that the whole gives."""


_LUMA_WEIGHTS = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
"""Shares of red and blue in luma, by the matrix's number in H.273."""


def planes_to_rgb(planes: list[np.ndarray], matrix: int, is_full_range: bool) -> np.ndarray:
    """uint8 RGB (H, W, 3) of three uint8 planes of one size, rounded to the nearest level (H.273, 8.3).

    What FFmpeg's exact conversion gives, within a level, in a tenth of its time.
    """
    import cv2

    red, blue = _LUMA_WEIGHTS[matrix]
    green = 1 - red - blue
    luma, chroma = (1.0, 1.0) if is_full_range else (255 / 219, 255 / 224)
    of_blue, of_red = 2 * (1 - blue) * chroma, 2 * (1 - red) * chroma
    to_rgb = np.array([[luma, 0, of_red], [luma, -of_blue * blue / green, -of_red * red / green], [luma, of_blue, 0]])
    black = np.array([0.0 if is_full_range else 16.0, 128.0, 128.0])
    return cv2.transform(cv2.merge(planes), np.column_stack([to_rgb, -to_rgb @ black]))


def square_to_stored(left: float, top: float, side: float, size: int, layout: Layout) -> np.ndarray:
    """Affine map (2, 3) from points of the result, ``size`` pixels wide, to points of the stored picture."""
    scale = side / size
    across, down = np.array([scale, 0.0, left]), np.array([0.0, scale, top])
    shown_width, shown_height = layout.shown_size
    if layout.orientation.reverses_columns:
        across = (0, 0, shown_width) - across
    if layout.orientation.reverses_rows:
        down = (0, 0, shown_height) - down
    if layout.orientation.is_transposed:
        across, down = down, across
    return np.stack([across * (layout.width / layout.stretched_width), down])


def scale_plane(
    plane: np.ndarray, to_stored: np.ndarray, origin: tuple[int, int], steps: tuple[int, int], size: int
) -> np.ndarray:
    """One plane of a square (size, size), its edge repeated beyond it.

    Straight lines between neighbours, a cubic where little or nothing is scaled down; what is scaled down by more than
    three is averaged by a whole number first. Against Lanczos on photographs: 0.1 to 0.8 levels of difference.

    Args:
        plane: uint8 or uint16 (h, w).
        to_stored: see :func:`square_to_stored`.
        origin: left and top of the plane's first sample in the stored picture.
        steps: columns and rows of the stored picture that one sample stands for.
        size: of the result.
    """
    # Not above: FFmpeg's own reading of videos does without OpenCV.
    import cv2

    # Coarse chroma is taken as FFmpeg's own conversion takes it: in the middle of the pixels it stands for.
    there = (to_stored - np.array([[0, 0, origin[0]], [0, 0, origin[1]]])) / np.array(steps)[:, None]
    there = np.round(there * _GRID) / _GRID
    scale = math.sqrt(abs(there[0, 0] * there[1, 1] - there[0, 1] * there[1, 0]))
    factor = max(1, round(scale / 2))
    if factor > 1:
        plane, there = _averaged(plane, there, factor, size)
    # From continuous coordinates to OpenCV's, where a pixel's middle is a whole number.
    there[:, 2] += there[:, :2].sum(axis=1) / 2 - 0.5
    is_sharp = steps == (1, 1) and scale < _SHARP_BELOW
    flags = (cv2.INTER_CUBIC if is_sharp else cv2.INTER_LINEAR) | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(plane, there, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def _averaged(plane: np.ndarray, there: np.ndarray, factor: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """What the square needs of a plane, ``factor`` times smaller, and the map to it."""
    import cv2

    corners = there @ np.array([[0, size, 0, size], [0, 0, size, size], [1, 1, 1, 1]])
    limits = np.array(plane.shape[::-1])
    first = np.clip(np.floor(corners.min(axis=1)).astype(int) - factor, 0, limits - 1)
    last = np.clip(np.ceil(corners.max(axis=1)).astype(int) + factor, first + 1, limits)
    part = plane[first[1] : last[1], first[0] : last[0]]
    more = -(last - first) % factor
    part = cv2.copyMakeBorder(part, 0, int(more[1]), 0, int(more[0]), cv2.BORDER_REPLICATE)
    smaller = (part.shape[1] // factor, part.shape[0] // factor)
    moved = there - np.array([[0, 0, first[0]], [0, 0, first[1]]])
    return cv2.resize(part, smaller, interpolation=cv2.INTER_AREA), moved / factor
