"""Numbers about pictures: blur, noise, what moves around the head, what passes before the face.

Pictures are uint8 (F, H, W, 3); boxes are shares of their side. A few evenly spread frames stand for all where motion
does not matter.
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy.ndimage import convolve, median_filter, minimum_filter1d

_SAMPLED = 8
_BLUR_SIDE = 128
"""Faces are brought to this size first: the same picture is as blurred at every resolution it is stored in."""
_CELLS = 24
"""Side of the small pictures on which the surroundings are compared: noise averages out, changes stay."""
_FEWEST_CELLS = 12
"""Of the 576: fewer tell nothing of a background."""
_HAIR_BESIDE, _HAIR_ABOVE = 0.25, 0.45
"""How far the head goes beyond the face's box, in widths to each side and in heights above."""
_FACE_CELLS = 24
_UPPER_FACE = 0.26
"""Half the side of the square around the nose's root that is looked at, in face heights: no hair, no mouth."""
_COMPARED = 60
_FAR_FRAMES = 10
_LASTING_FRAMES = 9
_FEWEST_FRAMES = 50
_COVERED_LEVELS = 30.0
_NOISE_KERNEL = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float64)


def blur(frames: np.ndarray, face: np.ndarray) -> float:
    """Perceived blur of the face, mean over frames: 0 sharp, 1 shapeless (Crete et al. 2007)."""
    # Of an extra: shards are packed by scores that were measured elsewhere, without it.
    from skimage.measure import blur_effect

    found = []
    for frame in some_frames(frames):
        left, top, right, bottom = _pixels(face, frame.shape[0], frame.shape[1])
        part = Image.fromarray(np.ascontiguousarray(frame[top:bottom, left:right])).convert("L")
        small = part.resize((_BLUR_SIDE, _BLUR_SIDE), Image.Resampling.LANCZOS)
        found.append(blur_effect(np.asarray(small, np.float64) / 255.0, h_size=9))
    return float(np.mean(found))


def noise(frames: np.ndarray) -> float:
    """Standard deviation of the noise in grey levels, mean over frames.

    Immerkaer's kernel, which takes out edges and slopes; the median, as edges that remain are few.
    """
    found = []
    for frame in some_frames(frames):
        rest = convolve(frame.astype(np.float64).mean(axis=2), _NOISE_KERNEL, mode="nearest")
        # The mean of three channels has a third of their variance; the kernel multiplies deviations by 6.
        found.append(np.median(np.abs(rest)) / 0.6745 / 6.0 * np.sqrt(3.0))
    return float(np.mean(found))


def surroundings(frames: np.ndarray, faces: np.ndarray) -> tuple[float, float]:
    """How much the picture beside and above the head changes, in grey levels.

    Only what the head never covers is looked at: whatever it sweeps over changes by the head, not by the background.

    Args:
        faces: left, top, right, bottom of the face in each frame (F, 4); or one box (4,) where nothing tells how it
            moves: then nothing but the edge of the picture is taken for surroundings.

    Returns:
        change: 95th percentile over frames of the mean difference from the frame before; drift: the same of the
        difference from the clip's mean picture. NaN where :func:`shows_surroundings` is False.
    """
    small = np.stack([_shrunk(frame, _CELLS) for frame in frames])
    beside = _never_covered(faces)
    if beside.sum() < _FEWEST_CELLS:
        return float("nan"), float("nan")
    cells = small[:, beside]
    if len(cells) < 2:
        return 0.0, 0.0
    change = np.abs(np.diff(cells, axis=0)).mean(axis=(1, 2))
    drift = np.abs(cells - cells.mean(axis=0)).mean(axis=(1, 2))
    return float(np.percentile(change, 95)), float(np.percentile(drift, 95))


def shows_surroundings(faces: np.ndarray) -> bool:
    """Whether the head, wherever it goes, leaves enough of the picture free (2 %) to judge the background by."""
    return bool(_never_covered(faces).sum() >= _FEWEST_CELLS)


