"""The mouth, the part that matters: lips, dark inside, teeth, tongue, and where its edges are.

All edges are heights per column and covered exactly along y, so the height of the opening in pixels is the painted
area per column, even below one pixel.
"""

from dataclasses import dataclass

import numpy as np

from fada.data.world.canvas import Canvas, Patch
from fada.data.world.identity import Colour, Identity

MAX_OPENING = 0.145
"""Height of the opening at aperture 1 and mouth scale 1, as a share of the side."""
NARROWEST, WIDEST = 0.052, 0.125
"""Half width of the opening at width 0 and 1, at mouth scale 1."""
UPWARD_SHARE = 0.28
"""Share of the opening that lies above the line of the closed lips; the jaw does the rest."""

INSIDE = (0.16, 0.035, 0.05)
TEETH = (0.93, 0.91, 0.86)
TONGUE = (0.56, 0.17, 0.22)
CORNER_LIFT = 0.020
"""How far a smile lifts the corners, as a share of the side."""
LIP_REACH = 0.014
"""How far the lips go beyond the opening's corners, as a share of the side."""
JAW_SHARE = 0.42
"""How far the chin drops, as a share of the opening."""
_COLUMNS = 257
"""At which the lips' extremes are looked for; an odd number has the middle."""


@dataclass(frozen=True)
class MouthLook:
    """What of a mouth does not move; lengths are shares of the picture's side."""

    scale: float
    lip: tuple[float, float]
    """Thickness of the upper and the lower lip."""
    lip_colour: Colour
    skin: Colour
    height: float
    """How far below the head's centre the closed lips meet."""
    chin: float
    """How far below the head's centre the chin is when the mouth is closed."""
    light: float
    """Side the light comes from: -1 left, 1 right."""


def look_of(identity: Identity) -> MouthLook:
    """The mouth of a person."""
    return MouthLook(
        scale=identity.mouth_scale,
        lip=identity.lip,
        lip_colour=identity.lip_colour,
        skin=identity.skin,
        height=0.53 * identity.head[1],
        chin=identity.head[1],
        light=identity.light,
    )


def opening(look: MouthLook, aperture: np.ndarray) -> np.ndarray:
    """Height of the mouth opening in the middle, as a share of the side."""
    return MAX_OPENING * look.scale * aperture


def half_width(look: MouthLook, width: np.ndarray) -> np.ndarray:
    """Half width of the opening, as a share of the side."""
    return look.scale * (NARROWEST + (WIDEST - NARROWEST) * width)


def skin_light(x: np.ndarray, y: np.ndarray, light: float) -> np.ndarray:
    """Factor on the skin's colour at a place of the head; x and y run from -1 to 1 across it."""
    return 1.04 + 0.14 * light * x - 0.06 * y - 0.20 * np.clip(np.square(x) + np.square(y), 0.0, 1.21) ** 2


def paint_mouth(
    canvas: Canvas,
    point: np.ndarray,
    look: MouthLook,
    aperture: np.ndarray,
    width: np.ndarray,
    corners: np.ndarray | None = None,
) -> None:
    """Paint the mouth around `point` (f, 2), the middle of the closed lips.

    Args:
        aperture: (f,) in [0, 1].
        width: (f,) in [0, 1].
        corners: (f, 2) lift of the left and the right corner, 1 for a smile; the middle stays where it is.
    """
    reach = look.scale * (WIDEST + 0.03)
    patch = canvas.patch(point, (-reach, -0.11, reach, 0.19))
    # Columns are split in three: the corners' edges are steep, and one sample per pixel would show steps.
    shifts = np.array([-1.0, 0.0, 1.0]) / (3.0 * canvas.size)
    covers = [_cover(patch, look, aperture, width, shift, corners) for shift in shifts]
    upper, lower, inside, teeth, tongue, shadow, line = (np.stack(parts).mean(0) for parts in zip(*covers, strict=True))
    canvas.paint(patch, shadow, np.array(look.skin) * 0.55, opacity=0.45)
    canvas.paint(patch, upper, np.array(look.lip_colour) * 0.88)
    canvas.paint(patch, lower, look.lip_colour)
    canvas.paint(patch, inside, INSIDE)
    canvas.paint(patch, tongue, TONGUE)
    canvas.paint(patch, teeth, TEETH)
    canvas.paint(patch, line, INSIDE, opacity=0.75)


