"""From a speech plan to what the face does, frame by frame.

In version 1 of the world the mouth, the brows and most of the head sway are functions of the sound; blinks and a slow
drift are not. Version 2 leaves far more open: undecided.py.
"""

from dataclasses import dataclass, fields

import numpy as np
from scipy.ndimage import gaussian_filter1d

from fada.data.world.speech import CONTROL_RATE, VOWELS, Speech

FPS = 25
REST_WIDTH = 0.55
"""Width of the closed, silent mouth in [0, 1]."""


@dataclass(frozen=True)
class Motion:
    """What the face does, one value per video frame."""

    aperture: np.ndarray
    """(F,) mouth opening in [0, 1]."""
    width: np.ndarray
    """(F,) mouth width in [0, 1]: 0 round, 1 wide."""
    brow: np.ndarray
    """(F,) brow lift: 0 at rest, 1 raised."""
    blink: np.ndarray
    """(F,) 0 eyes open, 1 closed."""
    head: np.ndarray
    """(F, 2) head offset as a share of the picture's side, x right and y down."""
    voiced: np.ndarray
    """(F,) mouth opening that the sound says; the shown one may differ from it."""
    gaze: np.ndarray
    """(F, 2) where the eyes look, in [-1, 1], x right and y down."""
    expression: np.ndarray
    """(F,) -1 sad, 0 neutral, 1 happy."""
    corners: np.ndarray
    """(F, 2) lift of the left and the right corner of the mouth; 1 is a smile's."""
    slant: np.ndarray | None = None
    """(F,) how far the brows' inner ends are above the outer ones; 1 is fear's, -1 anger's; None where nothing is
    felt."""
    lid: np.ndarray | None = None
    """(F,) how wide the eyes are beyond rested ones; 1 is fear's, -1 disgust's; None where nothing is felt."""

    def cut(self, first: int, count: int) -> "Motion":
        """Frames first .. first + count - 1."""
        curves = {field.name: getattr(self, field.name) for field in fields(self)}
        kept = {name: each[first : first + count] for name, each in curves.items() if each is not None}
        return Motion(**kept)


def move(speech: Speech, frames: int, rng: np.random.Generator) -> Motion:
    """The motion that goes with `speech`; frame f shows the moment (f + 0.5) / 25 s."""
    aperture, width = mouth_shape(speech, frames)
    loudness = speech.loudness
    nod = at_frames(loudness, frames, 0.16) - 0.35
    turn = at_frames(speech.pitch - 1.0, frames, 0.12)
    drift = _slow_noise(frames, rng)
    head_x = np.clip(0.10 * turn + 0.005 * drift[0], -0.02, 0.02)
    head_y = np.clip(0.034 * nod + 0.003 * drift[1], -0.02, 0.02)
    return Motion(
        aperture=aperture,
        width=width,
        brow=np.clip(1.3 * at_frames(loudness, frames, 0.10) - 0.2, 0.0, 1.0),
        blink=blinks(frames, rng),
        head=np.stack([head_x, head_y], axis=1),
        voiced=aperture,
        gaze=np.zeros((frames, 2)),
        expression=np.zeros(frames),
        corners=np.zeros((frames, 2)),
    )


def mouth_shape(speech: Speech, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Opening and width (F,) in [0, 1] of a mouth that says it clearly."""
    levels = np.clip(speech.vowels, 0.0, 1.0) ** 0.75
    presence = np.clip(levels.sum(0), 0.0, 1.0)
    fricative = np.clip(speech.fricative, 0.0, 1.0)
    apertures = np.array([vowel.aperture for vowel in VOWELS])
    widths = np.array([vowel.width for vowel in VOWELS])
    aperture = np.clip(apertures @ levels + 0.10 * fricative * (1.0 - presence), 0.0, 1.0)
    width = REST_WIDTH + (widths - REST_WIDTH) @ levels + 0.2 * fricative * (1.0 - presence)
    opening = np.clip(at_frames(aperture, frames, 0.018), 0.0, 1.0)
    return opening, np.clip(at_frames(width, frames, 0.025), 0.0, 1.0)


def at_frames(curve: np.ndarray, frames: int, smoothing: float) -> np.ndarray:
    """A control curve smoothed by a Gaussian (standard deviation in seconds) and read at the middle of each frame."""
    smooth = gaussian_filter1d(curve, smoothing * CONTROL_RATE, mode="nearest", truncate=3.0)
    middles = (np.arange(frames) + 0.5) / FPS * CONTROL_RATE - 0.5
    return np.interp(middles, np.arange(len(smooth)), smooth)


def _slow_noise(frames: int, rng: np.random.Generator) -> np.ndarray:
    """(2, F) smooth random curves within about [-1, 1], periods of 2.5 to 6 s."""
    moments = np.arange(frames) / FPS
    frequencies = 1.0 / rng.uniform(2.5, 6.0, (2, 2, 1))
    phases = rng.uniform(0.0, 2.0 * np.pi, (2, 2, 1))
    return 0.5 * np.sin(2.0 * np.pi * frequencies * moments + phases).sum(1)


def blinks(frames: int, rng: np.random.Generator) -> np.ndarray:
    """Closures of about 0.2 s every 2 to 4 s; the first falls anywhere."""
    middles = (np.arange(frames) + 0.5) / FPS
    blink = np.zeros(frames)
    moment = rng.uniform(-1.0, 3.0)
    while moment < middles[-1] + 0.2:
        blink = np.maximum(blink, np.clip(1.35 - np.abs(middles - moment) / 0.075, 0.0, 1.0))
        moment += rng.uniform(2.0, 4.0)
    return blink
