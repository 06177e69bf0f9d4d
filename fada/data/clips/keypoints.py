"""Where eyes, nose and mouth are in every frame: the five points of face detectors, and the box of the lips.

Lengths are shares of the picture: 0, 0 is its upper left corner and 1, 1 its lower right one, so they fit pictures of
any size. Where they come from is sample_keypoints.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from fada.data.prepare.face_embedding import FIVE_POINTS
from fada.data.prepare.masks import LIP_OUTLINE
from fada.diffusion.transfer import moved

KEYPOINTS = ("left eye", "right eye", "nose", "left mouth corner", "right mouth corner")
"""The points in their order, left and right of the picture: that of InsightFace's `kps`."""


@dataclass(frozen=True)
class Keypoints:
    """The keypoints of a clip (F, ...), of a batch of clips (B, F, ...), or of one frame of each (B, ...).

    points: (..., 5, 2) x and y of `KEYPOINTS`. visible: (..., 5) booleans, False where a point lies outside the picture
    or is not known; its place is then the best guess. lip_box: (..., 4) left, top, right, bottom of the lips, neither
    enlarged nor cut at the picture's edge.
    """

    points: Tensor
    visible: Tensor
    lip_box: Tensor

    def to(self, device: torch.device | str) -> Keypoints:
        """The same on another device."""
        return Keypoints(*(moved(each, device) for each in (self.points, self.visible, self.lip_box)))

    def of_frames(self, frames: int | slice) -> Keypoints:
        """Of a clip, those of one frame (5, 2) or of some (F, 5, 2)."""
        return Keypoints(self.points[frames], self.visible[frames], self.lip_box[frames])

    def tensors(self) -> dict[str, Tensor]:
        """The tensors by name."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def stored(self) -> dict[str, Tensor]:
        """As shards keep them: lengths in float16, good to a quarter of a pixel in 512, and `visible` as 0 or 1."""
        return {
            "points": self.points.half(),
            "visible": self.visible.to(torch.uint8),
            "lip_box": self.lip_box.half(),
        }


def read_stored(tensors: dict[str, Tensor]) -> Keypoints:
    """What `Keypoints.stored` made."""
    return Keypoints(tensors["points"].float(), tensors["visible"].bool(), tensors["lip_box"].float())


def stack_keypoints(keypoints: Sequence[Keypoints]) -> Keypoints:
    """Keypoints of single clips, without batch axis, as those of a batch."""
    return _each(torch.stack, keypoints)


def join_keypoints(batches: Sequence[Keypoints]) -> Keypoints:
    """Keypoints of batches as those of one batch."""
    return _each(torch.cat, batches)


def keypoints_of_landmarks(landmarks: np.ndarray) -> Keypoints:
    """The keypoints in MediaPipe's landmarks.

    Eyes are the middles of the irises (468 at the picture's left, 473), the nose its tip (1), corners those of the
    outer lips (61, 291), the lips' box that of their outer outline. InsightFace's detector, with whose points V-Express
    was trained, has a network of its own for them: they differ a little.

    Args:
        landmarks: (F, 478, 2), shares of the picture, as prepare stores them.

    Raises:
        ValueError: landmarks of another shape.
    """
    if landmarks.ndim != 3 or landmarks.shape[1:] != (478, 2):
        raise ValueError(f"landmarks must have shape (F, 478, 2), got {landmarks.shape}")
    lips = landmarks[:, np.array(LIP_OUTLINE)]
    return make_keypoints(landmarks[:, np.array(FIVE_POINTS)], np.concatenate([lips.min(1), lips.max(1)], axis=1))


def make_keypoints(points: np.ndarray, lip_box: np.ndarray, known: np.ndarray | None = None) -> Keypoints:
    """Keypoints of a clip; visible are the points that lie in the picture.

    Args:
        points: (F, 5, 2). lip_box: (F, 4).
        known: (5,) booleans, False for points that are guessed.
    """
    inside = ((points >= 0) & (points <= 1)).all(-1)
    visible = inside if known is None else inside & known
    return Keypoints(
        torch.from_numpy(points.astype(np.float32)), torch.from_numpy(visible),
        torch.from_numpy(lip_box.astype(np.float32)),
    )  # fmt: skip


def _each(join: Callable[[list[Tensor]], Tensor], keypoints: Sequence[Keypoints]) -> Keypoints:
    return Keypoints(*(join([getattr(each, name) for each in keypoints]) for name in ("points", "visible", "lip_box")))
