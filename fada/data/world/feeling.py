"""What a drawn person feels: how an emotion sets brows, lids and mouth corners, and how it sounds.

Faces follow it by directions in four numbers, brow lift, brow slant, lids and mouth corners; voices by pitch, tempo and
loudness. All of it grows with the intensity, and neutral is none of it. Voices differ by more between people than
between emotions, so that the sound tells something of the emotion, and far from all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fada.data.clips.emotion import EMOTIONS, shares_of
from fada.data.world.motion import FPS, Motion
from fada.data.world.speech import CONTROL_RATE, Speech, Voice

LEAST_INTENSITY = 0.3
FEATURES = ("brow", "slant", "lid", "corner")
"""What of a face an emotion sets: lift of the brows, how far their inner ends are above the outer ones, how wide the
eyes are beyond a rested one, lift of the mouth's corners."""
DIRECTIONS = np.array(
    [
        (-1.0, -1.2, -0.3, -0.4),
        (-0.8, 0.0, -1.0, -0.8),
        (0.7, 0.9, 1.0, -0.5),
        (0.1, 0.0, -0.6, 1.3),
        (0.0, 0.0, 0.0, 0.0),
        (0.0, 1.1, -0.5, -1.0),
        (1.4, -0.1, 1.0, 0.1),
    ]
)
"""(7, 4) features of each emotion at full intensity, in the order of `EMOTIONS`."""
_VOICES = {
    "angry": (1.12, 1.16, 1.30),
    "disgust": (0.90, 0.90, 0.95),
    "fear": (1.28, 1.20, 0.85),
    "happy": (1.20, 1.08, 1.10),
    "neutral": (1.00, 1.00, 1.00),
    "sad": (0.86, 0.80, 0.70),
    "surprise": (1.32, 1.00, 1.15),
}
"""Factors on pitch, tempo and loudness at full intensity."""
_ACCENTS = 0.3
"""Share that is left of what the brows do by themselves: they say what is felt."""
RESTING = np.array([0.09, 0.0, 0.0, 0.0])
"""(4,) features in the mean of clips whose people feel nothing: what is left of the brows' own movement."""
_SWELL = 0.12
"""How far an emotion comes and goes within a clip, as a share of it."""
_AT_REST = (2.0, 8.0)
"""Frames that a face is at rest at first, where what it feels comes up: any number between these."""
_RISE = 8.0
"""Frames that it comes up in."""


@dataclass(frozen=True)
class Feeling:
    """An emotion by name, and how strong it is, in [0.3, 1]; 0 for neutral."""

    name: str
    intensity: float

    def features(self) -> np.ndarray:
        """(4,) of `FEATURES`, in the middle of a clip."""
        return self.intensity * DIRECTIONS[EMOTIONS.index(self.name)]

    def voice(self, own: Voice) -> Voice:
        """A person's voice as it sounds with the feeling."""
        return replace(own, pitch=own.pitch * self._factor(0))

    @property
    def tempo(self) -> float:
        """Factor on the speed of speech."""
        return self._factor(1)

    @property
    def loudness(self) -> float:
        """Factor on the loudness of speech."""
        return self._factor(2)

    def _factor(self, of: int) -> float:
        return float(_VOICES[self.name][of] ** self.intensity)

    def to_meta(self) -> dict[str, Any]:
        """Name, intensity and soft label as JSON values."""
        label = np.array(shares_of({self.name: self.intensity}), dtype=np.float32).astype(np.float64)
        return {"name": self.name, "intensity": round(self.intensity, 4), "label": np.round(label, 6).tolist()}


def draw_feeling(rng: np.random.Generator) -> Feeling:
    """One of the seven emotions, each as likely, at any intensity."""
    name = EMOTIONS[int(rng.integers(len(EMOTIONS)))]
    intensity = float(rng.uniform(LEAST_INTENSITY, 1.0))
    return Feeling(name, 0.0 if name == "neutral" else intensity)


def at_tempo(speech: Speech, tempo: float, duration: float) -> Speech:
    """The first `duration` seconds of a speech that is said so many times as fast."""
    count = round(duration * CONTROL_RATE)
    places = np.arange(count) * tempo

    def read(curve: np.ndarray) -> np.ndarray:
        return np.interp(places, np.arange(len(curve)), curve)

    vowels = np.stack([read(curve) for curve in speech.vowels])
    return Speech(vowels, *(read(each) for each in (speech.fricative, speech.murmur, speech.burst, speech.pitch)))


def with_feeling(motion: Motion, feeling: Feeling, rng: np.random.Generator, rests_at: int | None = None) -> Motion:
    """A motion with the face that goes with a feeling, in place of the expression that it had by itself.

    rests_at: a frame in which, as in those before, the face is at rest; what it feels comes up after it.
    """
    frames = len(motion.aperture)
    felt = 1.0 + _SWELL * _swell(frames, rng)
    if rests_at is not None:
        felt = felt * _rise(frames, rests_at + rng.uniform(*_AT_REST))
    curves = feeling.features()[:, None] * felt
    brow, slant, lid, corner = curves
    return replace(
        motion,
        brow=_ACCENTS * motion.brow + brow,
        expression=np.zeros(frames),
        corners=np.stack([corner, corner], axis=1),
        slant=slant,
        lid=lid,
    )


def _rise(frames: int, start: float) -> np.ndarray:
    """(F,) a smooth curve from 0, up to the start, to 1."""
    share = np.clip((np.arange(frames) - start) / _RISE, 0.0, 1.0)
    return share * share * (3.0 - 2.0 * share)


def _swell(frames: int, rng: np.random.Generator) -> np.ndarray:
    """(F,) a slow curve in [-1, 1]."""
    moments = np.arange(frames) / FPS
    return np.sin(2.0 * np.pi * moments / rng.uniform(1.5, 4.0) + rng.uniform(0.0, 2.0 * np.pi))
