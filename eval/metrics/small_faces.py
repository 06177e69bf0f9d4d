"""What the two small face networks are fed with, and what they answer of many faces."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from fada.eval.metrics.networks.emotion_xception import SIDE, EmotionXception
from fada.eval.metrics.networks.mobileface import MobileFace
from fada.eval.metrics.video_features import answers

MARGIN = 1.1
"""Side of the square that `EmotionXception` sees, in sides of the square around the landmarks: about the tight faces
of FER-2013."""


def mobileface_embeddings(network: MobileFace, faces: np.ndarray, batch: int = 8) -> np.ndarray:
    """Embeddings of length 1 (N, 256) of faces aligned to ArcFace's five points (N, 112, 112, 3) uint8."""
    found = answers(network, torch.from_numpy(faces), batch, lambda one: one.permute(0, 3, 1, 2))
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def emotion_probabilities(network: EmotionXception, faces: np.ndarray, batch: int = 16) -> np.ndarray:
    """Probabilities (N, 7) of grey faces (N, 64, 64) uint8."""
    return answers(network, torch.from_numpy(faces), batch, lambda one: one[:, None])


def grey_face(picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    """A face as `EmotionXception` sees it: grey, uint8 (64, 64), black where the picture ends.

    Args:
        picture: uint8 (H, W, 3).
        points: (N, 2) landmarks in pixels.
    """
    least, most = points.min(axis=0), points.max(axis=0)
    half = MARGIN * float((most - least).max()) / 2
    middle = (least + most) / 2
    left, top, right, bottom = np.concatenate([middle - half, middle + half]).round().tolist()
    face = Image.fromarray(picture).convert("L").crop((left, top, right, bottom))
    return np.asarray(face.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
