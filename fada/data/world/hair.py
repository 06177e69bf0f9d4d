"""Hair in nine styles: what hangs behind the neck, and what lies over the forehead."""

import numpy as np

from fada.data.world.canvas import Canvas, Patch
from fada.data.world.identity import Identity


def paint_back_hair(canvas: Canvas, head: np.ndarray, identity: Identity) -> None:
    """The hair behind head and neck, for the styles that have any."""
    half, high = identity.head
    patch = canvas.patch(head, (-half - 0.2, -high - 0.2, half + 0.2, high + 0.3))
    style = identity.hair_style
    if style == "long":
        shape = np.minimum(_crown(patch, half, high, 0.055), _box(patch, half + 0.050, -0.05, high + 0.22, 0.08))
    elif style == "bob":
        shape = np.minimum(_crown(patch, half, high, 0.060), _box(patch, half + 0.060, -0.05, 0.62 * high, 0.09))
    elif style == "curly":
        shape = _curls(patch, half + 0.055, high + 0.015, -0.05)
    elif style == "bun":
        shape = patch.ellipse(0.10 * identity.hair_shift * half, -high - 0.045, 0.105, 0.085)
    else:
        return
    canvas.paint(patch, patch.cover(shape), np.array(identity.hair) * 0.78)


def paint_front_hair(canvas: Canvas, head: np.ndarray, identity: Identity) -> None:
    """The hair over the head, cut out along the hairline."""
    half, high = identity.head
    style, shift = identity.hair_style, identity.hair_shift
    if style == "bald":
        return
    patch = canvas.patch(head, (-half - 0.12, -high - 0.12, half + 0.12, 0.75 * high))
    thickness = {"buzz": 0.012, "quiff": 0.026, "curly": 0.050, "bun": 0.018}.get(style, 0.030)
    if style == "curly":
        crown = _curls(patch, half + 0.045, high + 0.005, -0.055)
    else:
        crown = _crown(patch, half, high, thickness)
    shape = np.maximum(crown, -_face_window(patch, identity))
    lowest = {"long": 0.60 * high, "bob": 0.52 * high, "curly": 0.0}.get(style, -0.03)
    # Short hair ends in a slant: sideburns reach lower than the hair over the ears.
    slant = 0.0 if style in ("long", "bob") else 1.1
    shape = np.maximum(shape, 0.7 * (patch.y - lowest - slant * (half - np.abs(patch.x))))
    if style == "quiff":
        shape = np.minimum(shape, patch.ellipse(0.3 * shift * half, -high + 0.02, 0.66 * half, 0.075))
    cover = patch.cover(shape)
    # Strands: slow stripes that follow the crown, and a light band across it.
    angle = np.arctan2(patch.x - 0.25 * shift * half, -patch.y + 0.2)
    radius = np.sqrt(np.square(patch.x / half) + np.square(patch.y / high))
    shine = np.exp(-np.square((radius - 0.93) / 0.07)) * np.exp(-np.square((angle - 0.35 * identity.light) / 0.4))
    tone = 1.0 + 0.09 * np.sin(angle * 22.0) + 0.35 * shine
    opacity = 0.75 if style == "buzz" else 1.0
    canvas.paint(patch, cover, [channel * tone + 0.05 * shine for channel in identity.hair], opacity=opacity)


def _face_window(patch: Patch, identity: Identity) -> np.ndarray:
    """Signed distance to the part of the head that stays free of hair (negative inside)."""
    half, high = identity.head
    shift = identity.hair_shift
    style = identity.hair_style
    if style == "fringe":
        tips = -0.42 * high + 0.05 * np.square(patch.x / half) - 0.008 * np.abs(np.cos(patch.x * 45.0))
        return np.maximum(patch.ellipse(0.0, 0.25, 0.88 * half, 0.25 + 0.60 * high), tips - patch.y)
    if style in ("side_part", "bob", "long"):
        # The hair falls from the parting to both sides, further on the side away from it.
        away = (patch.x - 0.4 * shift * half) / half
        longer = np.sign(-shift) * away > 0
        fall = np.where(longer, 0.42, 0.80) if style == "side_part" else 0.46
        hairline = high * (-0.76 + fall * np.abs(away) ** 1.5)
        sides = patch.ellipse(0.0, 0.25, (0.90 if style == "side_part" else 0.84) * half, 0.25 + 0.62 * high)
        return np.maximum(sides, 0.8 * (hairline - patch.y))
    if style == "quiff":
        return patch.ellipse(0.06 * shift, 0.20, 0.93 * half, 0.20 + 0.68 * high)
    if style == "curly":
        wave = 0.012 * np.cos(np.arctan2(patch.x, 0.1 - patch.y) * 14.0)
        return patch.ellipse(0.0, 0.22, 0.88 * half, 0.22 + 0.56 * high) + wave
    return patch.ellipse(0.0, 0.20, 0.92 * half, 0.20 + 0.66 * high)


def _crown(patch: Patch, half: float, high: float, thickness: float) -> np.ndarray:
    return patch.ellipse(0.0, -0.3 * thickness, half + thickness, high + thickness)


def _box(patch: Patch, half: float, top: float, bottom: float, corner: float) -> np.ndarray:
    """Signed distance to a rectangle with round lower corners."""
    x = np.abs(patch.x) - half + corner
    y = np.abs(patch.y - 0.5 * (top + bottom)) - 0.5 * (bottom - top) + corner
    outside = np.sqrt(np.square(np.maximum(x, 0.0)) + np.square(np.maximum(y, 0.0)))
    return outside + np.minimum(np.maximum(x, y), 0.0) - corner


def _curls(patch: Patch, half: float, high: float, centre_y: float) -> np.ndarray:
    """An ellipse with a scalloped edge."""
    angle = np.arctan2(patch.x, -(patch.y - centre_y))
    return patch.ellipse(0.0, centre_y, half, high) - 0.016 * np.abs(np.sin(angle * 7.0))
