"""The portrait of ``fada generate``: found, checked and cut like the clips a model was trained on."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from fada.data.prepare.crop import choose_box, cut
from fada.data.prepare.models import MAX_MIRROR_ERROR, FaceFinder
from fada.media.error import MediaError
from fada.media.image import read_image


def prepare_portrait(
    image: np.ndarray | str | os.PathLike[str],
    landmarker: FaceFinder | str | os.PathLike[str],
    size: int = 512,
    margin: float = 1.9,
) -> np.ndarray:
    """The square around the head of a portrait.

    Args:
        image: a path, or uint8 pixels (H, W, 3).
        landmarker: loaded models, or the path of MediaPipe's face landmarker.
        size: side of the result in pixels.
        margin: side of the square in face heights, as the clips were prepared.

    Returns:
        uint8 (size, size, 3).

    Raises:
        MediaError: the picture is unreadable, shows no human face, or several of similar size.
        ModelError: the model is missing or unusable.
    """
    name = "the portrait" if isinstance(image, np.ndarray) else os.fspath(image)
    pixels = image if isinstance(image, np.ndarray) else read_image(Path(image))
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise MediaError(f"{name}: pixels must be uint8 (H, W, 3), got {pixels.dtype} {pixels.shape}")
    if isinstance(landmarker, FaceFinder):
        return _cut_face(pixels, landmarker, size, margin, name)
    with FaceFinder(landmarker) as finder:
        return _cut_face(pixels, finder, size, margin, name)


def _cut_face(pixels: np.ndarray, finder: FaceFinder, size: int, margin: float, name: str) -> np.ndarray:
    faces = [face for face in finder.search(pixels) if finder.mirror_error(pixels, face) <= MAX_MIRROR_ERROR]
    if not faces:
        raise MediaError(f"{name}: no face found; use a picture that shows one human face from the front")
    rivals = [face for face in faces[1:] if face.height > 0.6 * faces[0].height]
    if rivals:
        raise MediaError(f"{name}: {len(rivals) + 1} faces of similar size found; cut the picture to the one wanted")
    box = choose_box(faces[0].points[None], (pixels.shape[0], pixels.shape[1]), margin)
    return cut(pixels, box.corners()[0], box.side, size)
