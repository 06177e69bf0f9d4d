"""Face and lip masks, drawn from stored landmarks at whatever size is needed.

``fada data prepare`` stores landmarks beside each clip (KEY.landmarks.safetensors), not pictures of masks: they are
small, and give soft masks at the size of the latents as well as of the pixels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from safetensors import SafetensorError
from safetensors.numpy import load_file

from fada.data.clips.clip_files import clip_file

MaskKind = Literal["full", "face", "lip", "background"]
ENLARGEMENT: dict[str, float] = {"face": 1.2, "lip": 2.0}
"""How much larger than the landmarks' outline, about its centre (Hallo's and FADA's choice)."""

# MediaPipe's outlines, in order around the contour.
FACE_OUTLINE = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
LIP_OUTLINE = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
_SUPERSAMPLING = 4


def draw_masks(
    landmarks: np.ndarray, size: int, kind: MaskKind, enlarge: float | None = None, blur: float = 0.0
) -> np.ndarray:
    """Masks of one region, anti-aliased.

    Args:
        landmarks: (F, 478, 2), shares of the square picture, as prepare stores them.
        size: side of the masks in pixels (or latent cells).
        kind: "full" is 1 everywhere, "face" and "lip" fill their enlarged outlines, "background" is 1 minus "face".
        enlarge: factor on the outline; None takes :data:`ENLARGEMENT`.
        blur: standard deviation of a Gaussian blur as a share of the side.

    Returns:
        float32 (F, size, size) in [0, 1].
    """
    if kind not in ("full", "face", "lip", "background"):
        raise ValueError(f"mask kind must be full, face, lip or background, got {kind!r}")
    if landmarks.ndim != 3 or landmarks.shape[1:] != (478, 2):
        raise ValueError(f"landmarks must have shape (F, 478, 2), got {landmarks.shape}")
    if kind == "full":
        return np.ones((len(landmarks), size, size), np.float32)
    if kind == "background":
        return 1.0 - draw_masks(landmarks, size, "face", enlarge, blur)
    outline = np.array(FACE_OUTLINE if kind == "face" else LIP_OUTLINE)
    factor = ENLARGEMENT[kind] if enlarge is None else enlarge
    return np.stack([_fill_outline(points[outline].astype(np.float64), size, factor, blur) for points in landmarks])


def _fill_outline(outline: np.ndarray, size: int, factor: float, blur: float) -> np.ndarray:
    centre = (outline.min(axis=0) + outline.max(axis=0)) / 2
    fine = size * _SUPERSAMPLING
    corners = ((outline - centre) * factor + centre) * fine - 0.5
    picture = Image.new("L", (fine, fine))
    ImageDraw.Draw(picture).polygon([(float(x), float(y)) for x, y in corners], fill=255)
    if blur > 0:
        picture = picture.filter(ImageFilter.GaussianBlur(blur * fine))
    return np.asarray(picture.resize((size, size), Image.Resampling.BOX), dtype=np.float32) / 255.0


def read_landmarks(folder: str | Path, key: str) -> dict[str, np.ndarray]:
    """What prepare stored beside a clip, as float32.

    Returns:
        ``landmarks`` (F, 478, 2) as shares of the picture, ``blendshapes`` (F, 52), ``lip_opening`` (F,) in face
        heights, ``face_box`` (F, 4) left, top, right, bottom as shares of the picture.

    Raises:
        ValueError: there is no such file, or it is damaged.
    """
    path = clip_file(folder, key, ".landmarks.safetensors")
    if not path.is_file():
        raise ValueError(f"{path}: no landmarks beside this clip; only clips made by `fada data prepare` have them")
    try:
        return {name: value.astype(np.float32) for name, value in load_file(path).items()}
    except SafetensorError as error:
        raise ValueError(f"{path}: damaged landmarks ({error}); prepare the clip again") from error
