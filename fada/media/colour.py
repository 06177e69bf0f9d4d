"""Stored colours to RGB: which matrix, range, transfer and primaries a frame has, said or unsaid, and the conversion.

Frames of fada are BT.709 RGB as a screen shows it. What a file says is respected; what it leaves unsaid is taken as
players take it: BT.709 for pictures of HD size (720 lines or 1280 columns and more), BT.601 for smaller ones, limited
range except for formats that are full by definition. HDR and wide primaries are mapped (tone_mapping.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from fada.media.container import Source, source_name
from fada.media.error import MediaError
from fada.media.tone_mapping import HLG, PQ, SDR, ToneMapper

# FFmpeg's default colour conversion darkens every picture by about 1/255; these flags make it exact on average.
EXACT_COLOURS = (
    Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
)

# Code points of ITU-T H.273, as FFmpeg's AVColorSpace, AVColorTransferCharacteristic and AVColorPrimaries.
BT709, UNSAID, BT601 = 1, 2, 6
_MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
}
_UNKNOWN_MATRICES = {
    8: "YCgCo", 10: "BT.2020 with constant luminance", 11: "SMPTE 2085", 12: "chromaticity-derived", 14: "ICtCp",
    13: "chromaticity-derived with constant luminance", 15: "IPT-C2", 16: "YCgCo-Re", 17: "YCgCo-Ro",
}  # fmt: skip
_TRANSFERS = {16: PQ, 18: HLG}
_PRIMARIES = {9: "BT.2020", 11: "P3", 12: "P3"}
_HD_HEIGHT, _HD_WIDTH = 720, 1280
# FFmpeg takes grey as full range, whatever is said of it.
_GREY = ("gray", "ya")
_LIMITED_TO_FULL = np.clip(np.round((np.arange(256) - 16) * (255 / 219)), 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Colour:
    """What the numbers of a frame mean, nothing left unsaid; code points of H.273."""

    matrix: int
    """1 for BT.709, 6 for BT.601, 9 for BT.2020, ...; means nothing where the pixels are stored as RGB."""
    is_full_range: bool
    transfer: str
    """PQ, HLG or SDR."""
    primaries: str
    """BT.2020, P3 or BT.709 (which stands for the nearly equal ones of SD too)."""

    @property
    def is_plain(self) -> bool:
        """Whether a matrix is all it takes to RGB."""
        return self.transfer == SDR and self.primaries == "BT.709"


def colour_of(frame: av.VideoFrame, source: Source) -> Colour:
    """What the colours of a decoded frame mean.

    Raises:
        MediaError: they are of a kind that cannot be converted, as ICtCp.
    """
    said = int(frame.colorspace)
    transfer = _TRANSFERS.get(int(frame.color_trc), SDR)
    is_dolby_only = said == UNSAID and transfer == SDR and frame.side_data.get("DOVI_METADATA") is not None
    unknown = "Dolby Vision's own IPT (profile 5)" if is_dolby_only else _UNKNOWN_MATRICES.get(said)
    if unknown is not None and not frame.format.is_rgb:
        raise MediaError(
            f"{source_name(source)}: its colours are stored as {unknown}, which is not converted; convert it to BT.709 "
            "first"
        )
    matrix = said if said in _MATRICES else _usual_matrix(frame.width, frame.height)
    is_full = int(frame.color_range) == ColorRange.JPEG or frame.format.name.startswith("yuvj")
    return Colour(matrix, is_full, transfer, _PRIMARIES.get(int(frame.color_primaries), "BT.709"))


def _usual_matrix(width: int, height: int) -> int:
    return BT709 if height >= _HD_HEIGHT or width >= _HD_WIDTH else BT601


class ColourConverter:
    """Decoded frames of one video to RGB pixels; keeps what is costly to set up.

    Args:
        source: for messages.
        interpolation: how chroma is brought to full size; the default is exact on average, and slow.
    """

    def __init__(self, source: Source, interpolation: Interpolation = EXACT_COLOURS) -> None:
        self._source, self._interpolation = source, interpolation
        self._reformatter = VideoReformatter()
        self._mapper: tuple[tuple[object, ...], ToneMapper] | None = None

    def rgb(self, frame: av.VideoFrame) -> np.ndarray:
        """uint8 (H, W, 3) in BT.709, as stored: neither turned nor stretched.

        Raises:
            MediaError: pixels or colours of a kind that cannot be converted.
        """
        colour = colour_of(frame, self._source)
        try:
            pixels = (
                self._convert(frame, colour, "rgb24").to_ndarray() if colour.is_plain else self._mapped(frame, colour)
            )
        except (av.error.FFmpegError, ValueError) as error:
            raise MediaError(
                f"{source_name(self._source)}: its pixels ({frame.format.name}) cannot be read ({error})"
            ) from error
        is_limited_grey = frame.format.name.startswith(_GREY) and frame.color_range == ColorRange.MPEG
        return _LIMITED_TO_FULL[pixels] if is_limited_grey else pixels

    def _convert(self, frame: av.VideoFrame, colour: Colour, form: str) -> av.VideoFrame:
        return self._reformatter.reformat(
            frame,
            format=form,
            src_colorspace=_MATRICES[colour.matrix],
            src_color_range=ColorRange.JPEG if colour.is_full_range else ColorRange.MPEG,
            interpolation=self._interpolation,
        )

    def _mapped(self, frame: av.VideoFrame, colour: Colour) -> np.ndarray:
        kind = (colour.transfer, colour.primaries, frame.width, frame.height)
        if self._mapper is None or self._mapper[0] != kind:
            self._mapper = (kind, ToneMapper(*kind))
        return self._mapper[1].map(self._convert(frame, colour, "rgb48le"))


def planar_yuv(frame: av.VideoFrame, colour: Colour, form: str) -> av.VideoFrame:
    """A frame as planar YUV (yuv420p or yuv420p10le) of the same matrix and range; RGB becomes what ``colour`` says."""
    target = ColorRange.JPEG if colour.is_full_range else ColorRange.MPEG
    if frame.format.name.startswith(_GREY):
        # Its values stay, and so does what is said of them.
        target = ColorRange.JPEG
    return VideoReformatter().reformat(
        frame,
        format=form,
        src_colorspace=_MATRICES[colour.matrix],
        dst_colorspace=_MATRICES[colour.matrix],
        src_color_range=ColorRange.JPEG if frame.format.is_rgb else target,
        dst_color_range=target,
        interpolation=EXACT_COLOURS,
        threads=1,
    )
