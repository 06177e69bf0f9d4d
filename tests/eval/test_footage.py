from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from fada.data.prepare.models import Face
from fada.eval.bench.footage import FaceReader, FaceReading, Footage
from fada.eval.metrics.not_measurable import NotMeasurable


def reading(missing: tuple[int, ...], count: int = 20) -> FaceReading:
    """A face whose every number is the frame's, without some frames."""
    numbers = np.arange(count, dtype=float)
    numbers[list(missing)] = np.nan
    points, shapes = np.ones((count, 478, 3)), np.ones((count, 52))
    return FaceReading(points * numbers[:, None, None], shapes * numbers[:, None], (64, 64))


@dataclass
class Finder:
    """Finds one face in bright pictures; counts how often it is asked."""

    asked: int = 0

    def find(self, pixels: np.ndarray) -> list[Face]:
        self.asked += 1
        level = float(pixels.mean())
        points = np.full((478, 3), level, np.float32)
        points[0], points[1] = 0, 60
        return [Face(points, np.full(52, level / 255, np.float32))] if level > 10 else []


def footage(**changes) -> Footage:
    frames = np.full((4, 64, 64, 3), 90, np.uint8)
    return Footage(frames=frames, audio=np.zeros(2560), fps=25.0, sample_rate=16000, reference=frames[0], **changes)


def test_gaps_repeat_the_frame_before_and_at_the_start_the_first_found() -> None:
    whole = reading((0, 7)).whole()
    assert whole.blendshapes[:9, 0].tolist() == [1, 1, 2, 3, 4, 5, 6, 6, 8]
    assert whole.points[7, 5, 1] == 6


def test_more_than_a_tenth_without_a_face_is_not_measurable() -> None:
    with pytest.raises(NotMeasurable, match="no face found in 3 of 20 frames"):
        reading((4, 5, 6)).whole()


def test_a_track_wants_a_square_picture() -> None:
    wide = FaceReading(np.zeros((2, 478, 3)), np.zeros((2, 52)), (64, 80))
    with pytest.raises(NotMeasurable, match="needs a square picture, got 80x64"):
        wide.track()


def test_a_video_is_looked_at_once_and_frames_without_a_face_are_nan() -> None:
    finder = Finder()
    reader = FaceReader(finder)  # type: ignore[arg-type]
    frames = np.stack([np.full((64, 64, 3), level, np.uint8) for level in (90, 0, 120)])
    assert reader.read(frames).found.tolist() == [True, False, True]
    assert reader.read(frames.copy()).blendshapes[2, 0] == pytest.approx(120 / 255)
    assert finder.asked == 3


def test_footage_without_landmarker_or_truth_says_so() -> None:
    with pytest.raises(NotMeasurable, match="there is no face landmarker"):
        footage().face()
    with pytest.raises(NotMeasurable, match="the clip has no true video"):
        footage().true_face()


def test_footage_reads_its_own_face_the_true_one_and_the_portraits() -> None:
    reader = FaceReader(Finder())  # type: ignore[arg-type]
    seen = footage(truth_frames=np.full((3, 64, 64, 3), 120, np.uint8), read_face=reader.read)
    faces = (seen.face(), seen.true_face(), seen.portraits_face())
    assert [len(face.points) for face in faces] == [4, 3, 1]
    assert faces[1].jaw_open[0] == pytest.approx(120 / 255)
