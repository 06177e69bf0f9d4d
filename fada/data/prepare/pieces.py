"""The frames of a source that become clips: kept while the face is looked for, then cut into squares.

What was kept (:class:`fada.media.part_store.PartStore`) is cut from there; for pieces of which something is missing the
video is decoded a second time. The pictures are the same either way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fada.data.prepare.crop import CropBox
from fada.engine.clock import Clock
from fada.media.colour import ColourConverter
from fada.media.error import MediaError
from fada.media.part_store import PartStore
from fada.media.pictures import Picture, iterate_pictures

_ROOM = 0.35
"""How far, in face heights, the square may lie beside where it would lie if this frame decided alone."""
_REMEMBERED = 50
"""Frames that decide together what is kept of the last one: a square that stands still follows no sudden move."""


@dataclass(eq=False)
class Piece:
    """Frames [start, end) of the video that become one clip."""

    key: str
    start: int
    end: int
    points: np.ndarray
    blendshapes: np.ndarray
    box: CropBox
    meta: dict[str, Any]


class HeadKeeper:
    """Keeps what the square of a clip may need of each frame.

    Args:
        store: where.
        margin: side of the square in face heights.
    """

    def __init__(self, store: PartStore, margin: float) -> None:
        self._store, self._reach = store, margin / 2 + _ROOM
        self._needed: deque[np.ndarray] = deque(maxlen=_REMEMBERED)

    def keep(self, number: int, picture: Picture, face: np.ndarray) -> None:
        """Keep the head's surroundings.

        Args:
            face: left, top, right, bottom in pixels of the picture.
        """
        if picture.planes is None:
            return
        size = np.array(picture.size[::-1])
        half = self._reach * float(max(face[2:] - face[:2]))
        # Squares are moved into the picture where they can be.
        room = np.minimum(half, size / 2)
        middle = np.clip((face[:2] + face[2:]) / 2, room, size - room)
        self._needed.append(np.array([*(middle - half), *(middle + half)]))
        needed = np.stack(self._needed)
        left, top, right, bottom = (float(edge) for edge in (*needed[:, :2].min(axis=0), *needed[:, 2:].max(axis=0)))
        self._store.keep(number, picture.planes.copy(left, top, right - left, bottom - top))


def cut_pieces(
    path: Path, pieces: list[Piece], size: int, fps: float, store: PartStore, clock: Clock
) -> Iterator[tuple[Piece, np.ndarray]]:
    """Each piece, in order of time, with its frames uint8 (F, size, size, 3).

    Raises:
        MediaError: the video gives fewer frames than before.
    """
    colours = ColourConverter(path)
    missing = [piece for piece in pieces if not _is_kept(piece, size, store)]
    again = _cut_again(path, missing, size, fps, clock)
    for piece in pieces:
        if piece in missing:
            yield piece, next(again)
            continue
        frames = np.empty((piece.end - piece.start, size, size, 3), np.uint8)
        for index, (left, top) in enumerate(piece.box.corners()):
            part = store.part(piece.start + index)
            frames[index] = part.square(float(left), float(top), piece.box.side, size, colours)
        yield piece, frames


def _is_kept(piece: Piece, size: int, store: PartStore) -> bool:
    return all(
        store.covers(number, float(left), float(top), piece.box.side, size)
        for number, (left, top) in enumerate(piece.box.corners(), piece.start)
    )


def _cut_again(path: Path, pieces: list[Piece], size: int, fps: float, clock: Clock) -> Iterator[np.ndarray]:
    """The frames of each piece, out of a second pass over the video."""
    waiting = list(pieces)
    frames: list[np.ndarray] = []
    if not waiting:
        return
    for index, picture in enumerate(clock.each("decode", iterate_pictures(path, fps))):
        piece = waiting[0]
        if index < piece.start:
            continue
        left, top = piece.box.corners()[index - piece.start]
        frames.append(picture.square(float(left), float(top), piece.box.side, size))
        if index + 1 == piece.end:
            yield np.stack(frames)
            frames = []
            waiting.pop(0)
            if not waiting:
                return
    raise MediaError(f"{path}: gave fewer frames when read again; the file changed or is damaged")
