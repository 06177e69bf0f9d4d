"""Pictures: reading any to RGB, writing PNG."""

from __future__ import annotations

import io
import os
import warnings
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from fada.files.whole import write_bytes
from fada.media.container import check_file
from fada.media.error import MediaError
from fada.media.rgb import to_rgb, upright

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "AVIF")
"""Kinds of pictures that are read, by their content. Pillow knows more, some of which start other programs (EPS)."""
MOST_PIXELS = 120_000_000
"""Of a picture; a phone's largest photographs have 108 million."""

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_NEEDED = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")


def read_image(path: str | os.PathLike[str], size: int | None = None) -> np.ndarray:
    """A picture as RGB, upright, in sRGB's colours, transparency over white; of several pictures the first.

    Args:
        path: PNG, JPEG, WebP, BMP, TIFF, GIF or (where Pillow has it) AVIF; the kind is found from the content.
        size: side of the centred square to cut and scale to; None keeps the picture whole.

    Returns:
        uint8 (H, W, 3), or (size, size, 3). Deep grey is scaled by its type: see `to_rgb`.

    Raises:
        MediaError: the file is missing, empty, truncated, too large, or not a picture of these kinds.
    """
    path = check_file(path)
    try:
        picture = _decode(path)
    except UnidentifiedImageError as error:
        raise MediaError(
            f"{path}: is not a picture, whatever its extension says, or of a kind that is not read; "
            f"save it as PNG or JPEG (read are {', '.join(_formats())})"
        ) from error
    except MediaError as error:
        raise MediaError(f"{path}: {error}") from error
    except Exception as error:  # What Pillow raises on damaged data is not of a few kinds.
        raise MediaError(f"{path}: damaged or truncated picture ({str(error) or type(error).__name__})") from error
    pixels = np.asarray(picture)
    return pixels.copy() if size is None else square_resize(pixels, size)


def _decode(path: Path) -> Image.Image:
    try:
        return _load(path)
    except MediaError:
        raise
    except Exception as error:
        data = path.read_bytes()
        if not data.startswith(_PNG_SIGNATURE):
            raise
        needed = _needed_of_png(data)
        if needed is None:
            raise MediaError(f"damaged or truncated picture ({error})") from error
        return _load(io.BytesIO(needed))


def _load(source: Path | io.BytesIO) -> Image.Image:
    with warnings.catch_warnings():
        # About metadata, and about sizes, which are judged here.
        warnings.simplefilter("ignore")
        with Image.open(source, formats=_formats()) as opened:
            width, height = opened.size
            if width * height > MOST_PIXELS:
                raise MediaError(
                    f"claims {width}x{height} pixels, at most {MOST_PIXELS // 10**6} million are read; make it smaller"
                )
            opened.load()
            return to_rgb(upright(opened))


def _formats() -> list[str]:
    """Those of `FORMATS` that this Pillow reads."""
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _needed_of_png(data: bytes) -> bytes | None:
    """A PNG without its metadata, which may be all that is damaged; None where it is damaged otherwise."""
    kept, at = [_PNG_SIGNATURE], len(_PNG_SIGNATURE)
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        name, body = data[at + 4 : at + 8], data[at + 4 : end - 4]
        if name in _PNG_NEEDED:
            if zlib.crc32(body) != int.from_bytes(data[end - 4 : end], "big"):
                return None
            kept.append(data[at:end])
        at = end
    return b"".join(kept)


def square_resize(pixels: np.ndarray, size: int) -> np.ndarray:
    """The centred square of a picture (H, W, 3), scaled to (size, size, 3) with anti-aliasing."""
    if size <= 0:
        raise ValueError(f"size must be positive, got {size}")
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = pixels[top : top + side, left : left + side]
    if side == size:
        return np.ascontiguousarray(square)
    return np.array(Image.fromarray(np.ascontiguousarray(square)).resize((size, size), Image.Resampling.LANCZOS))


def write_png(path: str | os.PathLike[str], pixels: np.ndarray) -> None:
    """Write uint8 pixels (H, W, 3) or (H, W) as PNG, atomically.

    Raises:
        MediaError: another type or shape.
    """
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3):
        raise MediaError(
            f"{path}: a picture must be uint8 of shape (H, W, 3) or (H, W), got {pixels.dtype} {pixels.shape}"
        )
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, format="PNG")
    write_bytes(path, buffer.getvalue())
