"""How many frames the lips are behind the sound, how sure that is, and by how much the sound is shifted for it.

Sign: offset = time of the lips minus time of the sound, in frames, as SyncNet counts. Positive: the sound is early, and
delaying it by the offset repairs the clip.

Two instruments score every lag within +-12 frames. One predicts the mouth from the sound (mouth_prediction.py); on
footage it is the better one by far. The other correlates the mouth with the sound's level (level_sync.py); it needs no
training, so it also knows sounds that nobody trained on. Unrelated sound scores higher by level, so its scores count
for 0.75 less; a lag's score is the higher of the two.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from fada.data.prepare.lag_curves import RADIUS
from fada.data.prepare.level_sync import FEWEST_FRAMES, level_scores
from fada.data.prepare.mouth_prediction import Weights, prediction_scores
from fada.data.prepare.reasons import Limits
from fada.media.sample_rate import SAMPLE_RATE

_LEVEL_HANDICAP = 0.75
_RIVAL_DISTANCE = 2
_KNOWN_LAG_CREDIT = 0.4
"""Unrelated sound scores at least so much less at a lag that is given than at the best of 25."""
_CLEARLY_BETTER = 0.15
"""Share of the best score by which a lag of 1 must beat 0 to be worth a shift."""


@dataclass(frozen=True)
class SyncMeasurement:
    """Where lips and sound agree best."""

    offset: int
    """Frames, lips minus sound; positive: the sound is early."""
    correlation: float
    """Mean Pearson correlation there, by the instrument that scored it higher."""
    confidence: float
    """That correlation over its standard error under no relation, comparable between instruments. Wrong voices: median
    1.4, 10 % over 2.1, 2 % over 2.6."""
    margin: float
    """Confidence there minus the best one more than 2 frames away."""
    method: Literal["prediction", "level", "none"] = "none"
    """The instrument that scored it higher; none where nothing could be measured."""
    scores: np.ndarray = field(default_factory=lambda: np.zeros(2 * RADIUS + 1), compare=False, repr=False)
    """(25,) confidence at lags -12 .. 12."""

    def to_json(self) -> dict[str, Any]:
        """Rounded plain values."""
        numbers = {name: round(getattr(self, name), 4) for name in ("correlation", "confidence", "margin")}
        return {"offset": self.offset, **numbers, "method": self.method}

    def near(self, lag: int) -> tuple[int, float]:
        """Offset within a frame of one that is known already, and the confidence in it.

        A known lag is not searched for, and the search is what brings unrelated sound to high scores: it is credited,
        so that the same limit means the same share of wrong voices. A lag out of range gets a confidence of 0.
        """
        if abs(lag) > RADIUS or not self.scores.any():
            return lag, 0.0
        low = max(0, lag - 1 + RADIUS)
        best = low + int(self.scores[low : lag + 2 + RADIUS].argmax())
        return best - RADIUS, float(self.scores[best]) + _KNOWN_LAG_CREDIT


def measure_sync(
    jaw_open: np.ndarray,
    lip_opening: np.ndarray,
    audio: np.ndarray,
    fps: float = 25.0,
    sample_rate: int = SAMPLE_RATE,
    lip_width: np.ndarray | None = None,
    weights: Weights | None = None,
) -> SyncMeasurement:
    """Offset between lips and sound.

    Args:
        jaw_open: (F,) MediaPipe's jawOpen blendshape.
        lip_opening: (F,) distance of the inner lips in any unit, free of the head's turning and size.
        audio: (N,) mono samples; frame ``f`` begins at sample ``f * sample_rate / fps``.
        fps: frames per second.
        sample_rate: samples per second.
        lip_width: (F,) distance of the mouth's corners likewise; without it the offset is less sure.
        weights: of the prediction; None takes the shipped ones.

    Returns:
        The best lag; all zero where mouth or sound never change, or with fewer than 30 frames.
    """
    if len(jaw_open) < FEWEST_FRAMES:
        return SyncMeasurement(0, 0.0, 0.0, 0.0)
    mouth = {"opening": lip_opening, "width": lip_width, "jaw": jaw_open}
    predicted = prediction_scores(mouth, audio, fps, sample_rate, weights)
    level = level_scores(jaw_open, lip_opening, audio, fps, sample_rate)
    scores = np.maximum(predicted[1], level[1] - _LEVEL_HANDICAP)
    if not predicted[1].any() and not level[1].any():
        return SyncMeasurement(0, 0.0, 0.0, 0.0)
    best = int(scores.argmax())
    rivals = np.abs(np.arange(len(scores)) - best) > _RIVAL_DISTANCE
    is_predicted = bool(predicted[1][best] >= scores[best])
    return SyncMeasurement(
        offset=best - RADIUS,
        correlation=float((predicted if is_predicted else level)[0][best]),
        confidence=max(0.0, float(scores[best])),
        margin=float(scores[best] - scores[rivals].max()),
        method="prediction" if is_predicted else "level",
        scores=scores,
    )


def shift_for(sync: SyncMeasurement, limits: Limits) -> int:
    """Frames by which the sound is to be delayed (moved ahead when negative).

    None where the offset is unknown or too large to be believed, and none of a single frame that is hardly better than
    none: so little may be the clip's own articulation.
    """
    if sync.confidence < limits.min_sync_confidence or abs(sync.offset) > limits.max_corrected_offset:
        return 0
    lead = sync.scores[RADIUS + sync.offset] - sync.scores[RADIUS]
    return 0 if abs(sync.offset) == 1 and lead < _CLEARLY_BETTER * sync.confidence else sync.offset
