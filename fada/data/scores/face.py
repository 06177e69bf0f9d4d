"""Where the face of a clip is and what it does, frame by frame: from landmarks, or from a drawn clip's own truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fada.data.clips.clip import Clip
from fada.data.clips.clip_files import clip_file
from fada.data.prepare import measure
from fada.data.prepare.landmarks import landmark_arrays, write_landmarks
from fada.data.prepare.masks import read_landmarks
from fada.data.prepare.models import Face, FaceFinder, overlap

_FACE_OF_HEAD = 0.805
"""Forehead to chin, as the landmarks have it, over the height of the drawn head."""
_WIDTH_OF_FACE = 0.8
"""Cheek to cheek, in heights from forehead to chin."""
_EYES_ABOVE = 0.045
"""How far the drawn eyes lie above the middle of the drawn head."""


@dataclass(frozen=True)
class FaceTrack:
    """Curves over the frames of a clip; lengths are shares of the picture's side unless said otherwise."""

    centre: np.ndarray
    """(F, 2): x, y of the nose's tip."""
    between_eyes: np.ndarray
    """(F, 2): the root of the nose, which speech does not move."""
    height: np.ndarray
    """(F,): forehead to chin."""
    opening: np.ndarray
    """(F,): distance of the inner lips in face heights."""
    lips: np.ndarray
    """(F,): the same in any unit, as steady as it can be had while the head turns."""
    jaw: np.ndarray
    """(F,): how open the jaw is, in any unit."""
    yaw: np.ndarray | None
    """(F,) degrees; None where only a flat picture of the face is known."""
    roll: np.ndarray | None
    """(F,) degrees."""
    width: np.ndarray | None = None
    """(F,) distance of the mouth's corners in any unit; None where it is not known."""
    landmark_boxes: np.ndarray | None = None
    """(F, 4): left, top, right, bottom of the landmarks; None where there are none."""

    @property
    def boxes(self) -> np.ndarray:
        """left, top, right, bottom (F, 4) of the face in each frame, without hair."""
        if self.landmark_boxes is not None:
            return self.landmark_boxes
        half = np.array([_WIDTH_OF_FACE, 1.0]) * self.height[:, None] / 2
        return np.concatenate([self.centre - half, self.centre + half], axis=1)

    @property
    def box(self) -> np.ndarray:
        """left, top, right, bottom (4,) of a typical frame: forehead to chin, cheek to cheek."""
        half = 0.5 * float(np.median(self.height))
        middle = np.median(self.centre, axis=0)
        across = _WIDTH_OF_FACE * half
        return np.array([middle[0] - across, middle[1] - half, middle[0] + across, middle[1] + half])


def find_face(folder: Path, clip: Clip, finder: FaceFinder | None) -> FaceTrack | None:
    """The face of a clip; None where nothing tells where it is.

    Landmarks beside the clip are read; without them the finder looks now and leaves them there; without a finder a
    drawn clip's truth says where the face is, and the pixels how far the mouth is open.
    """
    if clip_file(folder, clip.key, ".landmarks.safetensors").is_file():
        return _from_landmarks(read_landmarks(folder, clip.key))
    if finder is not None:
        return _look(folder, clip, finder)
    if "truth" in clip.meta:
        return _from_truth(clip)
    return None


def _from_landmarks(stored: dict[str, np.ndarray]) -> FaceTrack:
    points = stored["landmarks"]
    return FaceTrack(
        centre=measure.nose_tip(points),
        between_eyes=measure.nose_root(points),
        height=measure.face_heights(points),
        opening=stored["lip_opening"],
        lips=stored.get("lips_in_depth", stored["lip_opening"]),
        jaw=stored["blendshapes"][:, measure.JAW_OPEN],
        yaw=stored.get("yaw"),
        roll=measure.rolls(points),
        width=stored.get("lip_width", measure.lip_width(points)),
        landmark_boxes=np.concatenate([points[:, :, :2].min(axis=1), points[:, :, :2].max(axis=1)], axis=1),
    )


def _look(folder: Path, clip: Clip, finder: FaceFinder) -> FaceTrack | None:
    """Find the face in every frame; a gap repeats what was seen before it."""
    size = clip.frames.shape[1]
    found: list[Face | None] = []
    last: Face | None = None
    for pixels in clip.frames:
        faces = finder.find(pixels)
        if faces:
            known = faces[0].box if last is None else last.box
            last = max(faces, key=lambda face: overlap(face.box, known))
        found.append(last)
    first = next((face for face in found if face is not None), None)
    if first is None:
        return None
    whole = [first if face is None else face for face in found]
    points = np.stack([face.points for face in whole])
    shapes = np.stack([face.blendshapes for face in whole])
    arrays = landmark_arrays(points, shapes, points[:, :, :2] / size)
    write_landmarks(clip_file(folder, clip.key, ".json").parent, clip.key, arrays)
    return _from_landmarks({name: value.astype(np.float32) for name, value in arrays.items()})


def _from_truth(clip: Clip) -> FaceTrack:
    # The drawn world takes seconds to import, and real clips need none of it.
    from fada.data.world.measure import measure_aperture

    truth = clip.meta["truth"]
    size, count = truth["size"], len(clip.frames)
    height = _FACE_OF_HEAD * 2.0 * truth["person"]["head"][1]
    opening = measure_aperture(clip.frames, truth) / (clip.frames.shape[1] * height)
    centre = np.asarray(truth["head_centre"], np.float64)[:count] / size
    return FaceTrack(centre, centre - (0.0, _EYES_ABOVE), np.full(count, height), opening, opening, opening, None, None)
