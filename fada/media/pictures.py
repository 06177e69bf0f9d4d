"""Frames of which a part is wanted: looked at quickly, and cut out of the stored planes before the costly conversion.

Converting a whole frame to exact RGB takes longer than decoding it. To find something in it, colours that are a level
or two off will do (:meth:`Picture.look`); of what is found only a square is converted (:meth:`Picture.square`), scaled
in the planes as stored. Orientation, pixel aspect and colours are those of `fada.media.upright.UprightFrames`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import av
import numpy as np
from av.video.reformatter import ColorRange, Interpolation
from PIL import Image

from fada.media.colour import ColourConverter, colour_of
from fada.media.container import Source, frame_rate, open_container, video_stream
from fada.media.decoding import decode_stream
from fada.media.plane_scaling import planes_to_rgb, scale_plane, square_to_stored
from fada.media.upright import Layout, PixelBox, UprightFrames
from fada.media.video import at_steady_rate

_PLANAR = re.compile(r"yuvj?4(20|22|44)p(|10le|12le)")
"""Formats whose planes can be scaled as they are; frames of others are converted whole."""
_CHROMA_STEPS = {"20": (2, 2), "22": (2, 1), "44": (1, 1)}
_MARGIN = 4
"""Pixels around a square that interpolation looks at, beside those that are averaged."""
_ALIGNED = 4
"""Parts begin at multiples of this, so that chroma begins at a whole sample."""


@dataclass(frozen=True)
class PlanePart:
    """A part of a frame as stored: enough to cut squares out of it when the frame is gone."""

    planes: tuple[np.ndarray, ...]
    """Y, U and V, uint8 or uint16 (h, w), chroma as coarse as it is stored."""
    region: PixelBox
    """Where it lies in the stored picture."""
    layout: Layout
    chroma_steps: tuple[int, int]
    """Columns and rows of the picture that one sample of chroma stands for."""
    form: str
    """FFmpeg's name of the same format without coarse chroma."""
    meaning: tuple[int, int, int, int]
    """Matrix, range, transfer and primaries as FFmpeg numbers them, nothing left unsaid."""
    is_plain: bool
    """Whether a matrix is all it takes to RGB."""

    def covers(self, left: float, top: float, side: float, size: int) -> bool:
        """Whether :meth:`square` gives the same from this part as from the whole picture."""
        margin = _MARGIN + 2 * side / size
        wanted = _stored_region(
            left - margin, top - margin, side + 2 * margin, side + 2 * margin, self.layout, aligned=1
        )
        own = self.region
        return (
            own.left <= wanted.left
            and own.top <= wanted.top
            and own.left + own.width >= wanted.left + wanted.width
            and own.top + own.height >= wanted.top + wanted.height
        )

    def square(self, left: float, top: float, side: float, size: int, colours: ColourConverter) -> np.ndarray:
        """See :meth:`Picture.square`."""
        to_stored = square_to_stored(left, top, side, size, self.layout)
        origin = self.region.left, self.region.top
        scaled = [
            scale_plane(plane, to_stored, origin, self.chroma_steps if number else (1, 1), size)
            for number, plane in enumerate(self.planes)
        ]
        if self.is_plain and scaled[0].dtype == np.uint8:
            return planes_to_rgb(scaled, self.meaning[0], self.meaning[1] == ColorRange.JPEG)
        frame = av.VideoFrame(size, size, self.form)
        for plane, target in zip(scaled, frame.planes, strict=True):
            rows = np.frombuffer(target, plane.dtype).reshape(size, -1)  # type: ignore[call-overload]
            rows[:, :size] = plane
        frame.colorspace, frame.color_range, frame.color_trc, frame.color_primaries = self.meaning
        return colours.rgb(frame)

    def copy(self, left: float, top: float, width: float, height: float) -> PlanePart:
        """What this part has of a box of the shown picture, with pixels of its own."""
        wanted = _stored_region(left, top, width, height, self.layout, aligned=_ALIGNED)
        x, y = wanted.left - self.region.left, wanted.top - self.region.top
        planes = []
        for number, plane in enumerate(self.planes):
            across, down = self.chroma_steps if number else (1, 1)
            rows = slice(y // down, -(-(y + wanted.height) // down))
            planes.append(plane[rows, x // across : -(-(x + wanted.width) // across)].copy())
        return PlanePart(tuple(planes), wanted, self.layout, self.chroma_steps, self.form, self.meaning, self.is_plain)


class Picture:
    """One decoded frame as it is shown."""

    def __init__(
        self, frame: av.VideoFrame, layout: Layout, source: Source, quick: ColourConverter, exact: ColourConverter
    ) -> None:
        self._frame, self._source, self._quick, self._exact = frame, source, quick, exact
        self.layout = layout

    @property
    def size(self) -> tuple[int, int]:
        """Height and width as shown."""
        return self.layout.shown_size[::-1]

    def look(self) -> np.ndarray:
        """uint8 RGB (H, W, 3), upright, a level or two off: to find things in."""
        return self.layout.show(self._quick.rgb(self._frame))

    def square(self, left: float, top: float, side: float, size: int) -> np.ndarray:
        """A square in exact colours, uint8 RGB (size, size, 3); beyond the picture its edge is repeated.

        Args:
            left, top, side: in pixels of the picture as shown; parts of pixels count.
        """
        if self.planes is None:
            return cut_square(self.layout.show(self._exact.rgb(self._frame)), left, top, side, size)
        return self.planes.square(left, top, side, size, self._exact)

    @cached_property
    def planes(self) -> PlanePart | None:
        """The whole frame as stored, not copied; None for formats that can only be converted whole."""
        known = _PLANAR.fullmatch(self._frame.format.name)
        if known is None:
            return None
        colour = colour_of(self._frame, self._source)
        colour_range = ColorRange.JPEG if colour.is_full_range else ColorRange.MPEG
        meaning = (colour.matrix, int(colour_range), int(self._frame.color_trc), int(self._frame.color_primaries))
        whole = PixelBox(0, 0, self._frame.width, self._frame.height)
        form = f"yuv444p{known[2]}"
        dtype = np.uint16 if known[2] else np.uint8
        arrays = []
        for plane in self._frame.planes:
            rows = np.frombuffer(plane, dtype).reshape(plane.height, -1)  # type: ignore[call-overload]
            arrays.append(rows[:, : plane.width])
        return PlanePart(tuple(arrays), whole, self.layout, _CHROMA_STEPS[known[1]], form, meaning, colour.is_plain)


def iterate_pictures(path: Source, fps: float) -> Iterator[Picture]:
    """The same frames as :func:`fada.media.video.iterate_frames` gives, not yet converted.

    Raises:
        MediaError: see :func:`fada.media.video.read_video`.
    """
    with open_container(path) as container:
        stream = video_stream(container, path)
        frames = decode_stream(container, stream, path)
        upright = UprightFrames(stream, path)
        quick = ColourConverter(path, Interpolation.FAST_BILINEAR)
        source_fps = float(frame_rate(stream) or 25)
        for frame in at_steady_rate(frames, fps, source_fps, None, path):
            yield Picture(frame, upright.layout(frame), path, quick, upright.colours)


def cut_square(pixels: np.ndarray, left: float, top: float, side: float, size: int) -> np.ndarray:
    """A square of a picture (H, W, 3) scaled to (size, size, 3) by Lanczos; beyond the picture its edge is repeated."""
    height, width = pixels.shape[:2]
    # The whole pixels around the square, padded where they lie outside.
    first = np.floor([left, top]).astype(int)
    last = np.ceil([left + side, top + side]).astype(int)
    columns = np.clip(np.arange(first[0], last[0]), 0, width - 1)
    rows = np.clip(np.arange(first[1], last[1]), 0, height - 1)
    patch = Image.fromarray(np.ascontiguousarray(pixels[rows[0] : rows[-1] + 1][rows - rows[0]][:, columns]))
    x, y = left - first[0], top - first[1]
    return np.array(patch.resize((size, size), Image.Resampling.LANCZOS, box=(x, y, x + side, y + side)))


def _stored_region(left: float, top: float, width: float, height: float, layout: Layout, aligned: int) -> PixelBox:
    """The stored pixels under a box, of those that there are; at least one."""
    corners = square_to_stored(left, top, 1, 1, layout) @ np.array([[0, width], [0, height], [1, 1]])
    limits = np.array([layout.width, layout.height])
    first = np.clip(np.floor(corners.min(axis=1)).astype(int), 0, limits - 1) // aligned * aligned
    last = np.clip(-(-np.ceil(corners.max(axis=1)).astype(int) // aligned) * aligned, first + 1, limits)
    return PixelBox(int(first[0]), int(first[1]), int(last[0] - first[0]), int(last[1] - first[1]))
