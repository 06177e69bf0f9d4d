"""How stored frames are shown: turned, mirrored, with square pixels. Colours are colour.py's matter.

A frame carries a display matrix (FFmpeg's ``AVFrameSideData``: a phone held sideways, a front camera's mirror), its
stream a pixel aspect. Players stretch the stored width by the aspect and then apply the matrix; so does this.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from av.video.reformatter import Interpolation
from PIL import Image

from fada.media.colour import EXACT_COLOURS, ColourConverter
from fada.media.container import Source, check_size, source_name
from fada.media.error import MediaError

_ASPECT_TOLERANCE = 0.01
"""Pixels this near to square are taken as square: stretching by a column or two would only blur."""
_MOST_SKEW = math.sin(math.radians(5))
"""A display matrix may miss a quarter turn by five degrees (rounding of writers); others are refused."""


@dataclass(frozen=True)
class PixelBox:
    """Part of a picture in whole pixels."""

    left: int
    top: int
    width: int
    height: int

    def even(self) -> PixelBox:
        """The same with even numbers, rounded down: colours are stored once per 2 x 2 pixels."""
        return PixelBox(*(value - value % 2 for value in (self.left, self.top, self.width, self.height)))


@dataclass(frozen=True)
class Orientation:
    """One of the eight ways to lay a stored picture: swap rows and columns, then reverse either."""

    is_transposed: bool = False
    reverses_rows: bool = False
    """Top and bottom are swapped."""
    reverses_columns: bool = False
    """Left and right are swapped."""

    @property
    def rotation(self) -> int:
        """Degrees counter-clockwise, before the mirror: 0, 90, 180 or 270."""
        turn = 180 if self.reverses_rows else 0
        if self.is_transposed:
            turn = 90 if self.reverses_rows else 270
        return turn

    @property
    def is_mirrored(self) -> bool:
        """Whether left and right are swapped after the rotation."""
        is_turn = (self.reverses_rows == self.reverses_columns) != self.is_transposed
        return not is_turn

    def apply(self, pixels: np.ndarray) -> np.ndarray:
        """A view of stored pixels (H, W, ...) as they are shown."""
        shown = pixels.swapaxes(0, 1) if self.is_transposed else pixels
        return shown[:: -1 if self.reverses_rows else 1, :: -1 if self.reverses_columns else 1]

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height as shown."""
        return (height, width) if self.is_transposed else (width, height)

    def to_stored(self, box: PixelBox, width: int, height: int) -> PixelBox:
        """Where a box of the shown picture lies in the stored one, which is ``width`` x ``height``."""
        shown_width, shown_height = self.size(width, height)
        left = shown_width - box.left - box.width if self.reverses_columns else box.left
        top = shown_height - box.top - box.height if self.reverses_rows else box.top
        if self.is_transposed:
            return PixelBox(top, left, box.height, box.width)
        return PixelBox(left, top, box.width, box.height)

    def matrix(self) -> tuple[int, ...]:
        """FFmpeg's display matrix for it: nine numbers, 16.16 fixed point (the last column 2.30)."""
        rows, columns = (-1 if self.reverses_rows else 1), (-1 if self.reverses_columns else 1)
        one = 1 << 16
        across = (0, rows * one, columns * one, 0) if self.is_transposed else (columns * one, 0, 0, rows * one)
        return (across[0], across[1], 0, across[2], across[3], 0, 0, 0, 1 << 30)


def orientation_of_matrix(matrix: tuple[int, ...], source: Source) -> Orientation:
    """The orientation that a display matrix asks for.

    FFmpeg's layout (a, b, u, c, d, v, x, y, w): the stored point (p, q) is shown at (a p + c q, b p + d q). A matrix of
    zeros, which some writers leave, asks for nothing.

    Raises:
        MediaError: it turns by more than five degrees beside a quarter turn, or shears.
    """
    first, second = math.hypot(*matrix[0:2]), math.hypot(*matrix[3:5])
    if not first or not second:
        return Orientation()
    a, b = (value / first for value in matrix[0:2])
    c, d = (value / second for value in matrix[3:5])
    if abs(b) <= _MOST_SKEW and abs(c) <= _MOST_SKEW:
        return Orientation(False, d < 0, a < 0)
    if abs(a) <= _MOST_SKEW and abs(d) <= _MOST_SKEW:
        return Orientation(True, b < 0, c < 0)
    angle = math.degrees(math.atan2(-b, a)) % 360
    raise MediaError(
        f"{source_name(source)}: its header turns the picture by {angle:.0f} degrees or shears it; only quarter turns "
        "and mirrors are applied: store it upright first"
    )


