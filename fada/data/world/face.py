"""Painting whole frames: backdrop, body, hair, head and features, from an identity and its motion."""

import numpy as np

from fada.data.world.canvas import Canvas
from fada.data.world.hair import paint_back_hair, paint_front_hair
from fada.data.world.identity import Identity
from fada.data.world.motion import Motion
from fada.data.world.mouth import JAW_SHARE, look_of, opening, paint_mouth, skin_light

# Chunks of about this many pixels stay in the processor's cache.
_CHUNK_PIXELS = 1 << 17
_WHITE = (0.97, 0.97, 0.96)
_DARK = (0.10, 0.08, 0.09)
_EYE_LINE = -0.045
"""Height of the eyes, from the head's centre."""
WIDE, NARROW = 0.38, 0.45
"""By how much of a rested eye's opening lids of 1 widen it, and lids of -1 narrow it."""
SLANT = 0.020
"""How far a slant of 1 lifts the inner end of a brow and lowers the outer one, as a share of the side."""


def paint_frames(identity: Identity, motion: Motion, backdrops: np.ndarray) -> np.ndarray:
    """All frames of a motion as uint8 (F, size, size, 3), before `backdrops` (3, F, size, size) in [0, 1]."""
    size = backdrops.shape[-1]
    chunk = max(1, _CHUNK_PIXELS // (size * size))
    parts = [
        _paint_chunk(identity, motion.cut(first, chunk), backdrops[:, first : first + chunk])
        for first in range(0, len(motion.aperture), chunk)
    ]
    return np.concatenate(parts)


def head_points(identity: Identity, motion: Motion) -> np.ndarray:
    """(F, 2) where the head's centre is, as shares of the side."""
    return np.array(identity.centre) + motion.head


def mouth_points(identity: Identity, motion: Motion) -> np.ndarray:
    """(F, 2) where the closed lips meet in the middle, as shares of the side."""
    return head_points(identity, motion) + np.array([0.0, look_of(identity).height])


def eye_offset(identity: Identity, side: float) -> tuple[float, float]:
    """Where an eye is from the head's centre, the picture's left (side -1) or right (1): the middle between its
    corners, on the line on which the iris looks ahead; as a share of the side."""
    return side * identity.eye_gap, _EYE_LINE


def nose_offset(identity: Identity) -> tuple[float, float]:
    """Where the nose's round tip has its middle, from the head's centre, as a share of the side."""
    return 0.0, _nose_end(identity) - 0.008


def _nose_end(identity: Identity) -> float:
    """How far below the head's centre the nose ends."""
    return identity.nose[1] - 0.005


def _paint_chunk(identity: Identity, motion: Motion, backdrops: np.ndarray) -> np.ndarray:
    canvas = Canvas(backdrops)
    head = head_points(identity, motion)
    paint_back_hair(canvas, head, identity)
    _paint_body(canvas, np.array(identity.centre) + 0.4 * motion.head, identity)
    jaw_drop = (JAW_SHARE * opening(look_of(identity), motion.aperture)).astype(np.float32)
    _paint_head(canvas, head, identity, jaw_drop)
    _paint_nose(canvas, head, identity)
    for side in (-1.0, 1.0):
        _paint_eye(canvas, head, identity, side, motion)
    paint_mouth(
        canvas, mouth_points(identity, motion), look_of(identity), motion.aperture, motion.width, motion.corners
    )
    paint_front_hair(canvas, head, identity)
    for side in (-1.0, 1.0):
        _paint_brow(canvas, head, identity, side, motion)
    if identity.has_glasses:
        _paint_glasses(canvas, head, identity)
    return canvas.to_bytes()


def _paint_body(canvas: Canvas, point: np.ndarray, identity: Identity) -> None:
    """Neck and clothing; the body follows the head by less than half."""
    skin = np.array(identity.skin)
    half, high = identity.head
    patch = canvas.patch(point, (-0.8, 0.15, 0.8, 0.8))
    neck = np.maximum(np.abs(patch.x) - 0.50 * half - 0.6 * np.maximum(patch.y - 0.42, 0.0), 0.2 - patch.y)
    # A shadow under the chin sets the head off from the neck.
    dark = 0.72 + 0.20 * np.clip((patch.y - high) / 0.10, 0.0, 1.0)
    canvas.paint(patch, patch.cover(neck), [channel * dark for channel in skin])
    shoulders = np.maximum(patch.ellipse(0.0, 0.78, 0.49, 0.37), 0.3 - patch.y)
    if identity.neckline == "v":
        opening_shape = np.abs(patch.x) * 1.25 + (patch.y - 0.62)
    else:
        opening_shape = patch.ellipse(0.0, 0.40, 0.62 * half, 0.075)
    cover = patch.cover(np.maximum(shoulders, -opening_shape))
    fold = 1.0 - 0.16 * np.clip(np.abs(patch.x) / 0.5, 0.0, 1.0) + 0.05 * identity.light * patch.x
    canvas.paint(patch, cover, [channel * fold for channel in identity.cloth])
    ring = np.abs(opening_shape) - (0.028 if identity.neckline == "collar" else 0.010)
    canvas.paint(patch, patch.cover(np.maximum(ring, shoulders)), identity.trim)


def _paint_head(canvas: Canvas, head: np.ndarray, identity: Identity, jaw_drop: np.ndarray) -> None:
    """Ears and the egg of the head, lit from one side; the chin drops by `jaw_drop` (f,)."""
    half, high = identity.head
    skin = np.array(identity.skin)
    for side in (-1.0, 1.0):
        at = side * half * 0.98
        patch = canvas.patch(head, (at - 0.06, -0.06, at + 0.06, 0.14))
        canvas.paint(patch, patch.cover(patch.ellipse(at, 0.03, 0.040, 0.065)), skin * 0.86)
        canvas.paint(patch, patch.cover(patch.ellipse(at, 0.03, 0.020, 0.040)), skin * 0.72, opacity=0.8)
        if identity.has_earrings:
            canvas.paint(patch, patch.cover(patch.ellipse(at, 0.10, 0.012, 0.012)), identity.trim)
    patch = canvas.patch(head, (-half - 0.03, -high - 0.03, half + 0.03, high + 0.09))
    drop = jaw_drop[:, None, None]
    is_lower = patch.y > 0.0
    reach = np.where(is_lower, high + drop, high)
    low = np.clip(patch.y / high, 0.0, 1.2)
    # The lower half narrows toward the chin.
    breadth = half * (1.0 - (0.05 + 0.20 * identity.jaw) * low * low)
    x, y = patch.x / breadth, patch.y / reach
    radius = np.sqrt(x * x + y * y)
    gradient = np.sqrt(np.square(x / breadth) + np.square(y / reach))
    cover = patch.cover(radius * (radius - 1.0) / (gradient + 1e-6))
    light = skin_light(x, y, identity.light)
    canvas.paint(patch, cover, [channel * light for channel in skin])
    for side in (-1.0, 1.0):
        cheek = patch.soft(patch.ellipse(side * 0.56 * half, 0.30 * high, 0.085, 0.06), 0.07)
        canvas.paint(patch, cheek * cover, skin * np.array([1.0, 0.76, 0.74]), opacity=0.32)


def _paint_nose(canvas: Canvas, head: np.ndarray, identity: Identity) -> None:
    half, length = identity.nose
    skin = np.array(identity.skin)
    patch = canvas.patch(head, (-0.10, -0.09, 0.10, length + 0.05))
    tip = _nose_end(identity)
    side = -np.sign(identity.light) * 0.016
    canvas.paint(patch, patch.soft(patch.ellipse(side, 0.5 * tip, 0.016, 0.60 * tip), 0.03), skin * 0.74, opacity=0.45)
    canvas.paint(
        patch, patch.soft(patch.ellipse(0.0, tip + 0.004, half + 0.008, 0.022), 0.018), skin * 0.70, opacity=0.75
    )
    canvas.paint(patch, patch.soft(patch.ellipse(*nose_offset(identity), half, 0.026), 0.016), skin * 1.03)
    bridge = patch.ellipse(-0.4 * side, 0.4 * tip, 0.010, 0.45 * tip)
    canvas.paint(patch, patch.soft(bridge, 0.02), np.minimum(skin * 1.16, 1.0), opacity=0.55)
    for nostril in (-1.0, 1.0):
        shape = patch.ellipse(nostril * half * 0.52, tip + 0.008, 0.010, 0.007)
        canvas.paint(patch, patch.cover(shape), skin * 0.35, opacity=0.85)


def _paint_eye(canvas: Canvas, head: np.ndarray, identity: Identity, side: float, motion: Motion) -> None:
    half, high = identity.eye
    skin = np.array(identity.skin)
    point = head + np.array(eye_offset(identity, side))
    patch = canvas.patch(point, (-half - 0.03, -high - 0.04, half + 0.03, high + 0.04))
    # A smile narrows the eyes.
    narrowed = 1.0 - 0.25 * np.clip(motion.expression, 0.0, 1.0)
    if motion.lid is not None:
        narrowed = narrowed * (1.0 + np.where(motion.lid > 0.0, WIDE, NARROW) * motion.lid)
    is_open = ((1.0 - motion.blink) * narrowed).astype(np.float32)[:, None, None]
    arch = np.clip(1.0 - np.square(patch.x / half), 0.0, 1.0)
    bottom = 0.62 * high * arch**0.7
    # A closing lid comes down from above to the lower lid.
    top = bottom - (bottom + high * arch**0.6) * is_open
    canvas.paint(
        patch, patch.soft(patch.ellipse(0.0, -0.004, half + 0.012, high + 0.018), 0.03), skin * 0.80, opacity=0.5
    )
    eye = patch.band(top, bottom)
    canvas.paint(patch, eye, _WHITE)
    look = (
        motion.gaze.astype(np.float32)[:, :, None, None]
        * np.array([0.42 * half, 0.40 * high], np.float32)[:, None, None]
    )
    centre_x, centre_y = look[:, 0], look[:, 1] - np.float32(0.12 * high)
    iris_radius = 0.92 * high
    for radius, colour in ((iris_radius, np.array(identity.iris)), (0.50 * iris_radius, np.array(_DARK))):
        canvas.paint(patch, patch.cover(patch.ellipse(centre_x, centre_y, radius, radius)) * eye, colour)
    glint = patch.ellipse(
        centre_x + np.float32(0.35 * iris_radius * identity.light), centre_y - 0.35 * iris_radius, 0.0075, 0.0075
    )
    canvas.paint(patch, patch.cover(glint) * eye, (1.0, 1.0, 1.0), opacity=0.9)
    lash = 0.011 * np.clip(1.0 - np.square(patch.x / (half + 0.006)), 0.0, 1.0) ** 0.4
    canvas.paint(patch, patch.band(top - lash, top), _DARK, opacity=0.9)


def _paint_brow(canvas: Canvas, head: np.ndarray, identity: Identity, side: float, motion: Motion) -> None:
    lift = motion.brow
    point = head + np.stack([np.full(len(lift), side * identity.eye_gap), -0.112 - 0.022 * lift], axis=1)
    reach = identity.eye[0] + 0.016
    patch = canvas.patch(point, (-reach, -0.05, reach, 0.05))
    outward = side * patch.x / reach
    arch = np.clip(1.0 - outward * outward, 0.0, 1.0)
    # A sad brow rises toward the nose.
    sad = 0.016 * np.clip(-motion.expression, 0.0, 1.0).astype(np.float32)[:, None, None]
    if motion.slant is not None:
        sad = sad + np.float32(SLANT) * motion.slant.astype(np.float32)[:, None, None]
    middle = (sad - identity.brow_tilt * 0.10) * outward - 0.018 * arch + 0.008
    thickness = identity.brow_thickness * (1.0 - 0.35 * outward) * arch**0.35
    canvas.paint(
        patch, patch.band(middle - 0.5 * thickness, middle + 0.5 * thickness), identity.brow_colour, opacity=0.92
    )


def _paint_glasses(canvas: Canvas, head: np.ndarray, identity: Identity) -> None:
    half = identity.head[0]
    patch = canvas.patch(head, (-half - 0.02, -0.16, half + 0.02, 0.07))
    radius = min(identity.eye_gap - 0.014, identity.eye[0] + 0.034)
    for side in (-1.0, 1.0):
        lens = patch.ellipse(*eye_offset(identity, side), radius, 0.82 * radius)
        canvas.paint(patch, patch.cover(lens), (1.0, 1.0, 1.0), opacity=0.10)
        canvas.paint(patch, patch.cover(np.abs(lens) - 0.0065), _DARK, opacity=0.9)
    across = np.abs(patch.y + 0.055) - 0.006
    bridge = np.maximum(across, np.abs(patch.x) - (identity.eye_gap - radius))
    temples = np.maximum(across, np.maximum(identity.eye_gap + radius - np.abs(patch.x), np.abs(patch.x) - half))
    canvas.paint(patch, patch.cover(np.minimum(bridge, temples)), _DARK, opacity=0.9)