def _cover(
    patch: Patch,
    look: MouthLook,
    aperture: np.ndarray,
    width: np.ndarray,
    shift: float,
    corners: np.ndarray | None,
) -> tuple[np.ndarray, ...]:
    """Coverages of upper lip, lower lip, inside, teeth, tongue, shadow and line of closed lips, at shifted columns."""
    x = np.abs(patch.x + np.float32(shift))
    height = opening(look, aperture)[:, None, None].astype(np.float32)
    inner = half_width(look, width)[:, None, None].astype(np.float32)
    outer = inner + LIP_REACH
    arch, top, bottom, upper_edge, lower_edge = _edges(look, x, height, inner)
    teeth = np.clip(0.45 * (height - 0.014), 0.0, 0.030) * arch
    tongue = np.maximum(0.42 * height - 0.008, 0.0) * _arch(x, 0.8 * inner) ** 0.5
    is_closed = np.clip(1.0 - height * patch.size / 1.2, 0.0, 1.0)
    thin = 0.5 * np.float32(max(0.8 / patch.size, 0.007)) * _arch(x, inner) ** 0.3
    bands: list[tuple[np.ndarray, np.ndarray]] = [
        (upper_edge, top),
        (bottom, lower_edge),
        (top, bottom),
        (top, top + teeth),
        (bottom - tongue, bottom),
        (lower_edge, lower_edge + 0.014 * _arch(x, 0.7 * outer)),
        (-thin, thin),
    ]
    if corners is not None:
        lift = _lift(patch.x + np.float32(shift), outer, corners * look.scale)
        bands = [(upper - lift, lower - lift) for upper, lower in bands]
    *covers, line = (patch.band(upper, lower) for upper, lower in bands)
    return (*covers, line * is_closed)


def _edges(look: MouthLook, x: np.ndarray, height: np.ndarray, inner: np.ndarray) -> tuple[np.ndarray, ...]:
    """Heights at columns |x| of a mouth without a smile, from where its lips meet, `height` and half width `inner` of
    its opening given: the opening's arch in [0, 1], its top and bottom, the lips' upper and lower edge."""
    arch = _arch(x, inner) ** 0.6
    top, bottom = -UPWARD_SHARE * height * arch, (1.0 - UPWARD_SHARE) * height * arch
    body = _arch(x, inner + LIP_REACH) ** 0.75
    # Cupid's bow: the upper lip dips in the middle and is highest beside it.
    bow = 1.0 - 0.25 * np.exp(-np.square(x / 0.016))
    return arch, top, bottom, top - look.lip[0] * body * bow, bottom + look.lip[1] * body


def lip_corners(look: MouthLook, width: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """(F, 2, 2) where the lips end, left and right, from where they meet in the middle, as shares of the side."""
    outer = half_width(look, width) + LIP_REACH
    lift = CORNER_LIFT * corners * look.scale
    return np.stack([np.stack([-outer, outer], axis=1), -lift], axis=2)


def lip_boxes(look: MouthLook, aperture: np.ndarray, width: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """(F, 4) left, top, right, bottom of the painted lips, from where they meet in the middle, as shares of the side.

    Args:
        aperture, width: (F,) in [0, 1]. corners: (F, 2) as in `paint_mouth`.
    """
    inner = half_width(look, width)[:, None, None]
    outer = inner + LIP_REACH
    x = outer * np.linspace(-1.0, 1.0, _COLUMNS)
    *_, upper, lower = _edges(look, np.abs(x), opening(look, aperture)[:, None, None], inner)
    lift = _lift(x, outer, corners * look.scale)
    sides = outer[:, 0, 0]
    return np.stack([-sides, (upper - lift).min((1, 2)), sides, (lower - lift).max((1, 2))], axis=1)


def _lift(x: np.ndarray, outer: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """How far a mouth's edges are lifted in each column (f, 1, w): not in the middle, most at the corners."""
    left, right = (corners[:, side, None, None].astype(np.float32) for side in (0, 1))
    share = np.clip(np.abs(x) / outer, 0.0, 1.2)
    return CORNER_LIFT * np.where(x < 0.0, left, right) * share * share


def _arch(x: np.ndarray, half: np.ndarray) -> np.ndarray:
    return np.clip(1.0 - np.square(x / half), 0.0, 1.0)