def orientation(frame: av.VideoFrame, source: Source) -> Orientation:
    """How a decoded frame must be turned and mirrored to be upright; see :func:`orientation_of_matrix`."""
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return Orientation()
    return orientation_of_matrix(tuple(np.frombuffer(bytes(matrix), np.int32)[:9].tolist()), source)


class PixelAspect:
    """Width of a pixel in its heights, which may change within a stream (broadcasts go from 4:3 to 16:9).

    What the container states goes before what the codec states, as in FFmpeg's ``av_guess_sample_aspect_ratio``. Make
    it before the first packet is decoded.
    """

    def __init__(self, stream: Any) -> None:
        self._codec = stream.codec_context
        guess = stream.sample_aspect_ratio
        self._at_first = guess or None
        self._is_of_container = bool(guess) and guess != self._codec.sample_aspect_ratio

    def now(self) -> float:
        """Of the frame decoded last; 1 for square pixels and for those nearer to square than one per cent."""
        coded = None if self._is_of_container else self._codec.sample_aspect_ratio
        aspect = float(coded or self._at_first or 1)
        return aspect if aspect > 0 and abs(aspect - 1) > _ASPECT_TOLERANCE else 1.0


@dataclass(frozen=True)
class Layout:
    """How a stored picture of ``width`` x ``height`` is shown."""

    width: int
    height: int
    aspect: float = 1.0
    orientation: Orientation = Orientation()

    @property
    def stretched_width(self) -> int:
        """Columns of the stored picture once its pixels are square."""
        return max(1, round(self.width * self.aspect))

    @property
    def shown_size(self) -> tuple[int, int]:
        """Width and height, upright, in square pixels."""
        return self.orientation.size(self.stretched_width, self.height)

    def to_stored(self, box: PixelBox) -> PixelBox:
        """The stored pixels nearest to a box of the shown picture."""
        straight = self.orientation.to_stored(box, self.stretched_width, self.height)
        scale = self.width / self.stretched_width
        left, right = round(straight.left * scale), round((straight.left + straight.width) * scale)
        return PixelBox(left, straight.top, right - left, straight.height)

    def show(self, pixels: np.ndarray) -> np.ndarray:
        """Stored RGB pixels (height, width, 3) as shown; contiguous."""
        if pixels.shape[1] != self.stretched_width:
            size = (self.stretched_width, pixels.shape[0])
            pixels = np.array(Image.fromarray(np.ascontiguousarray(pixels)).resize(size, Image.Resampling.BICUBIC))
        # PyAV returns views of padded rows; MediaPipe misreads those.
        return np.ascontiguousarray(self.orientation.apply(pixels))


class UprightFrames:
    """How the decoded frames of one stream become upright RGB with square pixels.

    Make it before the stream's first packet is decoded. To work on the stored planes instead (a crop before the costly
    conversion, a quick look), ask :meth:`layout` where a box lies, and give :class:`ColourConverter` the part.

    Args:
        stream: a video stream of PyAV.
        source: for messages.
        interpolation: see :class:`ColourConverter`.
    """

    def __init__(self, stream: Any, source: Source, interpolation: Interpolation = EXACT_COLOURS) -> None:
        self._source = source
        self._aspect = PixelAspect(stream)
        self.colours = ColourConverter(source, interpolation)

    def layout(self, frame: av.VideoFrame) -> Layout:
        """How the frame decoded last is shown.

        Raises:
            MediaError: a display matrix of no quarter turn, or a stretched picture that is larger than 8K.
        """
        found = Layout(frame.width, frame.height, self._aspect.now(), orientation(frame, self._source))
        check_size(found.stretched_width, found.height, self._source)
        return found

    def pixels(self, frame: av.VideoFrame) -> np.ndarray:
        """uint8 RGB (H, W, 3) of the frame decoded last, as a player shows it; contiguous.

        Raises:
            MediaError: see :meth:`layout` and :meth:`ColourConverter.rgb`.
        """
        shown = self.layout(frame)
        return shown.show(self.colours.rgb(frame))
