"""Do the lips go with the sound? The mouth's opening by landmarks against the sound's level, without SyncNet.

Coarser than SyncNet, and needs no weights but those that find the face; method: ``fada.data.prepare.level_sync``, sign:
``fada.data.prepare.sync``.
"""

from __future__ import annotations

import numpy as np

from fada.data.prepare.lag_curves import RADIUS
from fada.data.prepare.level_sync import level_scores
from fada.eval.metrics.not_measurable import NotMeasurable

FEWEST_FRAMES = 30


def lip_sound(
    jaw_open: np.ndarray, lip_opening: np.ndarray, audio: np.ndarray, fps: float, sample_rate: int
) -> dict[str, float]:
    """Offset (frames, lips minus sound), confidence of it, and correlation without a shift, by the metrics' names.

    A mouth that never moves has confidence and correlation 0 by definition, and its offset is left out: a system that
    freezes must not gain by it.

    Args:
        jaw_open: (F,) how far the jaw is down, in any unit.
        lip_opening: (F,) distance of the inner lips.
        audio: (N,) mono samples.
        fps, sample_rate: of both.

    Raises:
        NotMeasurable: fewer than 30 frames, or silence.
    """
    if len(jaw_open) < FEWEST_FRAMES:
        raise NotMeasurable(f"lips and sound need {FEWEST_FRAMES} frames, got {len(jaw_open)}")
    if np.ptp(audio) == 0:
        raise NotMeasurable("the sound is silent")
    correlations, scores = level_scores(jaw_open, lip_opening, audio, fps, sample_rate)
    best = int(scores.argmax())
    if scores[best] == 0:
        return {"lip_sound_confidence": 0.0, "lip_sound_correlation": 0.0}
    return {
        "lip_sound_confidence": float(scores[best]),
        "lip_sound_correlation": float(correlations[RADIUS]),
        "lip_sound_offset": float(best - RADIUS),
    }
