"""The MediaPipe models: checked on disk, loaded once, asked picture by picture.

MediaPipe ships without models and nothing here downloads: the user names a file. The same picture always gives the
same answer (no smoothing over time, which would make the lips lag behind the sound).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from fada.files.manifest import hash_file

_WHERE = {
    "face landmarker": (
        "face_landmarker_v2_with_blendshapes.task (also published as face_landmarker.task), under "
        "'Face landmark detection' of the MediaPipe Solutions guide by Google AI Edge"
    ),
    "face detector": "blaze_face_short_range.tflite, under 'Face detection' of the MediaPipe Solutions guide",
}


class ModelError(ValueError):
    """A model file that is missing or cannot be loaded, or a missing package; the message says where to get it."""


@dataclass(frozen=True)
class Face:
    """One face in one frame, in pixels of that frame."""

    points: np.ndarray
    """float32 (478, 3): x to the right, y down, z towards the viewer negative, on the scale of x."""
    blendshapes: np.ndarray
    """float32 (52,): expression coefficients in [0, 1], in MediaPipe's order."""

    @property
    def box(self) -> np.ndarray:
        """left, top, right, bottom of the landmarks: forehead to chin, without hair."""
        return np.concatenate([self.points[:, :2].min(0), self.points[:, :2].max(0)])

    @property
    def height(self) -> float:
        """Pixels from forehead to chin."""
        return float(np.ptp(self.points[:, 1]))


def check_model(path: str | os.PathLike[str], kind: str) -> str:
    """SHA-256 of a model file.

    Raises:
        ModelError: the file is missing; says where to get it.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"{path}: no {kind} model there; get {_WHERE[kind]}, and give its path")
    return hash_file(path)


@contextmanager
def _quiet_native_logs() -> Iterator[None]:
    """MediaPipe's C++ part writes warnings about itself straight to stderr, through every progress bar."""
    saved = os.dup(2)
    sink = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(sink)
        os.close(saved)


