"""Known colours through every tag that a file may carry, or not carry."""

from __future__ import annotations

import io
from typing import Any

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace

from fada.media import MediaError
from fada.media.tone_mapping import compress_highlights, hlg_to_light, light_to_pq, pq_to_light, to_bt709
from fada.media.video import encode_video, read_video

COLOURS = np.array(
    [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [0, 0, 0], [128, 128, 128], [200, 150, 120], [90, 60, 50]],
    np.uint8,
)
BT709_TO_BT2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])  # BT.2087


def bars(width: int, height: int) -> np.ndarray:
    return np.broadcast_to(COLOURS.repeat(width // 8, axis=0), (height, width, 3)).copy()


def shown(data: bytes) -> np.ndarray:
    """Colour in the middle of each bar."""
    frame = read_video(data)[0].astype(int)
    height, width = frame.shape[:2]
    return frame[height // 2, width // 16 :: width // 8]


def encode(frame: av.VideoFrame, tags: dict[str, int], codec: str = "libx264") -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska" if codec == "ffv1" else "mp4") as file:
        stream = file.add_stream(codec, rate=25, options={} if codec == "ffv1" else {"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, frame.format.name
        for name, value in tags.items():
            setattr(stream.codec_context, name, value)
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return buffer.getvalue()


def converted(width: int, height: int, form: str, matrix: int, is_full: bool) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(bars(width, height), format="rgb24").reformat(
        format=form,
        dst_colorspace=matrix,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.JPEG if is_full else ColorRange.MPEG,
    )


SD, HD, UPRIGHT_HD, WIDE_HD = (640, 480), (1280, 720), (720, 1280), (1280, 536)


@pytest.mark.parametrize(
    ("size", "form", "matrix", "is_full", "tags"),
    [
        (SD, "yuv420p", Colorspace.ITU601, False, {}),
        (HD, "yuv420p", Colorspace.ITU709, False, {}),
        (UPRIGHT_HD, "yuv420p", Colorspace.ITU709, False, {}),
        (WIDE_HD, "yuv420p", Colorspace.ITU709, False, {}),
        (HD, "yuv420p10le", Colorspace.ITU709, False, {}),
        (HD, "yuv420p", Colorspace.ITU709, True, {"color_range": 2}),
        (HD, "yuv420p", Colorspace.ITU601, False, {"colorspace": 6, "color_range": 1}),
        (HD, "yuv420p", Colorspace.ITU601, False, {"colorspace": 5}),
        (SD, "yuv420p", Colorspace.ITU709, False, {"colorspace": 1, "color_range": 1}),
        (SD, "yuv420p", Colorspace.ITU709, True, {"colorspace": 1, "color_range": 2}),
        (SD, "yuvj420p", Colorspace.ITU601, True, {}),
        (SD, "yuv444p10le", Colorspace.ITU709, False, {"colorspace": 1}),
        (SD, "yuv422p", Colorspace.ITU601, False, {}),
        (SD, "yuv420p10le", Colorspace.BT2020, False, {"colorspace": 9}),
        (SD, "yuv420p", Colorspace.SMPTE240M, False, {"colorspace": 7}),
        (SD, "yuv420p", Colorspace.FCC, False, {"colorspace": 4}),
    ],
)
def test_tags_are_respected_and_untagged_video_is_taken_by_its_size(size, form, matrix, is_full, tags) -> None:
    data = encode(converted(*size, form, matrix, is_full), tags)
    assert np.abs(shown(data) - COLOURS).max() <= 4


@pytest.mark.parametrize(("form", "codec"), [("bgra", "ffv1"), ("gbrp10le", "ffv1"), ("rgb24", "libx264rgb")])
def test_rgb_video_has_no_matrix(form, codec) -> None:
    frame = av.VideoFrame.from_ndarray(bars(*HD), format="rgb24").reformat(format=form)
    np.testing.assert_allclose(shown(encode(frame, {}, codec)), COLOURS, atol=1)


@pytest.mark.parametrize("codec", ["libx264", "ffv1"])
@pytest.mark.parametrize(("value_range", "expected"), [(1, [0, 128, 255]), (2, [16, 126, 235])])
def test_grey_video_has_its_range(codec: str, value_range: int, expected: list[int]) -> None:
    frame = av.VideoFrame(48, 32, "gray")
    plane = np.zeros((32, frame.planes[0].line_size), np.uint8)
    plane[:, :48] = np.repeat([16, 126, 235], 16)
    frame.planes[0].update(plane.tobytes())
    frame.color_range = value_range
    read = read_video(encode(frame, {"color_range": value_range}, codec))[0, 16, [8, 24, 40]]
    np.testing.assert_allclose(read, np.repeat(np.array(expected)[:, None], 3, axis=1), atol=1)


def test_written_video_says_what_it_is(greys) -> None:
    with av.open(io.BytesIO(encode_video(greys([100])))) as file:
        frame = next(file.decode(video=0))
    tags = (frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range)
    assert tags == (1, 1, 1, 1)
    assert np.abs(shown(encode_video(bars(128, 64)[None])) - COLOURS).max() <= 6


def signalled(signal: np.ndarray, tags: dict[str, int]) -> bytes:
    """Video of one bar per row of RGB signals in [0, 1], as 10-bit BT.2020 YCbCr (BT.2100, table 6)."""
    luma = signal @ [0.2627, 0.6780, 0.0593]
    blue, red = (signal[:, 2] - luma) / 1.8814, (signal[:, 0] - luma) / 1.4746
    frame = av.VideoFrame(8 * len(signal), 64, "yuv420p10le")
    planes = ((luma, 876, 64, 8), (blue, 896, 512, 4), (red, 896, 512, 4))
    for plane, (values, scale, offset, width) in zip(frame.planes, planes, strict=True):
        full = np.zeros((plane.height, plane.line_size // 2), np.uint16)
        full[:, : width * len(signal)] = np.round(values * scale + offset).repeat(width)
        plane.update(full.tobytes())
    for name, value in tags.items():
        setattr(frame, name, value)
    return encode(frame, tags)


def tags(transfer: int, primaries: int = 9) -> dict[str, int]:
    return {"colorspace": 9, "color_primaries": primaries, "color_trc": transfer, "color_range": 1}


def light() -> np.ndarray:
    """The colours in cd/m2 of BT.2020's primaries, white at 203 (BT.2408)."""
    return (COLOURS / 255.0) ** 2.2 @ BT709_TO_BT2020.T * 203


def test_pq_is_mapped_so_that_faces_keep_their_colours() -> None:
    read = shown(signalled(light_to_pq(light()), tags(16)))
    # Grey and dark skin lie below the knee, light skin just above it.
    np.testing.assert_allclose(read[[4, 5, 7]], COLOURS[[4, 5, 7]], atol=3)
    np.testing.assert_allclose(read[6], COLOURS[6], atol=7)
    np.testing.assert_allclose(read[3], 229, atol=5)


def test_hlg_is_mapped_to_the_same_colours_as_the_pq_of_its_screen() -> None:
    signal = np.array(
        [[0.75] * 3, [0.4] * 3, [0.55, 0.45, 0.4], [0.0] * 3, [1.0] * 3, [0.3, 0.25, 0.2], [0.5] * 3, [0.1] * 3]
    )
    hlg = shown(signalled(signal, tags(18)))
    pq = shown(signalled(light_to_pq(hlg_to_light(signal)), tags(16)))
    np.testing.assert_allclose(hlg, pq, atol=4)
    np.testing.assert_allclose(hlg[[0, 3, 4]], [[229] * 3, [0] * 3, [255] * 3], atol=4)


@pytest.mark.parametrize(("primaries", "into"), [(9, BT709_TO_BT2020), (1, np.eye(3))])
def test_wide_primaries_of_ordinary_video_are_narrowed(primaries: int, into: np.ndarray) -> None:
    signal = ((COLOURS / 255.0) ** 2.2 @ into.T) ** (1 / 2.2)
    off = np.abs(shown(signalled(signal, tags(14, primaries))) - COLOURS)
    # At BT.709's very edge a step of the signal's ten bits near zero light is many steps of the result.
    assert off[3:].max() <= 2
    assert off[:3].max() <= 20


def test_the_curves_have_the_values_of_the_standards() -> None:
    # BT.2408 table 1: graphics white is 58 % of PQ, 75 % of HLG; BT.2100: PQ reaches 10000 cd/m2.
    np.testing.assert_allclose(light_to_pq(np.array([203.0, 1000.0, 10000.0])), [0.5807, 0.7518, 1.0], atol=1e-4)
    np.testing.assert_allclose(pq_to_light(light_to_pq(np.array([0.01, 1, 500.0]))), [0.01, 1, 500.0], rtol=1e-6)
    np.testing.assert_allclose(hlg_to_light(np.array([[0.75] * 3, [1.0] * 3])), [[203] * 3, [1000] * 3], rtol=0.01)


def test_highlights_are_compressed_and_the_rest_stays() -> None:
    below = np.array([0.0, 1.0, 50.0, 87.0])
    np.testing.assert_allclose(compress_highlights(below), below, rtol=1e-6, atol=1e-6)
    above = compress_highlights(np.array([100.0, 203.0, 500.0, 1000.0, 4000.0]))
    assert (np.diff(above) >= 0).all()
    np.testing.assert_allclose(above[3:], 203.0, rtol=1e-3)


def test_the_look_up_cube_is_as_good_as_the_formula() -> None:
    signal = np.random.default_rng(0).uniform(0.1, 0.6, (8, 1)) + np.random.default_rng(1).uniform(-0.05, 0.05, (8, 3))
    expected = np.round(255 * to_bt709(signal, "PQ", "BT.2020"))
    assert np.abs(shown(signalled(signal, tags(16))) - expected).max() <= 4


@pytest.mark.parametrize(("matrix", "name"), [(14, "ICtCp"), (10, "BT.2020 with constant luminance"), (8, "YCgCo")])
def test_colours_that_cannot_be_converted_are_refused_by_name(matrix: int, name: str) -> None:
    frame = converted(64, 64, "yuv420p", Colorspace.ITU709, False)
    with pytest.raises(MediaError, match=rf"its colours are stored as {name}, which is not converted"):
        read_video(encode(frame, {"colorspace": matrix}))


def test_dolby_visions_own_colours_are_refused_by_name() -> None:
    from types import SimpleNamespace

    from fada.media.colour import colour_of

    # No writer of it is at hand: what a decoder says of profile 5 (everything unsaid beside the metadata).
    frame: Any = SimpleNamespace(
        colorspace=2, color_trc=2, color_primaries=2, color_range=2, width=64, height=64,
        format=SimpleNamespace(name="yuv420p10le", is_rgb=False), side_data={"DOVI_METADATA": b""},
    )  # fmt: skip
    with pytest.raises(MediaError, match=r"Dolby Vision's own IPT \(profile 5\)"):
        colour_of(frame, "v.mp4")
