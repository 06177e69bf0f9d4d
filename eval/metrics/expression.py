"""Does the face feel what was asked? Measured brows, lids and mouth corners against those of an emotion.

Both are in the units of the drawn world (`fada.data.world.feeling`): 1 is what an emotion does at full intensity.
"""

from __future__ import annotations

import numpy as np

from fada.data.clips.emotion import NEUTRAL
from fada.data.world.feeling import DIRECTIONS, RESTING
from fada.eval.metrics.not_measurable import NotMeasurable

WEAKEST = 0.05
"""Share of emotions other than neutral below which nothing was asked for whose strength could be measured."""


def asked_features(label: np.ndarray) -> np.ndarray:
    """(4,) what a soft label (7,) asks of a face, beside what faces do by themselves."""
    found: np.ndarray = np.asarray(label, dtype=np.float64) @ DIRECTIONS
    return found


def emotion_error(features: np.ndarray, label: np.ndarray) -> float:
    """Mean distance over frames of a face's features (F, 4) from those that a soft label (7,) asks for."""
    return float(np.linalg.norm(_felt(features) - asked_features(label), axis=1).mean())


def emotion_strength(features: np.ndarray, label: np.ndarray) -> float:
    """How far the face goes the way that was asked for: 1 is full intensity, 0 a neutral face, below 0 the other way.

    Raises:
        NotMeasurable: the soft label is neutral's.
    """
    asked = 1.0 - float(label[NEUTRAL])
    if asked < WEAKEST:
        raise NotMeasurable("a neutral face was asked for, which has no strength")
    direction = asked_features(label) / asked
    return float(_felt(features).mean(0) @ direction / (direction @ direction))


def _felt(features: np.ndarray) -> np.ndarray:
    return np.asarray(features, dtype=np.float64) - RESTING