class FaceFinder:
    """Finds faces with landmarks, large ones in the whole picture and small ones tile by tile."""

    def __init__(
        self, landmarker_path: str | os.PathLike[str], detector_path: str | os.PathLike[str] | None = None
    ) -> None:
        """Load the models.

        Args:
            landmarker_path: MediaPipe's face landmarker with blendshapes (.task).
            detector_path: MediaPipe's face detector (.tflite); optional, makes the search for small faces faster.

        Raises:
            ModelError: a file is missing or is no such model, or mediapipe is not installed.
        """
        self.model_hashes = {Path(landmarker_path).name: check_model(landmarker_path, "face landmarker")}
        if detector_path is not None:
            self.model_hashes[Path(detector_path).name] = check_model(detector_path, "face detector")
        try:
            import mediapipe
            from mediapipe.tasks.python import BaseOptions, vision
        except ImportError as error:
            raise ModelError(
                "finding faces needs mediapipe: install the extra `data` (pip install 'fada[data]')"
            ) from error
        self._mediapipe: Any = mediapipe
        self._detector: Any = None
        with _quiet_native_logs():
            try:
                options = vision.FaceLandmarkerOptions(
                    base_options=BaseOptions(model_asset_path=str(landmarker_path)),
                    num_faces=4,
                    output_face_blendshapes=True,
                )
                self._landmarker: Any = vision.FaceLandmarker.create_from_options(options)
            except (RuntimeError, ValueError) as error:
                raise ModelError(
                    f"{landmarker_path}: not a face landmarker; get {_WHERE['face landmarker']}"
                ) from error
            if detector_path is not None:
                try:
                    self._detector = vision.FaceDetector.create_from_model_path(str(detector_path))
                except (RuntimeError, ValueError) as error:
                    raise ModelError(f"{detector_path}: not a face detector; get {_WHERE['face detector']}") from error
            # The first call writes more of them.
            self.find(np.zeros((64, 64, 3), np.uint8))

    def __enter__(self) -> FaceFinder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the models."""
        with _quiet_native_logs():
            self._landmarker.close()
            if self._detector is not None:
                self._detector.close()

    def _image(self, pixels: np.ndarray) -> Any:
        image_format = self._mediapipe.ImageFormat.SRGB
        return self._mediapipe.Image(image_format=image_format, data=np.ascontiguousarray(pixels))

    def find(self, pixels: np.ndarray) -> list[Face]:
        """Faces of a picture (H, W, 3) uint8, tallest first; those under a tenth of the picture are often missed."""
        return self._find_in(pixels, 0, 0, pixels.shape[1], pixels.shape[0])

    def _find_in(self, pixels: np.ndarray, left: int, top: int, right: int, bottom: int) -> list[Face]:
        left, top = max(0, left), max(0, top)
        part = pixels[top:bottom, left:right]
        if min(part.shape[:2]) < 16:
            return []
        result = self._landmarker.detect(self._image(part))
        faces = []
        scale = np.array([part.shape[1], part.shape[0], part.shape[1]], np.float32)
        for marks, shapes in zip(result.face_landmarks, result.face_blendshapes, strict=True):
            points = np.array([[mark.x, mark.y, mark.z] for mark in marks], np.float32) * scale
            points[:, :2] += (left, top)
            faces.append(Face(points, np.array([shape.score for shape in shapes], np.float32)))
        return sorted(faces, key=lambda face: -face.height)

    def find_near(self, pixels: np.ndarray, box: np.ndarray) -> Face | None:
        """The face nearest to where it was a moment ago (left, top, right, bottom), in a cut-out around it."""
        centre, reach = (box[:2] + box[2:]) / 2, 1.5 * float(max(box[2:] - box[:2]))
        edges = [*(centre - reach), *(centre + reach)]
        faces = self._find_in(pixels, *(int(edge) for edge in edges))
        if not faces:
            return None
        nearest = min(faces, key=lambda face: float(np.linalg.norm((face.box[:2] + face.box[2:]) / 2 - centre)))
        return nearest if overlap(nearest.box, box) > 0.2 else None

    def search(self, pixels: np.ndarray) -> list[Face]:
        """Faces of a picture, small ones included: whole picture first, then overlapping tiles."""
        faces = self.find(pixels)
        if faces:
            return faces
        height, width = pixels.shape[:2]
        for share in (0.6, 0.35):
            side = int(min(height, width) * share)
            if side < 160:
                break
            for top in _starts(height, side):
                for left in _starts(width, side):
                    if not self._may_hold_face(pixels[top : top + side, left : left + side]):
                        continue
                    for face in self._find_in(pixels, left, top, left + side, top + side):
                        if all(overlap(face.box, known.box) < 0.3 for known in faces):
                            faces.append(face)
            if faces:
                break
        return sorted(faces, key=lambda face: -face.height)

    def _may_hold_face(self, tile: np.ndarray) -> bool:
        return self._detector is None or bool(self._detector.detect(self._image(tile)).detections)

    def mirror_error(self, pixels: np.ndarray, face: Face) -> float:
        """How much landmarks move when the picture is mirrored, in face heights.

        On human faces the two answers agree (under 0.015 on photographs, paintings and drawings tried); on what only
        resembles one (0.07 on a dog) the model guesses, and guesses differently. Infinite where the mirrored picture
        shows it nothing.
        """
        width = pixels.shape[1]
        box = face.box[[2, 1, 0, 3]] * (-1, 1, -1, 1) + (width, 0, width, 0)
        twin = self.find_near(pixels[:, ::-1], box)
        if twin is None:
            return float("inf")
        mirrored = twin.points[_MIRROR_OF, :2] * (-1, 1) + (width, 0)
        return float(np.linalg.norm(face.points[_MIRRORED, :2] - mirrored, axis=1).mean() / face.height)


# Nose tip, chin, forehead; outer and inner eye corners, mouth corners, cheek edges: (point, its mirror image).
_MIRRORED = np.array([1, 152, 10, 33, 263, 133, 362, 61, 291, 234, 454])
_MIRROR_OF = np.array([1, 152, 10, 263, 33, 362, 133, 291, 61, 454, 234])
MAX_MIRROR_ERROR = 0.04


def _starts(length: int, side: int) -> list[int]:
    """Where tiles of one side begin so that they cover the length and overlap by a half."""
    count = max(1, -(-2 * (length - side) // side) + 1)
    return [round(position) for position in np.linspace(0, length - side, count)]


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two boxes (left, top, right, bottom)."""
    sides = np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2])
    shared = float(np.prod(np.maximum(sides, 0)))
    areas = float(np.prod(first[2:] - first[:2])) + float(np.prod(second[2:] - second[:2]))
    return shared / (areas - shared) if areas > shared else 0.0
