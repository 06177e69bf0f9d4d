"""Decoded pictures of every mode as RGB: deep grey by its type, colour profiles to sRGB, transparency over white."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from fada.media.error import MediaError

try:
    from PIL import ImageCms
except ImportError:  # Pillow can be built without LittleCMS.
    ImageCms = None  # type: ignore[assignment]

_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_BITS, _SAMPLE_FORMAT, _SIGNED = 258, 339, 2
"""Tags of TIFF."""
_MOST_FLOAT = 2.0
"""A float picture may go a little over 1 (sharpening, highlights); one that goes over this is on another scale."""


def upright(picture: Image.Image) -> Image.Image:
    """The picture as its EXIF says it is held; as stored where that says nothing or is damaged."""
    try:
        orientation: Any = picture.getexif().get(_ORIENTATION)
        turn = _TURNS.get(orientation)
    except Exception:  # Pillow's EXIF reader fails in a dozen ways on damaged data, which is no part of the picture.
        turn = None
    return picture if turn is None else picture.transpose(turn)


def to_rgb(picture: Image.Image) -> Image.Image:
    """A loaded picture as RGB.

    Grey deeper than 8 bits is scaled by its type, never by its content: 16 bits by 65535, 32 bits by 2^32 - 1 (half of
    that where signed), floats as 0 to 1.

    Raises:
        MediaError: floats on another scale.
    """
    if picture.mode.startswith("I") or picture.mode == "F":
        return Image.fromarray(_deep_grey(picture)).convert("RGB")
    profile = picture.info.get("icc_profile")
    if not picture.has_transparency_data:
        return _in_srgb(picture, profile)
    picture = picture.convert("RGBA")
    coloured = _in_srgb(picture.convert("RGB"), profile)
    coloured.putalpha(picture.getchannel("A"))
    return Image.alpha_composite(Image.new("RGBA", picture.size, (255, 255, 255, 255)), coloured).convert("RGB")


def _deep_grey(picture: Image.Image) -> np.ndarray:
    """uint8 (H, W)."""
    values = np.asarray(picture)
    if picture.mode == "F":
        values = np.nan_to_num(values.astype(np.float64))
        if values.max(initial=0.0) > _MOST_FLOAT:
            raise MediaError(
                f"its pixels are floats up to {values.max():g}; floats are read as 0 (black) to 1 (white): scale them"
            )
        share = values
    else:
        bits, is_signed = _integers(picture)
        # Pillow has no unsigned 32 bits and shows them as signed.
        exact = values.view(np.uint32) if bits == 32 and not is_signed else values
        share = exact / (2.0 ** (bits - is_signed) - 1)
    return np.rint(np.clip(share, 0.0, 1.0) * 255).astype(np.uint8)


def _integers(picture: Image.Image) -> tuple[int, bool]:
    """Bits of a deep grey picture as stored, and whether they are signed."""
    tags = getattr(picture, "tag_v2", None)
    if picture.mode != "I" or tags is None:
        return 16, False
    return max(16, int(tags.get(_BITS, (32,))[0])), tags.get(_SAMPLE_FORMAT, (1,))[0] == _SIGNED


def _in_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """RGB in sRGB's colours; a profile that is damaged, or of another kind of picture, is as good as none."""
    if profile and ImageCms is not None:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            # What says that it is sRGB is left as it is: the conversion would only add rounding.
            if "srgb" not in ImageCms.getProfileDescription(source).lower():
                matching = picture if picture.mode in ("L", "CMYK", "LAB") else picture.convert("RGB")
                converted = ImageCms.profileToProfile(
                    matching, source, ImageCms.createProfile("sRGB"), ImageCms.Intent.RELATIVE_COLORIMETRIC,
                    outputMode="RGB", flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
                )  # fmt: skip
                if converted is not None:
                    return converted
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass
    if picture.mode == "LAB":
        return _from_lab(picture)
    return picture.convert("RGB")


def _from_lab(picture: Image.Image) -> Image.Image:
    if ImageCms is None:
        raise MediaError("its colours are CIE Lab, which this Pillow cannot convert; save it as RGB")
    source, target = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(picture, source, target, outputMode="RGB")
    assert converted is not None
    return converted
