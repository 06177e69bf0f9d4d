"""Faces as Deep3DFaceRecon wants them: 224 x 224, moved and scaled by five points against those of a standard face.

Source: github.com/sicxu/Deep3DFaceRecon_pytorch, util/preprocess.py, align_img; the standard face is the mean of its
similarity_Lm3D_all.mat at eyes, nose and mouth corners. One thing differs: the five points are MediaPipe's.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

SIDE = 224
RESCALE = 102.0
STANDARD = np.array(
    [
        (-0.31148657, 0.29036078, 0.13377953),
        (0.30979887, 0.28972036, 0.13179526),
        (0.0032535, -0.04617932, 0.55244243),
        (-0.25216928, -0.38133916, 0.22405732),
        (0.2484662, -0.38128236, 0.22235769),
    ]
)
"""Eyes at the picture's left and right, nose tip, mouth corners left and right; x to the right, y up."""


def aligned_face(picture: np.ndarray, five_points: np.ndarray) -> np.ndarray:
    """The face (224, 224, 3) uint8 of a picture (H, W, 3) uint8; black where the picture ends.

    Args:
        picture: RGB.
        five_points: (5, 2) x and y in pixels, in the order of ``STANDARD``, y down.
    """
    height, width = picture.shape[:2]
    points = np.stack([five_points[:, 0], height - 1 - five_points[:, 1]], axis=1)
    across, up, scale = _scaled_orthography(points)
    factor = RESCALE / scale
    size = int(width * factor), int(height * factor)
    left = int(size[0] / 2 - SIDE / 2 + (across - width / 2) * factor)
    top = int(size[1] / 2 - SIDE / 2 + (height / 2 - up) * factor)
    resized = Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC)
    return np.asarray(resized.crop((left, top, left + SIDE, top + SIDE)))


def _scaled_orthography(points: np.ndarray) -> tuple[float, float, float]:
    """x, y and scale at which the standard face, seen without perspective, comes nearest to the points."""
    space = np.concatenate([STANDARD, np.ones((len(STANDARD), 1))], axis=1)
    solution, *_ = np.linalg.lstsq(space, points)
    scale = np.linalg.norm(solution[:3], axis=0).mean()
    return float(solution[3, 0]), float(solution[3, 1]), float(scale)
