"""What is stored of a face beside its clip: KEY.landmarks.safetensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import save

from fada.data.prepare import measure
from fada.files.whole import write_bytes


def landmark_arrays(points: np.ndarray, blendshapes: np.ndarray, shown: np.ndarray) -> dict[str, np.ndarray]:
    """The arrays of the file.

    Args:
        points: landmarks (F, 478, 3) in pixels of the source.
        blendshapes: (F, 52).
        shown: the landmarks (F, 478, 2) as shares of the clip's picture.
    """
    boxes = np.concatenate([shown.min(axis=1), shown.max(axis=1)], axis=1)
    return {
        "landmarks": shown.astype(np.float16),
        "blendshapes": blendshapes.astype(np.float16),
        "lip_opening": measure.lip_opening(points).astype(np.float32),
        "lips_in_depth": measure.lip_opening_in_depth(points).astype(np.float32),
        "lip_width": measure.lip_width(points).astype(np.float32),
        "yaw": measure.yaws(points).astype(np.float32),
        "face_box": boxes.astype(np.float32),
    }


def write_landmarks(folder: Path, key: str, arrays: dict[str, np.ndarray]) -> None:
    """Write the file, whole or not at all."""
    write_bytes(folder / f"{key}.landmarks.safetensors", save(arrays))
