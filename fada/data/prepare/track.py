"""Following the main face through a video and cutting it into stretches with one steady face."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from fada.data.prepare.cuts import CutFinder
from fada.data.prepare.models import Face, FaceFinder, overlap

_SEARCH_EVERY = 12
"""While no face is known, small ones are searched for every this many frames (a search costs up to 40 looks)."""
_SAME_FACE_OVERLAP = 0.25
_SAMPLED_PICTURES = 5


@dataclass
class Stretch:
    """Frames [start, end) in which one face is followed without a break."""

    start: int
    end: int = 0
    points: list[np.ndarray | None] = field(default_factory=list)
    """Per frame (478, 3), None where the face was missed."""
    blendshapes: list[np.ndarray | None] = field(default_factory=list)
    other_heights: list[float] = field(default_factory=list)
    """Per frame, height of the tallest other face relative to the main one; 0 without one."""
    mirror_errors: list[float] = field(default_factory=list)
    last_box: np.ndarray = field(default_factory=lambda: np.zeros(4))

    @property
    def share_found(self) -> float:
        """Share of frames in which the face was found."""
        return float(np.mean([points is not None for points in self.points])) if self.points else 0.0

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Landmarks float32 (F, 478, 3) and blendshapes float32 (F, 52), gaps filled by straight lines."""
        return _fill(self.points), _fill(self.blendshapes)


def _fill(values: list[np.ndarray | None]) -> np.ndarray:
    known = [index for index, value in enumerate(values) if value is not None]
    stacked = np.stack([value for value in values if value is not None]).astype(np.float32)
    if len(known) == len(values):
        return stacked
    positions = np.interp(np.arange(len(values)), known, np.arange(len(known)))
    lower = np.floor(positions).astype(int)
    upper = np.minimum(lower + 1, len(known) - 1)
    weight = (positions - lower).reshape(-1, *[1] * (stacked.ndim - 1)).astype(np.float32)
    return (1 - weight) * stacked[lower] + weight * stacked[upper]


@dataclass
class Track:
    """What was seen in a whole video."""

    frame_count: int
    found_count: int
    """Frames with at least one face."""
    frame_size: tuple[int, int]
    """Height and width in pixels."""
    stretches: list[Stretch]


def follow(
    frames: Iterable[np.ndarray],
    finder: FaceFinder,
    max_gap: int,
    on_face: Callable[[int, np.ndarray], None] | None = None,
) -> Track:
    """Follow the main face (the tallest at its first appearance) until it jumps, stays away, or the scene ends.

    Args:
        frames: uint8 (H, W, 3) each.
        finder: the models.
        max_gap: frames a face may be missed before its stretch ends.
        on_face: told, while a face is followed, the frame's number and where the face is (left, top, right, bottom) or
            was last seen.

    Returns:
        Stretches in order of time; each begins and ends with a frame in which the face was found.
    """
    track = Track(0, 0, (0, 0), [])
    current: Stretch | None = None
    cuts = CutFinder()
    for index, pixels in enumerate(frames):
        track.frame_count = index + 1
        track.frame_size = (pixels.shape[0], pixels.shape[1])
        if cuts.begins_scene(pixels) and current is not None:
            _close(track, current)
            current = None
        faces = finder.find(pixels)
        main = _same_face(faces, current)
        if main is None and current is not None:
            main = finder.find_near(pixels, current.last_box)
            # Found elsewhere in the picture only: a cut to another view, which is another stretch.
            if main is None and faces:
                _close(track, current)
                current = None
        if current is None:
            if not faces and index % _SEARCH_EVERY == 0:
                faces = finder.search(pixels)
            if faces:
                current, main = Stretch(index), faces[0]
        track.found_count += main is not None
        if current is None:
            continue
        _append(current, main, faces, index)
        if on_face is not None:
            on_face(index, current.last_box)
        if main is not None and (index - current.start) % 25 == 0 and len(current.mirror_errors) < _SAMPLED_PICTURES:
            current.mirror_errors.append(finder.mirror_error(pixels, main))
        if index + 1 - current.end > max_gap:
            _close(track, current)
            current = None
    if current is not None:
        _close(track, current)
    return track


def _same_face(faces: list[Face], current: Stretch | None) -> Face | None:
    if current is None or not faces:
        return None
    best = max(faces, key=lambda face: overlap(face.box, current.last_box))
    return best if overlap(best.box, current.last_box) > _SAME_FACE_OVERLAP else None


def _append(stretch: Stretch, main: Face | None, faces: list[Face], index: int) -> None:
    stretch.points.append(None if main is None else main.points)
    stretch.blendshapes.append(None if main is None else main.blendshapes)
    others = [0.0]
    if main is not None:
        others += [face.height / main.height for face in faces if overlap(face.box, main.box) < 0.3]
        stretch.last_box, stretch.end = main.box, index + 1
    stretch.other_heights.append(max(others))


def _close(track: Track, stretch: Stretch) -> None:
    length = stretch.end - stretch.start
    del stretch.points[length:], stretch.blendshapes[length:], stretch.other_heights[length:]
    track.stretches.append(stretch)
