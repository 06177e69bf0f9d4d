"""Turned, mirrored and stretched pictures: all eight orientations and pixel aspects, from real files."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from fada.media import MediaError, container
from fada.media.upright import Layout, Orientation, PixelBox, orientation_of_matrix
from fada.media.video import probe, read_video

ONE, HALF, UNIT = 1 << 16, 1 << 15, 1 << 30
# Stored at (x, y), shown at (a x + c y, b x + d y); what numpy does to the stored rows and columns to show them.
EIGHT = {
    "as stored": ((1, 0, 0, 1), lambda p: p),
    "mirrored": ((-1, 0, 0, 1), np.fliplr),
    "upside down and mirrored": ((1, 0, 0, -1), np.flipud),
    "half turn": ((-1, 0, 0, -1), lambda p: np.rot90(p, 2)),
    "quarter turn clockwise": ((0, 1, -1, 0), lambda p: np.rot90(p, 3)),
    "quarter turn counter-clockwise": ((0, -1, 1, 0), lambda p: np.rot90(p, 1)),
    "transposed": ((0, 1, 1, 0), lambda p: np.swapaxes(p, 0, 1)),
    "transposed over the other diagonal": ((0, -1, -1, 0), lambda p: np.rot90(np.swapaxes(p, 0, 1), 2)),
}


def matrix(a: float, b: float, c: float, d: float) -> tuple[int, ...]:
    return (round(a * ONE), round(b * ONE), 0, round(c * ONE), round(d * ONE), 0, 0, 0, UNIT)


def write(
    path: Path, frames: np.ndarray, turned: tuple[int, ...] | None = None, aspect: Fraction | None = None
) -> Path:
    """Lossless RGB, so that every pixel can be told."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264rgb", rate=25, options={"qp": "0"})
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "rgb24"
        if turned is not None:
            stream.set_display_matrix(turned)
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        for pixels in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        file.mux(stream.encode(None))
    return path


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, 32, 64, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", EIGHT)
@pytest.mark.parametrize("extension", ["mp4", "mov", "mkv"])
def test_all_eight_orientations_are_shown_as_players_show_them(tmp_path, noise, name, extension) -> None:
    signs, show = EIGHT[name]
    path = write(tmp_path / f"v.{extension}", noise, matrix(*signs))
    np.testing.assert_array_equal(read_video(path)[0], show(noise[0]))
    info = probe(path)
    assert (info.height, info.width) == show(noise[0]).shape[:2]
    turned = np.rot90(noise[0], info.rotation // 90)
    np.testing.assert_array_equal(np.fliplr(turned) if info.is_mirrored else turned, show(noise[0]))


@pytest.mark.parametrize("name", EIGHT)
def test_a_box_of_the_shown_picture_is_found_in_the_stored_one(noise, name) -> None:
    signs, show = EIGHT[name]
    layout = Layout(64, 32, 1.0, orientation_of_matrix(matrix(*signs), "v.mp4"))
    stored = layout.to_stored(PixelBox(3, 5, 20, 10))
    part = noise[0, stored.top : stored.top + stored.height, stored.left : stored.left + stored.width]
    np.testing.assert_array_equal(layout.orientation.apply(part), show(noise[0])[5:15, 3:23])


@pytest.mark.parametrize("flags", list(itertools.product((False, True), repeat=3)))
def test_the_matrix_of_an_orientation_asks_for_it(flags) -> None:
    assert orientation_of_matrix(Orientation(*flags).matrix(), "v.mp4") == Orientation(*flags)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0, 0, 0, 0), Orientation()),  # Left so by some writers.
        ((0.5, 0, 0, 0.5), Orientation()),
        ((0.9998, 0.0175, -0.0175, 0.9998), Orientation()),  # One degree.
        ((0.0175, 0.9998, -0.9998, 0.0175), Orientation(True, False, True)),
    ],
)
def test_nearly_quarter_turns_and_scales_are_orientations_too(values, expected) -> None:
    assert orientation_of_matrix(matrix(*values), "v.mp4") == expected


@pytest.mark.parametrize(("values", "angle"), [((0.866, -0.5, 0.5, 0.866), 30), ((1, 0, 0.7, 0.7), 0)])
def test_other_turns_and_shears_are_refused(tmp_path, noise, values, angle) -> None:
    path = write(tmp_path / "v.mp4", noise, matrix(*values))
    with pytest.raises(MediaError, match=rf"turns the picture by {angle} degrees or shears it; only quarter turns"):
        read_video(path)


@pytest.mark.parametrize("extension", ["mp4", "mkv", "ts", "mov", "avi"])
@pytest.mark.parametrize(("aspect", "width"), [(Fraction(2), 128), (Fraction(1, 2), 32), (Fraction(16, 11), 93)])
def test_pixels_become_square(tmp_path, noise, extension, aspect, width) -> None:
    path = write(tmp_path / f"v.{extension}", noise, aspect=aspect)
    info = probe(path)
    assert read_video(path).shape == (2, 32, width, 3)
    assert (info.width, info.height) == (width, 32)


def test_stretched_columns_stay_where_they_are(tmp_path) -> None:
    frames = np.zeros((1, 32, 32, 3), np.uint8)
    frames[:, :, 8:16] = 255
    shown = read_video(write(tmp_path / "v.mp4", frames, aspect=Fraction(3)))[0, :, :, 0].astype(float)
    assert shown[:, 26:46].min() > 240
    assert max(shown[:, :22].max(), shown[:, 50:].max()) < 15


def test_pixels_are_stretched_before_they_are_turned(tmp_path, noise) -> None:
    path = write(tmp_path / "v.mp4", noise, matrix(0, 1, -1, 0), Fraction(2))
    assert read_video(path).shape == (2, 128, 32, 3)
    assert (probe(path).width, probe(path).height) == (32, 128)


def test_nearly_square_pixels_stay_sharp(tmp_path, noise) -> None:
    path = write(tmp_path / "v.mp4", noise, aspect=Fraction(2041, 2040))
    np.testing.assert_array_equal(read_video(path), noise)


def test_what_the_container_states_goes_before_what_the_codec_states(tmp_path, noise) -> None:
    path = write(tmp_path / "v.mp4", noise, aspect=Fraction(2))
    data = path.read_bytes()
    place = data.index(b"pasp") + 4
    assert data[place : place + 8] == bytes((0, 0, 0, 2, 0, 0, 0, 1))
    path.write_bytes(data[:place] + bytes((0, 0, 0, 3, 0, 0, 0, 1)) + data[place + 8 :])
    assert read_video(path).shape == (2, 32, 192, 3)


def test_pixels_may_change_their_aspect_within_a_stream(tmp_path, noise) -> None:
    parts = [write(tmp_path / f"{k}.ts", noise.repeat(5, 0), aspect=Fraction(k)).read_bytes() for k in (1, 2)]
    (tmp_path / "v.ts").write_bytes(b"".join(parts))
    with pytest.raises(MediaError, match=r"frames change size within the video \(64x32, 128x32\); pass `size`"):
        read_video(tmp_path / "v.ts")


def test_pictures_stretched_over_the_limit_are_refused(tmp_path, noise, monkeypatch) -> None:
    path = write(tmp_path / "v.mp4", noise, aspect=Fraction(20))
    monkeypatch.setattr(container, "MOST_PIXELS", 3000)
    with pytest.raises(MediaError, match=r"claims pictures of 1280x32, at most 3000 pixels"):
        read_video(path)
