"""What a portrait tells of its face: the same clues that shards keep of a clip."""

from __future__ import annotations

import numpy as np

from fada.data.clips.face import FaceClues, face_boxes
from fada.data.clips.keypoints import Keypoints, keypoints_of_landmarks
from fada.data.prepare.face_embedding import FaceEmbedder
from fada.data.prepare.models import FaceFinder
from fada.media.error import MediaError


def portrait_clues(
    picture: np.ndarray, finder: FaceFinder, embedder: FaceEmbedder, face_ratio: float = 1.2, lip_ratio: float = 2.0
) -> FaceClues:
    """Embedding and boxes of the tallest face of a portrait, without batch axis.

    Args:
        picture: uint8 (S, S, 3), as `prepare_portrait` cuts it.
        face_ratio, lip_ratio: how much larger than the landmarks the boxes are; Hallo generates with 1.2 and 2.

    Raises:
        MediaError: the picture is of another kind, or no face is found in it.
    """
    landmarks = _landmarks(picture, finder)
    face_box, lip_box = face_boxes(landmarks[None], face_ratio, lip_ratio)
    return FaceClues(embedder.embed(picture, landmarks), face_box, lip_box)


def portrait_keypoints(picture: np.ndarray, finder: FaceFinder) -> Keypoints:
    """Keypoints (5, ...) of the tallest face of a portrait (S, S, 3); raises as `portrait_clues`."""
    return keypoints_of_landmarks(_landmarks(picture, finder)[None]).of_frames(0)


def _landmarks(picture: np.ndarray, finder: FaceFinder) -> np.ndarray:
    """(478, 2) of the tallest face, as shares of the picture."""
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape != (len(picture), len(picture), 3):
        raise MediaError(f"the portrait: a square uint8 (S, S, 3) is needed, got {picture.dtype} {picture.shape}")
    faces = finder.search(picture)
    if not faces:
        raise MediaError("the portrait: no face found; use a picture that shows one human face from the front")
    return np.asarray(faces[0].points[:, :2] / len(picture))
