"""What the metrics of real footage look at: a video with its sound, and the face in it, found once.

Faces come from MediaPipe's landmarker, or from the mesh alone, frame by frame without smoothing over time.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from fada.data.prepare import measure
from fada.data.prepare.models import Face, overlap
from fada.eval.metrics.not_measurable import NotMeasurable

if TYPE_CHECKING:
    from fada.data.scores.face import FaceTrack

LARGEST_GAP = 0.1
"""Share of frames without a face up to which the frame before stands in for them."""
_REMEMBERED = 8
"""Videos whose faces are kept: a clip's truth is asked for by every system."""


@dataclass(frozen=True, eq=False)
class FaceReading:
    """One face over the frames of a video; NaN where none was found.

    points: (F, 478, 3) landmarks in pixels; blendshapes: (F, 52) in [0, 1], NaN where they come from the mesh alone.
    """

    points: np.ndarray
    blendshapes: np.ndarray
    size: tuple[int, int]
    """Height and width of the picture."""

    @property
    def found(self) -> np.ndarray:
        """(F,) bool: whether a face was found."""
        return np.isfinite(self.points[:, 0, 0])

    def whole(self) -> FaceReading:
        """The same without gaps: a frame without a face repeats the one before it (at the start, the first found).

        Raises:
            NotMeasurable: no face in more than a tenth of the frames.
        """
        found = self.found
        missing = int((~found).sum())
        if missing > LARGEST_GAP * len(found):
            raise NotMeasurable(f"no face found in {missing} of {len(found)} frames")
        last = np.maximum.accumulate(np.where(found, np.arange(len(found)), -1))
        last[last < 0] = int(np.flatnonzero(found)[0])
        return FaceReading(self.points[last], self.blendshapes[last], self.size)

    @property
    def lip_opening(self) -> np.ndarray:
        """(F,) distance of the inner lips in face heights, NaN where no face was found."""
        return measure.lip_opening(self.points)

    @property
    def jaw_open(self) -> np.ndarray:
        """(F,) MediaPipe's jawOpen."""
        return self.blendshapes[:, measure.JAW_OPEN]

    @property
    def jaw_drop(self) -> np.ndarray:
        """(F,) length of the lower face over that of the forehead: what the mesh alone says of the jaw."""
        return measure.jaw_drop(self.points)

    def track(self) -> FaceTrack:
        """The face as `fada.data.scores` knows it, in shares of the picture's side.

        Raises:
            NotMeasurable: the picture is not square.
        """
        from fada.data.scores.face import FaceTrack

        height, width = self.size
        if height != width:
            raise NotMeasurable(f"the face's crop needs a square picture, got {width}x{height}")
        points = self.points
        return FaceTrack(
            centre=measure.nose_tip(points) / height,
            between_eyes=measure.nose_root(points) / height,
            height=measure.face_heights(points) / height,
            opening=self.lip_opening,
            lips=measure.lip_opening_in_depth(points),
            jaw=self.jaw_open,
            yaw=measure.yaws(points),
            roll=measure.rolls(points),
        )


class Finder(Protocol):
    """What finds the faces of a picture (H, W, 3) uint8: `FaceFinder`, `MeshFinder`."""

    def find(self, pixels: np.ndarray) -> list[Face]: ...


class FaceReader:
    """Reads the face of videos, and remembers the last few of them."""

    def __init__(self, finder: Finder) -> None:
        self.finder = finder
        self._known: OrderedDict[str, FaceReading] = OrderedDict()

    def read(self, frames: np.ndarray) -> FaceReading:
        """The face of a video (F, H, W, 3) uint8: the tallest of the first frame that has one, then the nearest."""
        key = hashlib.sha256(np.ascontiguousarray(frames).tobytes()).hexdigest()
        if key not in self._known:
            self._known[key] = self._look(frames)
        self._known.move_to_end(key)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return self._known[key]

    def _look(self, frames: np.ndarray) -> FaceReading:
        points = np.full((len(frames), 478, 3), np.nan)
        blendshapes = np.full((len(frames), 52), np.nan)
        last: Face | None = None
        for place, pixels in enumerate(frames):
            faces = self.finder.find(pixels)
            if faces:
                known = faces[0].box if last is None else last.box
                last = max(faces, key=lambda face: overlap(face.box, known))
                points[place], blendshapes[place] = last.points, last.blendshapes
        return FaceReading(points, blendshapes, frames.shape[1:3])


@dataclass(frozen=True, eq=False)
class Footage:
    """A generated video with the sound it was made from, and the true video, where there is one."""

    frames: np.ndarray
    audio: np.ndarray
    fps: float
    sample_rate: int
    reference: np.ndarray
    """The portrait, uint8 (H, W, 3)."""
    truth_frames: np.ndarray | None = None
    read_face: Callable[[np.ndarray], FaceReading] | None = None

    def face(self) -> FaceReading:
        """The video's face without gaps.

        Raises:
            NotMeasurable: too few faces, or nothing to find them with.
        """
        return self._read(self.frames)

    def true_face(self) -> FaceReading:
        """The true video's face without gaps; raises as ``face`` does."""
        return self._read(self.truth())

    def portraits_face(self) -> FaceReading:
        """The face of the portrait, as a video of one frame; raises as ``face`` does."""
        return self._read(self.reference[None])

    def truth(self) -> np.ndarray:
        """The true video.

        Raises:
            NotMeasurable: there is none.
        """
        if self.truth_frames is None:
            raise NotMeasurable("the clip has no true video")
        return self.truth_frames

    def _read(self, frames: np.ndarray) -> FaceReading:
        if self.read_face is None:
            raise NotMeasurable("there is no face landmarker")
        return self.read_face(frames).whole()
