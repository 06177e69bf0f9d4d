"""Squares cut out of stored planes against the plain way: convert the whole frame exactly, then scale by Lanczos."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import Interpolation

from fada.media.colour import ColourConverter
from fada.media.part_store import PartStore
from fada.media.pictures import Picture, cut_square, iterate_pictures
from fada.media.upright import Layout, Orientation
from fada.media.video import iterate_frames, write_video

WIDTH, HEIGHT = 320, 240
PYAV = int(av.__version__.partition(".")[0])
ORIENTATIONS = [Orientation(*flags) for flags in product((False, True), repeat=3)]


def picture(form: str = "yuv420p", layout: Layout | None = None, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Picture:
    """Smooth waves of other lengths in each channel, turned into planes."""
    rows, columns = np.mgrid[0 : size[1], 0 : size[0]] / 240
    waves = [128 + 90 * np.sin(7 * rows + 3 * columns), 128 + 80 * np.cos(9 * columns), 120 + 70 * np.sin(5 * rows)]
    pixels = np.stack(waves, axis=2).astype(np.uint8)
    frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=form)
    exact, quick = ColourConverter("v"), ColourConverter("v", Interpolation.FAST_BILINEAR)
    return Picture(frame, layout or Layout(*size), "v", quick, exact)


def plain(shown: Picture, left: float, top: float, side: float, size: int) -> np.ndarray:
    return cut_square(shown.layout.show(shown._exact.rgb(shown._frame)), left, top, side, size)


def difference(first: np.ndarray, second: np.ndarray) -> tuple[float, int]:
    distance = np.abs(first.astype(int) - second.astype(int))
    return float(distance.mean()), int(distance.max())


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_every_orientation_is_cut_as_it_is_shown(orientation: Orientation) -> None:
    shown = picture(layout=Layout(WIDTH, HEIGHT, 1.0, orientation))
    square = shown.square(41.3, 30.7, 150.4, 128)
    mean, most = difference(square, plain(shown, 41.3, 30.7, 150.4, 128))
    assert mean < 0.6
    assert most <= 3


@pytest.mark.parametrize("aspect", [2.0, 0.75, 16 / 11])
@pytest.mark.parametrize("orientation", [Orientation(), Orientation(True, True, False)])
def test_oblong_pixels_become_square(aspect: float, orientation: Orientation) -> None:
    shown = picture(layout=Layout(WIDTH, HEIGHT, aspect, orientation))
    mean, most = difference(shown.square(40.2, 50.6, 130.0, 128), plain(shown, 40.2, 50.6, 130.0, 128))
    assert mean < 0.6
    assert most <= 4


@pytest.mark.parametrize(
    "form", ["yuv420p", "yuvj420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "rgb24", "nv12", "yuyv422"]
)
def test_every_kind_of_planes_gives_the_same_colours(form: str) -> None:
    shown = picture(form)
    mean, most = difference(shown.square(40.0, 30.0, 160.0, 128), plain(shown, 40.0, 30.0, 160.0, 128))
    assert mean < 0.6
    assert most <= 3


@pytest.mark.parametrize(("side", "limit"), [(64.0, 0.6), (128.0, 0.6), (200.0, 0.6), (400.0, 0.7), (1000.0, 0.7)])
def test_every_scale_comes_near_to_lanczos(side: float, limit: float) -> None:
    shown = picture(size=(1600, 1200))
    mean, _ = difference(shown.square(300.3, 90.8, side, 128), plain(shown, 300.3, 90.8, side, 128))
    assert mean < limit


def test_beyond_the_picture_its_edge_is_repeated() -> None:
    shown = picture()
    mean, most = difference(shown.square(-60.5, 100.2, 200.0, 128), plain(shown, -60.5, 100.2, 200.0, 128))
    assert mean < 0.6
    assert most <= 3


def test_colours_said_unsaid_and_full_are_those_of_the_whole_frame() -> None:
    """A small part of an HD picture that says nothing is BT.709 still, as the whole is."""
    for matrix, colour_range in product((1, 2, 6, 9), (0, 1, 2)):
        shown = picture(size=(1280, 720))
        shown._frame.colorspace, shown._frame.color_range = matrix, colour_range
        mean, most = difference(shown.square(100.0, 100.0, 128.0, 128), plain(shown, 100.0, 100.0, 128.0, 128))
        assert mean < 0.6
        assert most <= 3


def test_wide_primaries_and_hdr_are_mapped_as_in_the_whole_frame() -> None:
    for transfer, primaries in ((16, 9), (18, 9), (1, 12)):
        shown = picture("yuv420p10le")
        shown._frame.colorspace, shown._frame.color_trc, shown._frame.color_primaries = 9, transfer, primaries
        mean, _ = difference(shown.square(40.0, 30.0, 128.0, 128), plain(shown, 40.0, 30.0, 128.0, 128))
        assert mean < 1.0


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_quick_look_is_the_same_picture(orientation: Orientation) -> None:
    shown = picture(layout=Layout(WIDTH, HEIGHT, 1.0, orientation))
    mean, _ = difference(shown.look(), shown.layout.show(shown._exact.rgb(shown._frame)))
    assert shown.look().shape == (*shown.size, 3)
    assert mean < 2.5


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize(("form", "in_memory"), [("yuv420p", 0), ("yuv422p10le", 0), ("yuv420p", 10**8)])
def test_a_kept_part_gives_the_very_same_square(orientation: Orientation, form: str, in_memory: int) -> None:
    shown = picture(form, Layout(WIDTH, HEIGHT, 1.25, orientation))
    where = (60.3, 50.7, 100.5, 64)
    with PartStore(10**8, in_memory) as store:
        assert shown.planes is not None
        store.keep(7, shown.planes.copy(30, 20, 170, 170))
        assert store.covers(7, *where)
        assert not store.covers(7, 5.0, 50.7, 100.5, 64)
        assert not store.covers(8, *where)
        kept = store.part(7).square(*where, ColourConverter("v"))
        off = np.abs(kept.astype(int) - shown.square(*where))
        # PyAV 19's FFmpeg rounds a few pixels of a part otherwise than in the whole picture.
        assert off.max() <= (0 if PYAV < 19 else 3)
        assert (off > 0).mean() < 1e-3


def test_a_part_at_the_edge_repeats_the_edge_of_the_picture() -> None:
    shown = picture()
    assert shown.planes is not None
    part = shown.planes.copy(-50, -50, 200, 200)
    assert part.covers(-30.5, -20.5, 120.0, 64)
    np.testing.assert_array_equal(
        part.square(-30.5, -20.5, 120.0, 64, ColourConverter("v")), shown.square(-30.5, -20.5, 120.0, 64)
    )


def test_a_full_store_keeps_no_more() -> None:
    shown = picture()
    assert shown.planes is not None
    with PartStore(150_000, most_in_memory=150_000) as store:
        for number in range(3):
            store.keep(number, shown.planes.copy(0, 0, WIDTH, HEIGHT))
        assert [store.covers(number, 50, 50, 50, 50) for number in range(3)] == [True, True, False]


def test_pictures_are_the_frames_of_the_video(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (9, 4, 6, 3), np.uint8).repeat(16, axis=1).repeat(16, axis=2)
    write_video(tmp_path / "v.mp4", frames, fps=30)
    pictures = [shown.look() for shown in iterate_pictures(tmp_path / "v.mp4", 25)]
    whole = list(iterate_frames(tmp_path / "v.mp4", 25))
    assert len(pictures) == len(whole)
    assert max(difference(*pair)[0] for pair in zip(pictures, whole, strict=True)) < 6