def occlusion(frames: np.ndarray, between_eyes: np.ndarray, height: float, roll: np.ndarray | None = None) -> float:
    """Share of the upper face that something covers for a third of a second at least, at its worst.

    The face is followed, and turned upright. A frame counts by how much of it differs from the frame that is most like
    it among those 0.4 s away and more: a head comes back to where it was, what passes before it does not. A blink is
    too short to count; the mouth is left out, and brightness that changes everywhere. NaN for clips under two seconds:
    a head hardly comes back in so short a time.

    Args:
        between_eyes: (F, 2), where the nose's root is.
        height: of the face, forehead to chin.
        roll: (F,) its tilt in degrees.
    """
    if len(frames) < _FEWEST_FRAMES:
        return float("nan")
    size = frames.shape[1]
    # What covers a face often makes its landmarks jump: they are followed without jumps.
    steady = median_filter(between_eyes, size=(5, 1), mode="nearest") * size
    angles = np.zeros(len(frames)) if roll is None else np.radians(median_filter(roll, size=5, mode="nearest"))
    half = _UPPER_FACE * height * size
    stack = np.stack([_upright(*each, half) for each in zip(frames, steady, angles, strict=True)])
    numbers = np.arange(len(stack))
    others = numbers[:: max(1, len(stack) // _COMPARED)]
    covered = []
    for number in numbers:
        far = others[np.abs(others - number) > _FAR_FRAMES]
        difference = stack[number] - stack[far]
        difference -= np.median(difference, axis=(1, 2), keepdims=True)
        covered.append((np.abs(difference).max(axis=3) > _COVERED_LEVELS).mean(axis=(1, 2)).min())
    return float(minimum_filter1d(np.array(covered), _LASTING_FRAMES, mode="constant").max())


def _upright(frame: np.ndarray, middle: np.ndarray, angle: float, half: float) -> np.ndarray:
    """A small picture (24, 24, 3) of the square around a point, turned by an angle."""
    fine = 3 * _FACE_CELLS
    step = 2.0 * half / fine
    cos, sin = step * np.cos(angle), step * np.sin(angle)
    left, top = middle - (cos - sin) * fine / 2 * np.array([1, 0]) - (sin + cos) * fine / 2 * np.array([0, 1])
    image = Image.fromarray(frame).transform(
        (fine, fine), Image.Transform.AFFINE, (cos, -sin, left, sin, cos, top), resample=Image.Resampling.BILINEAR
    )
    return np.asarray(image.resize((_FACE_CELLS, _FACE_CELLS), Image.Resampling.BOX), np.float32)


def some_frames(frames: np.ndarray) -> np.ndarray:
    """Eight evenly spread frames, or all where there are fewer."""
    chosen = np.unique(np.linspace(0, len(frames) - 1, min(_SAMPLED, len(frames))).round().astype(int))
    return frames[chosen]


def _pixels(box: np.ndarray, height: int, width: int) -> tuple[int, int, int, int]:
    left, top, right, bottom = np.clip(box, 0.0, 1.0) * (width, height, width, height)
    left, top = min(int(left), width - 2), min(int(top), height - 2)
    return left, top, max(int(np.ceil(right)), left + 2), max(int(np.ceil(bottom)), top + 2)


def _shrunk(frame: np.ndarray, side: int) -> np.ndarray:
    return np.asarray(Image.fromarray(frame).resize((side, side), Image.Resampling.BOX), np.float32)


def _never_covered(faces: np.ndarray) -> np.ndarray:
    """Which cells (24, 24) show neither head, hair nor shoulders in any frame: whole cells, as a part would count."""
    left, top, right, bottom = np.atleast_2d(faces).astype(np.float64).T[:, :, None]
    width, height = right - left, bottom - top
    edges = np.arange(_CELLS + 1) / _CELLS
    first, last = edges[:-1], edges[1:]
    # Hair and ears reach a quarter of the face's width beyond the landmarks, and nearly half its height above them.
    across = (last <= left - _HAIR_BESIDE * width) | (first >= right + _HAIR_BESIDE * width)
    above = last <= top - _HAIR_ABOVE * height
    higher_than_chin = last <= bottom - 0.1 * height
    free = (across[:, None, :] & higher_than_chin[:, :, None]) | above[:, :, None]
    if faces.ndim == 1:
        free[:, 1:-1, 1:-1] = False
    return free.all(axis=0)
