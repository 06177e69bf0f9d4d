from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from fada.media import MediaError
from fada.media.contact_sheet import contact_sheet
from fada.media.image import read_image, square_resize, write_png


def test_png_round_trip_is_exact(tmp_path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    write_png(tmp_path / "p.png", pixels)
    np.testing.assert_array_equal(read_image(tmp_path / "p.png"), pixels)


def test_transparency_is_laid_over_white(tmp_path) -> None:
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (read_image(tmp_path / "clear.png") == 255).all()


def test_exif_orientation_is_applied(tmp_path) -> None:
    picture = Image.new("RGB", (8, 4), "black")
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.jpg", exif=exif)
    assert read_image(tmp_path / "turned.jpg").shape == (8, 4, 3)


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "1", "LA"])
def test_other_modes_become_rgb(tmp_path, mode) -> None:
    Image.new(mode, (5, 6)).save(tmp_path / "p.tif")
    assert read_image(tmp_path / "p.tif").shape == (6, 5, 3)


def test_16_bit_grey_keeps_its_brightness(tmp_path) -> None:
    Image.fromarray(np.full((4, 4), 32768, np.uint16)).save(tmp_path / "deep.png")
    assert abs(int(read_image(tmp_path / "deep.png").mean()) - 127) <= 1


def test_size_cuts_the_centred_square(tmp_path) -> None:
    pixels = np.zeros((10, 30, 3), np.uint8)
    pixels[:, 10:20] = 200
    assert square_resize(pixels, 10).min() == 200
    write_png(tmp_path / "p.png", pixels)
    assert read_image(tmp_path / "p.png", 5).shape == (5, 5, 3)


def test_text_is_not_a_picture(tmp_path) -> None:
    (tmp_path / "p.png").write_text("hello")
    with pytest.raises(MediaError, match="is not a picture"):
        read_image(tmp_path / "p.png")


def test_truncated_picture_is_refused(tmp_path) -> None:
    write_png(tmp_path / "p.png", np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    data = (tmp_path / "p.png").read_bytes()
    (tmp_path / "p.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(MediaError, match="damaged or truncated"):
        read_image(tmp_path / "p.png")


def test_missing_picture_is_named(tmp_path) -> None:
    with pytest.raises(MediaError, match=r"none\.png: no such file"):
        read_image(tmp_path / "none.png")


def test_png_of_floats_is_refused(tmp_path) -> None:
    with pytest.raises(MediaError, match="must be uint8"):
        write_png(tmp_path / "p.png", np.zeros((4, 4, 3)))


def test_contact_sheet_has_a_row_per_clip() -> None:
    rows = [np.full((10, 16, 20, 3), value, np.uint8) for value in (50, 200)]
    sheet = contact_sheet(rows, columns=4)
    assert sheet.shape == (2 * (16 + 4) + 4, 4 * 24 - 4 + 8, 3)
    assert (sheet == 50).any()
    assert (sheet == 200).any()


def test_contact_sheet_scales_and_labels() -> None:
    sheet = contact_sheet([np.zeros((2, 16, 16, 3), np.uint8)], ["a label"], scale=0.5)
    assert sheet.shape[0] == 8 + 20 + 8


@pytest.mark.parametrize(
    ("rows", "labels", "message"),
    [
        ([], None, "at least one row"),
        ([np.zeros((1, 4, 4, 3), np.uint8)], ["a", "b"], "2 labels for 1 rows"),
        ([np.zeros((4, 4, 3), np.uint8)], None, "a row must be uint8"),
    ],
)
def test_contact_sheet_refuses(rows, labels, message) -> None:
    with pytest.raises(MediaError, match=message):
        contact_sheet(rows, labels)
