"""Where a drawn person's head is in pictures, and how near the pictures come to that person there.

Generated heads move in ways of their own (version 2 of the world), so that a face can be compared with its truth only
where it is. The person is known: it is painted at rest at every place within reach, and the place that fits the upper
half of the face best is taken.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from fada.data.world.backdrop import paint_backdrop
from fada.data.world.face import paint_frames
from fada.data.world.identity import Identity, identity_from_meta
from fada.data.world.motion import Motion

REACH = 0.055
"""How far from its middle a head is looked for, as a share of the side."""
STEP_PX = 0.5
"""Distance of the places that are tried."""
_ABOVE_MOUTH = 0.06
"""The rows that are compared end this far above the closed lips, as a share of the side."""


@dataclass(frozen=True)
class HeadSeen:
    """offset: (F, 2) px that the head is from its middle, x right and y down; error: (F,) mean absolute difference from
    the person painted there, grey levels of 255, over the head above the mouth."""

    offset: np.ndarray
    error: np.ndarray


def measure_head(frames: np.ndarray, truth: Mapping[str, Any]) -> HeadSeen:
    """Place and likeness of the head in each frame.

    Args:
        frames: uint8 (F, H, H, 3), true or generated.
        truth: ``meta["truth"]`` of the drawn clip.
    """
    size = frames.shape[1]
    offsets, painted, rows, columns = _bank(json.dumps(truth["person"], sort_keys=True), size)
    painted = painted.astype(np.float32)
    seen = frames[:, rows, columns].reshape(len(frames), -1).astype(np.float32)
    squares = np.square(seen).sum(1)[:, None] - 2.0 * seen @ painted.T + np.square(painted).sum(1)
    best = squares.argmin(1)
    error = np.abs(seen - painted[best]).mean(1)
    side = round(len(offsets) ** 0.5)
    return HeadSeen(offsets[best] + _between(squares.reshape(-1, side, side), best) * STEP_PX, error)


def _between(squares: np.ndarray, best: np.ndarray) -> np.ndarray:
    """(F, 2) share of a step by which the least of a parabola through the neighbours lies beside `best`, x then y."""
    side = squares.shape[1]
    each = np.arange(len(squares))
    row, column = np.divmod(best, side)
    inner_row, inner_column = np.clip(row, 1, side - 2), np.clip(column, 1, side - 2)

    def vertex(before: np.ndarray, at: np.ndarray, after: np.ndarray, is_inner: np.ndarray) -> np.ndarray:
        curve = np.maximum(before - 2.0 * at + after, 1e-9)
        return np.where(is_inner, np.clip(0.5 * (before - after) / curve, -0.5, 0.5), 0.0)

    middle = squares[each, inner_row, inner_column]
    across = vertex(
        squares[each, inner_row, inner_column - 1],
        middle,
        squares[each, inner_row, inner_column + 1],
        column == inner_column,
    )
    down = vertex(
        squares[each, inner_row - 1, inner_column], middle, squares[each, inner_row + 1, inner_column], row == inner_row
    )
    return np.stack([across, down], axis=1)


@lru_cache(maxsize=64)
def _bank(person: str, size: int) -> tuple[np.ndarray, np.ndarray, slice, slice]:
    """Offsets (N, 2) px, the person painted there (N, values), and the rows and columns that are compared."""
    identity = identity_from_meta(json.loads(person))
    count = 2 * round(REACH * size / STEP_PX) + 1
    line = (np.arange(count) - count // 2) * STEP_PX
    offsets = np.stack([grid.ravel() for grid in np.meshgrid(line, line)], axis=1)
    rows, columns = _compared(identity, size)
    backdrop = paint_backdrop(identity, size)
    backdrops = np.broadcast_to(backdrop[:, None], (3, len(offsets), size, size))
    painted = paint_frames(identity, at_rest(offsets / size), backdrops)[:, rows, columns]
    return offsets, painted.reshape(len(offsets), -1), rows, columns


def _compared(identity: Identity, size: int) -> tuple[slice, slice]:
    """The head above the mouth, wherever within reach it is."""
    across, high = 1.15 * identity.head[0] + REACH, 1.15 * identity.head[1] + REACH
    mouth = identity.centre[1] + 0.53 * identity.head[1]
    rows = slice(max(0, round((identity.centre[1] - high) * size)), round((mouth - _ABOVE_MOUTH) * size))
    columns = slice(max(0, round((0.5 - across) * size)), min(size, round((0.5 + across) * size)))
    return rows, columns


def at_rest(head: np.ndarray) -> Motion:
    """A silent, neutral face whose head is at `head` (F, 2), shares of the side."""
    zeros, pairs = np.zeros(len(head)), np.zeros((len(head), 2))
    return Motion(zeros, zeros + 0.55, zeros + 0.3, zeros, head, zeros, pairs, zeros, pairs)
