"""Pictures of awkward kinds: deep, float, profiled, turned, animated, hostile."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from fada.media import MediaError
from fada.media.image import FORMATS, read_image

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 10, 3), dtype=np.uint8)


def chunk(name: bytes, body: bytes, crc: int | None = None) -> bytes:
    """A PNG chunk."""
    return (
        len(body).to_bytes(4, "big")
        + name
        + body
        + (zlib.crc32(name + body) if crc is None else crc).to_bytes(4, "big")
    )


def with_chunk(path: Path, inserted: bytes) -> Path:
    """The picture PIXELS as PNG with a chunk behind its header."""
    Image.fromarray(PIXELS).save(path, format="PNG")
    data = path.read_bytes()
    path.write_bytes(data[:33] + inserted + data[33:])
    return path


@pytest.mark.parametrize(
    ("value", "expected"), [(0, 0), (1, 0), (128, 0), (129, 1), (255, 1), (256, 1), (32896, 128), (65535, 255)]
)
@pytest.mark.parametrize("ending", ["png", "tif"])
def test_16_bits_are_scaled_by_their_type(tmp_path: Path, value: int, expected: int, ending: str) -> None:
    path = tmp_path / f"deep.{ending}"
    Image.fromarray(np.full((4, 5), value, np.uint16)).save(path)
    np.testing.assert_array_equal(read_image(path), np.full((4, 5, 3), expected))


@pytest.mark.parametrize(("value", "expected"), [(0.0, 0), (0.002, 1), (0.5, 128), (1.0, 255), (1.2, 255), (-0.5, 0)])
def test_floats_are_0_to_1(tmp_path: Path, value: float, expected: int) -> None:
    Image.fromarray(np.full((4, 5), value, np.float32)).save(tmp_path / "f.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "f.tif"), np.full((4, 5, 3), expected))


def test_floats_on_another_scale_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 5), 200.0, np.float32)).save(tmp_path / "f.tif")
    with pytest.raises(MediaError, match=r"f\.tif: its pixels are floats up to 200; floats are read as 0 \(black\)"):
        read_image(tmp_path / "f.tif")


def test_what_is_not_a_number_is_black(tmp_path: Path) -> None:
    Image.fromarray(np.array([[np.nan, 1.0]], np.float32)).save(tmp_path / "f.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "f.tif")[..., 0], [[0, 255]])


def test_32_bits_are_scaled_by_their_type(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 2**30, 2**31 - 1]], np.int32)).save(tmp_path / "i.tif")
    with Image.open(tmp_path / "i.tif") as stored:
        assert (stored.tag_v2[258], stored.tag_v2[339]) == ((32,), (2,))
    np.testing.assert_array_equal(read_image(tmp_path / "i.tif")[..., 0], [[0, 128, 255]])


@pytest.mark.parametrize(
    "inserted",
    [
        chunk(b"eXIf", b"nonsense"),
        chunk(b"eXIf", b"MM\x00\x2a\x00\x00\x00\x08\xff\xff" + b"\x01" * 9),
        chunk(b"eXIf", b"", 7),
        chunk(b"eXIf", b"II\x2a\x00\x08\x00\x00\x00\x00\x00", 12345),
        chunk(b"iCCP", b"name\x00\x00not deflated"),
        chunk(b"zTXt", b"k\x00\x00" + zlib.compress(b"0" * (PngImagePlugin.MAX_TEXT_CHUNK + 1))),
        chunk(b"gAMA", b"\x00"),
        chunk(b"pHYs", b"\x00"),
        chunk(b"tIME", b"\x00", 1),
    ],
)
def test_damaged_metadata_does_not_refuse_a_good_png(tmp_path: Path, inserted: bytes) -> None:
    np.testing.assert_array_equal(read_image(with_chunk(tmp_path / "p.png", inserted)), PIXELS)


def test_a_png_whose_pixels_are_damaged_is_still_refused(tmp_path: Path) -> None:
    path = with_chunk(tmp_path / "p.png", chunk(b"eXIf", b"", 7))
    data = bytearray(path.read_bytes())
    data[-30] ^= 255
    path.write_bytes(bytes(data))
    with pytest.raises(MediaError, match=r"p\.png: damaged or truncated picture"):
        read_image(path)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["png", "jpg", "tif", "webp"])
def test_every_orientation_is_applied_in_every_format(tmp_path: Path, orientation: int, ending: str) -> None:
    shown = np.zeros((64, 32, 3), np.uint8)
    shown[:32, :16], shown[32:, :16], shown[:32, 16:] = (250, 0, 0), (0, 250, 0), (0, 0, 250)
    # What must be stored so that it is shown upright: the inverse turn.
    inverse = {1: lambda p: p, 2: np.fliplr, 3: lambda p: p[::-1, ::-1], 4: np.flipud,
               5: lambda p: p.swapaxes(0, 1), 6: np.rot90, 7: lambda p: p[::-1, ::-1].swapaxes(0, 1),
               8: lambda p: np.rot90(p, -1)}[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"turned.{ending}"
    options = {"quality": 95} if ending == "jpg" else {"lossless": True} if ending == "webp" else {}
    Image.fromarray(np.ascontiguousarray(inverse(shown))).save(path, exif=exif, **options)
    found = read_image(path).astype(int)
    assert found.shape == shown.shape
    assert np.abs(found - shown).mean() < 12


@pytest.mark.parametrize(
    "content", [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", b"P6 2 2 255 " + b"\0" * 12]
)
def test_other_kinds_are_refused_whatever_they_are_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    def started(*arguments: object, **_: object) -> None:
        raise AssertionError(f"a program was started: {arguments}")

    monkeypatch.setattr("subprocess.Popen", started)
    (tmp_path / "portrait.png").write_bytes(content)
    with pytest.raises(MediaError, match=r"portrait\.png: is not a picture.* save it as PNG or JPEG \(read are PNG"):
        read_image(tmp_path / "portrait.png")


@pytest.mark.parametrize("kind", [name for name in FORMATS if name != "AVIF"])
def test_every_kind_is_read_whatever_it_is_called(tmp_path: Path, kind: str) -> None:
    smooth = np.repeat(np.arange(0, 240, 4, dtype=np.uint8)[:, None, None], 3, axis=2).repeat(8, axis=1)
    Image.fromarray(smooth).save(tmp_path / "picture", format=kind)
    assert np.abs(read_image(tmp_path / "picture").astype(int) - smooth).max() <= 6


@pytest.mark.parametrize("size", [(50000, 40000), (200000, 10), (20000, 7000)])
def test_a_picture_that_claims_too_many_pixels_is_refused_before_it_is_decoded(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    header = struct.pack(">IIBBBBB", *size, 8, 0, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100))
    (tmp_path / "bomb.png").write_bytes(data + chunk(b"IEND", b""))
    with pytest.raises(MediaError, match=r"bomb\.png: (claims|damaged or truncated)"):
        read_image(tmp_path / "bomb.png")


def test_the_pixels_claimed_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fada.media.image.MOST_PIXELS", 10)
    Image.fromarray(PIXELS).save(tmp_path / "p.png")
    with pytest.raises(MediaError, match=r"p\.png: claims 10x12 pixels, at most"):
        read_image(tmp_path / "p.png")


def test_a_palette_with_transparency_lies_over_white(tmp_path: Path) -> None:
    picture = Image.new("P", (2, 1))
    picture.putpalette([10, 20, 30, 200, 0, 0])
    picture.putdata([0, 1])
    picture.save(tmp_path / "p.png", transparency=0)
    np.testing.assert_array_equal(read_image(tmp_path / "p.png"), [[[255, 255, 255], [200, 0, 0]]])


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_transparent_colour_lies_over_white(tmp_path: Path, mode: str) -> None:
    colour = 7 if mode == "L" else (7, 7, 7)
    Image.new(mode, (2, 2), colour).save(tmp_path / "p.png", transparency=colour)
    assert (read_image(tmp_path / "p.png") == 255).all()


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_several_pictures_the_first_is_read(tmp_path: Path, kind: str) -> None:
    pictures = [Image.new("RGB", (8, 8), colour) for colour in ((250, 0, 0), (0, 250, 0))]
    options = {} if kind == "TIFF" else {"duration": 100}
    pictures[0].save(tmp_path / "p", format=kind, save_all=True, append_images=pictures[1:], **options)
    assert np.abs(read_image(tmp_path / "p").astype(int) - (250, 0, 0)).max() <= 6


def test_cmyk_is_read(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "p.jpg", quality=100)
    red, green, blue = read_image(tmp_path / "p.jpg")[4, 4]
    assert red > 200
    assert max(green, blue) < 80


def test_lab_is_read(tmp_path: Path) -> None:
    lab = ImageCms.profileToProfile(
        Image.new("RGB", (4, 4), (200, 100, 50)), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"),
        outputMode="LAB",
    )  # fmt: skip
    lab.save(tmp_path / "p.tif")
    assert np.abs(read_image(tmp_path / "p.tif").astype(int) - (200, 100, 50)).max() <= 3


def wide_profile() -> bytes:
    """A matrix profile with the primaries of Display P3 and sRGB's curve, built here."""
    # Colorants of Display P3 adapted to D50 (ICC's registry of characterisation data).
    columns = {b"rXYZ": (0.51512, 0.24120, -0.00105), b"gXYZ": (0.29198, 0.69225, 0.04189),
               b"bXYZ": (0.15710, 0.06657, 0.78407), b"wtpt": (0.96420, 1.0, 0.82491)}  # fmt: skip

    def number(value: float) -> bytes:
        return struct.pack(">i", round(value * 65536))

    parts = {name: b"XYZ \0\0\0\0" + b"".join(map(number, values)) for name, values in columns.items()}
    curve = b"para\0\0\0\0\0\3\0\0" + b"".join(map(number, (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)))
    parts |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    text = b"desc\0\0\0\0" + struct.pack(">I", 12) + b"Wide colour\0" + b"\0" * 78
    parts |= {b"desc": text, b"cprt": b"text\0\0\0\0none\0"}
    table, body, at = b"", b"", 128 + 4 + 12 * len(parts)
    for name, value in parts.items():
        padded = value + b"\0" * (-len(value) % 4)
        table += name + struct.pack(">II", at + len(body), len(value))
        body += padded
    size = at + len(body)
    head = struct.pack(">I4sI4s4s4s12s4s", size, b"none", 0x02400000, b"mntr", b"RGB ", b"XYZ ", b"\0" * 12, b"acsp")
    head = head.ljust(68, b"\0") + b"".join(map(number, (0.96420, 1.0, 0.82491)))
    return head.ljust(128, b"\0") + struct.pack(">I", len(parts)) + table + body


