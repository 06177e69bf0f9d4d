"""A cut looks as its source looks: turned, oblong, of any colours and bits."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace

from fada.media import MediaError
from fada.media.cutting import PixelBox, cut_video
from fada.media.video import probe, read_video

EIGHT = [
    (1, 0, 0, 1), (-1, 0, 0, 1), (1, 0, 0, -1), (-1, 0, 0, -1), (0, 1, -1, 0), (0, -1, 1, 0), (0, 1, 1, 0),
    (0, -1, -1, 0),
]  # fmt: skip


def write(path: Path, frame: av.VideoFrame, codec: str = "libx264", count: int = 5, **said: Any) -> Path:
    """The same frame some times, with silence; ``said`` are attributes of the encoder, or a display matrix."""
    with av.open(str(path), "w") as file:
        options = {"crf": "1"} if codec == "libx264" else {}
        stream = file.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, frame.format.name
        matrix = said.pop("matrix", None)
        if matrix is not None:
            stream.set_display_matrix(matrix)
        for name, value in said.items():
            setattr(stream.codec_context, name, value)
        sound = file.add_stream("flac", rate=16000, layout="mono")
        for index in range(count):
            frame.pts, frame.time_base, frame.pict_type = index, Fraction(1, 25), 0
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 640 * count), np.int16), format="s16", layout="mono")
        silence.sample_rate, silence.pts = 16000, 0
        file.mux(sound.encode(silence))
        file.mux(sound.encode(None))
    return path


def smooth(width: int, height: int) -> np.ndarray:
    """A picture without edges, so that chroma does not tell where it was sampled."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack((x * 255 / width, y * 255 / height, 255 - x * 255 / width), axis=2).astype(np.uint8)


def stored(pixels: np.ndarray, form: str, matrix: int, is_full: bool = False) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
        format=form,
        dst_colorspace=matrix,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.JPEG if is_full else ColorRange.MPEG,
    )


@pytest.mark.parametrize("signs", EIGHT)
@pytest.mark.parametrize("aspect", [Fraction(1), Fraction(2), Fraction(1, 2)])
def test_a_box_of_the_shown_picture_is_cut(tmp_path, signs, aspect) -> None:
    a, b, c, d = (value << 16 for value in signs)
    frame = stored(smooth(64, 48), "yuv420p", Colorspace.ITU601)
    source = write(tmp_path / "a.mp4", frame, matrix=(a, b, 0, c, d, 0, 0, 0, 1 << 30), sample_aspect_ratio=aspect)
    info = probe(source)
    whole = read_video(source)[0]
    assert whole.shape[:2] == (info.height, info.width)
    cut_video(source, tmp_path / "cut.mp4", 0.0, 0.2, PixelBox(8, 4, 16, 20))
    part = read_video(tmp_path / "cut.mp4")[0]
    assert part.shape == (20, 16, 3)
    off = np.abs(part.astype(int) - whole[4:24, 8:24])
    # One pixel beside it would be 4 to 8 off on average.
    assert off.mean() <= 2.2
    assert off.max() <= 10


def test_a_box_beyond_the_shown_picture_is_refused(tmp_path) -> None:
    frame = stored(smooth(64, 48), "yuv420p", Colorspace.ITU601)
    source = write(tmp_path / "a.mp4", frame, matrix=(0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30))
    with pytest.raises(MediaError, match=r"the box \(50x20 at 0, 0\) leaves the picture \(48x64\)"):
        cut_video(source, tmp_path / "cut.mp4", 0.0, 0.2, PixelBox(0, 0, 50, 20))


@pytest.mark.parametrize(
    ("size", "form", "matrix", "is_full", "codec", "said"),
    [
        # Untagged HD, of which a small part is cut: it must not be taken for SD.
        ((1280, 720), "yuv420p", Colorspace.ITU709, False, "libx264", {}),
        ((320, 240), "yuv420p", Colorspace.ITU601, False, "libx264", {}),
        ((320, 240), "yuv420p", Colorspace.ITU709, True, "libx264", {"colorspace": 1, "color_range": 2}),
        ((320, 240), "yuvj420p", Colorspace.ITU601, True, "libx264", {}),
        ((320, 240), "yuv422p", Colorspace.ITU601, True, "libx264", {"colorspace": 6, "color_range": 2}),
        ((320, 240), "yuv444p10le", Colorspace.ITU709, False, "libx264", {"colorspace": 1}),
        ((320, 240), "yuv420p10le", Colorspace.BT2020, False, "libx264", {"colorspace": 9}),
        ((320, 240), "bgra", Colorspace.ITU601, True, "ffv1", {}),
        ((1280, 720), "bgra", Colorspace.ITU601, True, "ffv1", {}),
    ],
)
def test_colours_stay(tmp_path, size, form, matrix, is_full, codec, said) -> None:
    pixels = smooth(*size)
    source = write(tmp_path / "a.mkv", stored(pixels, form, matrix, is_full), codec, count=2, **said)
    cut_video(source, tmp_path / "cut.mp4", 0.0, 0.08, PixelBox(32, 32, 128, 128))
    part = read_video(tmp_path / "cut.mp4")[0].astype(int)
    assert np.abs(part - pixels[32:160, 32:160]).max() <= 8
    assert np.abs((part - read_video(source)[0, 32:160, 32:160]).mean(axis=(0, 1))).max() <= 0.8


@pytest.mark.parametrize("value_range", [1, 2])
def test_grey_keeps_its_values_and_its_range(tmp_path, value_range) -> None:
    frame = av.VideoFrame(64, 48, "gray")
    frame.planes[0].update(bytes([126]) * frame.planes[0].buffer_size)
    source = write(tmp_path / "a.mkv", frame, color_range=value_range)
    cut_video(source, tmp_path / "cut.mp4", 0.0, 0.2, PixelBox(0, 0, 32, 32))
    np.testing.assert_allclose(read_video(tmp_path / "cut.mp4")[0], read_video(source)[0, :32, :32], atol=1)


def test_hdr_stays_hdr_with_its_bits(tmp_path) -> None:
    frame = av.VideoFrame(64, 48, "yuv420p10le")
    for plane, value in zip(frame.planes, (500, 480, 560), strict=True):
        plane.update(np.full(plane.buffer_size // 2, value, np.uint16).tobytes())
    said = {"colorspace": 9, "color_primaries": 9, "color_trc": 16, "color_range": 1}
    source = write(tmp_path / "a.mp4", frame, **said)
    cut_video(source, tmp_path / "cut.mp4", 0.0, 0.2, PixelBox(0, 0, 32, 32))
    with av.open(io.BytesIO((tmp_path / "cut.mp4").read_bytes())) as file:
        cut = next(file.decode(video=0))
    assert cut.format.name == "yuv420p10le"
    assert (cut.colorspace, cut.color_primaries, cut.color_trc, cut.color_range) == (9, 9, 16, 1)
    np.testing.assert_allclose(read_video(tmp_path / "cut.mp4")[0], read_video(source)[0, :32, :32], atol=2)
