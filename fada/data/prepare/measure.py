"""Numbers about a face over time and about a sound."""

from __future__ import annotations

import numpy as np

from fada.media.sample_rate import SAMPLE_RATE

JAW_OPEN = 25
"""Index of jawOpen among MediaPipe's blendshapes."""
_INNER_LIPS = ((13, 14), (82, 87), (312, 317))
_NOSE_TIP, _FOREHEAD, _CHIN, _NASION = 1, 10, 152, 168
_EYE_CORNERS = (33, 263)
_CHEEKS = (234, 454)
_MOUTH_CORNERS = (61, 291)


def face_heights(points: np.ndarray) -> np.ndarray:
    """Pixels from forehead to chin (F,), of landmarks (F, 478, 2 or 3)."""
    return np.linalg.norm(points[:, _FOREHEAD, :2] - points[:, _CHIN, :2], axis=1)


def lip_opening(points: np.ndarray) -> np.ndarray:
    """Mean distance of the inner lips (F,) in face heights: 0 closed, about 0.1 in loud speech."""
    gaps = [np.linalg.norm(points[:, upper, :2] - points[:, lower, :2], axis=1) for upper, lower in _INNER_LIPS]
    return np.mean(gaps, axis=0) / np.maximum(face_heights(points), 1e-6)


def lip_opening_in_depth(points: np.ndarray) -> np.ndarray:
    """Distance of the inner lips in three dimensions over the rigid upper face (F,): steady under nods."""
    gaps = [np.linalg.norm(points[:, upper] - points[:, lower], axis=1) for upper, lower in _INNER_LIPS]
    rigid = np.linalg.norm(points[:, _FOREHEAD] - points[:, _NASION], axis=1)
    return np.sum(gaps, axis=0) / np.maximum(rigid, 1e-6)


def jaw_drop(points: np.ndarray) -> np.ndarray:
    """Distance of chin and nose root in three dimensions over that of nose root and forehead (F,)."""
    down, up = (np.linalg.norm(points[:, end] - points[:, _NASION], axis=1) for end in (_CHIN, _FOREHEAD))
    return down / np.maximum(up, 1e-6)


def lip_width(points: np.ndarray) -> np.ndarray:
    """Distance of the mouth's corners over that of the eyes' outer corners (F,), in as many dimensions as are given."""
    corners, eyes = (np.linalg.norm(points[:, a] - points[:, b], axis=1) for a, b in (_MOUTH_CORNERS, _EYE_CORNERS))
    return corners / np.maximum(eyes, 1e-6)


def mouth_curves(points: np.ndarray, blendshapes: np.ndarray) -> dict[str, np.ndarray]:
    """Curves of the mouth (F,) by the names of `mouth_prediction.TARGETS`, free of the head's place, size and turn."""
    return {
        "opening": lip_opening_in_depth(points),
        "width": lip_width(points),
        "jaw": blendshapes[:, JAW_OPEN],
    }


def mouth_range(opening: np.ndarray) -> float:
    """How far the mouth opens and closes: 95th minus 5th percentile."""
    return float(np.percentile(opening, 95) - np.percentile(opening, 5))


def head_motion(points: np.ndarray) -> float:
    """Mean way of the nose tip from frame to frame, in face heights."""
    if len(points) < 2:
        return 0.0
    steps = np.linalg.norm(np.diff(points[:, _NOSE_TIP, :2], axis=0), axis=1)
    return float(steps.mean() / np.mean(face_heights(points)))


def nose_tip(points: np.ndarray) -> np.ndarray:
    """x, y of the nose's tip (F, 2)."""
    return points[:, _NOSE_TIP, :2]


def nose_root(points: np.ndarray) -> np.ndarray:
    """x, y of the point between the eyes (F, 2)."""
    return points[:, _NASION, :2]


def rolls(points: np.ndarray) -> np.ndarray:
    """Tilt of the eye line (F,) in degrees."""
    across = points[:, _EYE_CORNERS[1], :2] - points[:, _EYE_CORNERS[0], :2]
    return np.degrees(np.arctan2(across[:, 1], across[:, 0]))


def leans(points: np.ndarray) -> np.ndarray:
    """Angle of the line from forehead to chin with the vertical (F,) in degrees, within +-180; 0 is upright."""
    down = points[:, _CHIN, :2] - points[:, _FOREHEAD, :2]
    return np.degrees(np.arctan2(-down[:, 0], down[:, 1]))


def yaws(points: np.ndarray) -> np.ndarray:
    """Turn of the head to a side (F,) in degrees, of landmarks (F, 478, 3); 0 looks into the camera."""
    across = points[:, _CHEEKS[1]] - points[:, _CHEEKS[0]]
    return np.degrees(np.arctan2(across[:, 2], across[:, 0]))


def head_roll(points: np.ndarray) -> float:
    """Largest tilt of the eye line in degrees."""
    return float(np.abs(rolls(points)).max())


def loudness_decibels(audio: np.ndarray, sample_rate: int = SAMPLE_RATE) -> float:
    """RMS of the loudest second relative to full scale; -inf for digital silence."""
    if len(audio) == 0:
        return float("-inf")
    blocks = np.array_split(audio.astype(np.float64), max(1, len(audio) // sample_rate))
    power = max(float((block**2).mean()) for block in blocks)
    return 10 * float(np.log10(power)) if power > 0 else float("-inf")


def speech_swing_decibels(audio: np.ndarray, sample_rate: int = SAMPLE_RATE) -> float:
    """Standard deviation of the level in 10-ms steps between 200 and 4000 Hz, at most 50 dB below the loud parts.

    Speech in the trial footage: 12 to 20 dB; music 9 dB; a loud sound track 5 dB.
    """
    window, hop = sample_rate // 40, sample_rate // 100
    if len(audio) < 20 * window:
        return 0.0
    pieces = np.lib.stride_tricks.sliding_window_view(audio, window)[::hop]
    frequencies = np.fft.rfftfreq(window, 1 / sample_rate)
    band = (frequencies >= 200) & (frequencies < 4000)
    # In blocks: an hour of sound would otherwise need gigabytes at once.
    levels = []
    for block in range(0, len(pieces), 4096):
        spectra = np.abs(np.fft.rfft(pieces[block : block + 4096] * np.hanning(window), axis=1)[:, band]) ** 2
        levels.append(10 * np.log10(spectra.sum(axis=1) + 1e-9))
    level = np.concatenate(levels)
    return float(np.maximum(level, np.percentile(level, 95) - 50).std())