@pytest.mark.parametrize("ending", ["png", "jpg", "tif", "webp"])
def test_wide_colours_are_brought_to_srgb(tmp_path: Path, ending: str) -> None:
    # Display P3 (128, 128, 128) is the same grey; P3 (200, 100, 100) is sRGB (211, 95, 98): CSS Color 4's matrices.
    path = tmp_path / f"wide.{ending}"
    options = {"quality": 100, "subsampling": 0} if ending == "jpg" else {"lossless": True} if ending == "webp" else {}
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:, :16], pixels[:, 16:] = (128, 128, 128), (200, 100, 100)
    Image.fromarray(pixels).save(path, icc_profile=wide_profile(), **options)
    found = read_image(path).astype(int)
    assert np.abs(found[8, 4] - (128, 128, 128)).max() <= 2
    assert np.abs(found[8, 28] - (213, 95, 98)).max() <= 3


def test_transparency_survives_a_profile(tmp_path: Path) -> None:
    picture = Image.new("RGBA", (2, 1), (200, 100, 100, 0))
    picture.putpixel((1, 0), (200, 100, 100, 255))
    picture.save(tmp_path / "p.png", icc_profile=wide_profile())
    found = read_image(tmp_path / "p.png").astype(int)
    assert (found[0, 0] == 255).all()
    assert found[0, 1, 0] > 205


def test_srgb_pictures_keep_every_value(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(PIXELS).save(tmp_path / "p.png", icc_profile=profile)
    np.testing.assert_array_equal(read_image(tmp_path / "p.png"), PIXELS)


@pytest.mark.parametrize("profile", [b"nonsense", wide_profile()[:200], b"\0" * 128])
def test_a_damaged_profile_is_as_good_as_none(tmp_path: Path, profile: bytes) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "p.png", icc_profile=profile)
    np.testing.assert_array_equal(read_image(tmp_path / "p.png"), PIXELS)


def test_a_profile_of_another_kind_of_picture_is_as_good_as_none(tmp_path: Path) -> None:
    Image.fromarray(PIXELS[..., 0]).save(tmp_path / "p.png", icc_profile=wide_profile())
    np.testing.assert_array_equal(read_image(tmp_path / "p.png")[..., 0], PIXELS[..., 0])


def test_every_fault_of_a_decoder_is_an_error_about_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise IndexError

    Image.fromarray(PIXELS).save(tmp_path / "p.jpg")
    monkeypatch.setattr("PIL.Image.open", fails)
    with pytest.raises(MediaError, match=r"p\.jpg: damaged or truncated picture \(IndexError\)"):
        read_image(tmp_path / "p.jpg")
