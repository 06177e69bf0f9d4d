"""What a teacher is told of a face beside its picture: who it is, and where face and lips lie.

Masks are not kept: they follow from the two boxes (face_masks.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fada.data.prepare.masks import FACE_OUTLINE, LIP_OUTLINE
from fada.diffusion.transfer import moved


@dataclass(frozen=True)
class FaceClues:
    """The face of a clip, or of a batch of clips, which has an axis more in front.

    embedding: (..., 512) of a face recogniser, not normalised. face_box, lip_box: (..., 4) left, top, right, bottom as
    shares of the picture, already enlarged and within [0, 1].
    """

    embedding: Tensor
    face_box: Tensor
    lip_box: Tensor

    def to(self, device: torch.device | str) -> FaceClues:
        """The same on another device."""
        return FaceClues(*(moved(each, device) for each in (self.embedding, self.face_box, self.lip_box)))


def stack_clues(clues: Sequence[FaceClues]) -> FaceClues:
    """Clues of single clips, without batch axis, as those of a batch: (B, 512) and (B, 4)."""
    embedding, face_box, lip_box = map(torch.stack, _columns(clues))
    return FaceClues(embedding, face_box, lip_box)


def join_clues(batches: Sequence[FaceClues]) -> FaceClues:
    """Clues of batches as those of one batch."""
    embedding, face_box, lip_box = map(torch.cat, _columns(batches))
    return FaceClues(embedding, face_box, lip_box)


def _columns(clues: Sequence[FaceClues]) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    return [each.embedding for each in clues], [each.face_box for each in clues], [each.lip_box for each in clues]


def face_boxes(landmarks: np.ndarray, face_ratio: float, lip_ratio: float) -> tuple[Tensor, Tensor]:
    """Boxes (4,) that hold the face and the lips of all frames, as Hallo makes them.

    Each frame's box is enlarged about its centre; where it then leaves the picture it is pushed back, and cut only if
    it is larger than the picture. (Hallo rounds to whole pixels on the way and fails on boxes larger than the picture.)

    Args:
        landmarks: (F, 478, 2), shares of the picture.
        face_ratio, lip_ratio: how much larger than the landmarks' own boxes. Hallo trains on 1 and 1 over a clip's
            frames, and generates with 1.2 and 2 from one picture.

    Raises:
        ValueError: landmarks of another shape, or of no frame.

    Source: Hallo (github.com/fudan-generative-vision/hallo), hallo/utils/util.py, expand_region and get_union_mask.
    """
    if landmarks.ndim != 3 or landmarks.shape[1:] != (478, 2) or not len(landmarks):
        raise ValueError(f"landmarks must have shape (F, 478, 2) with a frame at least, got {landmarks.shape}")
    return _union(landmarks, FACE_OUTLINE, face_ratio), _union(landmarks, LIP_OUTLINE, lip_ratio)


def _union(landmarks: np.ndarray, outline: tuple[int, ...], ratio: float) -> Tensor:
    points = landmarks[:, np.array(outline)].astype(np.float64)
    centre, half = (points.max(1) + points.min(1)) / 2, (points.max(1) - points.min(1)) / 2
    low, high = centre - ratio * half, centre + ratio * half
    low, high = np.maximum(low, 0), high - np.minimum(low, 0)
    low, high = low - np.maximum(high - 1, 0), np.minimum(high, 1)
    return torch.from_numpy(np.concatenate([low.min(0), high.max(0)]).clip(0, 1)).float()
