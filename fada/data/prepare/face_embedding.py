"""Whose face it is: the embedding of an ArcFace network, which Hallo is told beside the reference picture.

The network is an ONNX file that the user names (Hallo's is `glintr100.onnx` of InsightFace's antelopev2; InsightFace
publishes its models for non-commercial research). Runs on the CPU: a clip needs one look.

One thing differs from InsightFace: its own detector finds the five points by which a face is aligned, here they are
MediaPipe's, so embeddings differ a little from those that Hallo was trained with.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fada.data.prepare.models import ModelError
from fada.data.prepare.onnx_session import open_session, port_shapes

SIDE = 112
"""Of the aligned face, in pixels."""
FIVE_POINTS = (468, 473, 1, 61, 291)
"""MediaPipe's landmarks of the eye (iris) at the picture's left and right, nose tip, mouth corners left and right."""
TEMPLATE = np.array(
    [(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)]
)
"""Where ArcFace wants them: x and y of pixels' middles in a picture of 112 x 112 (InsightFace, face_align.py)."""
_WHERE = "an ArcFace network as ONNX, for Hallo glintr100.onnx of InsightFace's antelopev2"


class FaceEmbedder:
    """Embeds faces with an ArcFace network.

    Args:
        path: ONNX with input (1, 3, 112, 112), RGB in [-1, 1], and output (1, 512).

    Raises:
        ModelError: the file is missing or is no such network, or onnxruntime is not installed.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        if not Path(path).is_file():
            raise ModelError(f"{path}: no face embedder there; give {_WHERE}")
        content = Path(path).read_bytes()
        self.fingerprint = hashlib.sha256(content).hexdigest()[:16]
        """Of the file: the start of its SHA-256."""
        try:
            self._session: Any = open_session(content)
        except ImportError as error:
            raise ModelError(
                "embedding faces needs onnxruntime: install the extra `hallo` (pip install 'fada[hallo]')"
            ) from error
        except ValueError as error:
            raise ModelError(f"{path}: {error}; give {_WHERE}") from error
        shapes = port_shapes(self._session)
        if [shape[1:] for shape in shapes] != [[3, SIDE, SIDE], [512]]:
            raise ModelError(
                f"{path}: a face embedder has one input (1, 3, {SIDE}, {SIDE}) and one output (1, 512), this has "
                f"{', '.join(map(str, shapes))}; give {_WHERE}"
            )

    def embed(self, picture: np.ndarray, landmarks: np.ndarray) -> Tensor:
        """The embedding (512,) of a face, as the network gives it: float32, not normalised.

        Args:
            picture: uint8 (H, W, 3).
            landmarks: (478, 2), shares of the picture.
        """
        face = align_face(picture, landmarks).astype(np.float32)
        normal = (face - 127.5) / 127.5
        (embedding,) = self._session.run(None, {self._session.get_inputs()[0].name: normal.transpose(2, 0, 1)[None]})
        return torch.from_numpy(embedding[0])


def align_face(picture: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """The face as ArcFace wants it: uint8 (112, 112, 3), turned, scaled and moved so that its five points come nearest
    to the template's (least squares); black where the picture ends.

    Args:
        picture: uint8 (H, W, 3).
        landmarks: (478, 2), shares of the picture.

    Source: Umeyama 1991, as in InsightFace's norm_crop; with complex numbers a similarity is z -> scale z + shift.
    """
    height, width = picture.shape[:2]
    # A pixel's middle lies at half of it, in Pillow and here.
    found = (landmarks[list(FIVE_POINTS)] * (width, height)) @ (1, 1j)
    wanted = (TEMPLATE + 0.5) @ (1, 1j)
    spread = wanted - wanted.mean()
    # From the aligned face back to the picture, through the inverse of the best way there.
    there = (np.conj(found - found.mean()) @ spread) / np.square(np.abs(found - found.mean())).sum()
    scale = 1 / there
    shift = found.mean() - scale * wanted.mean()
    way_back = (scale.real, -scale.imag, shift.real, scale.imag, scale.real, shift.imag)
    aligned = Image.fromarray(picture).transform(
        (SIDE, SIDE), Image.Transform.AFFINE, way_back, Image.Resampling.BILINEAR
    )
    return np.asarray(aligned)
