"""Pictures: reading any to RGB, writing PNG."""

from __future__ import annotations

import io
import os

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from fada.media.container import check_file, write_bytes
from fada.media.error import MediaError


def read_image(path: str | os.PathLike[str], size: int | None = None) -> np.ndarray:
    """A picture as RGB, upright, transparency over white.

    Args:
        path: any format Pillow knows; the kind is found from the content.
        size: side of the centred square to cut and scale to; None keeps the picture whole.

    Returns:
        uint8 (H, W, 3), or (size, size, 3).

    Raises:
        MediaError: the file is missing, empty, truncated or not a picture.
    """
    path = check_file(path)
    try:
        with Image.open(path) as opened:
            opened.load()
            picture = _to_rgb(ImageOps.exif_transpose(opened))
    except UnidentifiedImageError as error:
        raise MediaError(f"{path}: is not a picture, whatever its extension says") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise MediaError(f"{path}: damaged or truncated picture ({error})") from error
    pixels = np.asarray(picture)
    return pixels.copy() if size is None else square_resize(pixels, size)


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I") or picture.mode == "F":
        # 16-bit grey: Pillow's own conversion clips instead of scaling.
        values = np.asarray(picture, dtype=np.float64)
        top = 65535.0 if values.max(initial=0.0) > 255 else 255.0
        return Image.fromarray(np.clip(values / top * 255, 0, 255).astype(np.uint8)).convert("RGB")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, picture).convert("RGB")
    return picture.convert("RGB")


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
