"""Which reasons speak against a stretch of video. Only measures and compares; says nothing about files."""

from __future__ import annotations

import numpy as np

from fada.data.prepare import measure
from fada.data.prepare.models import MAX_MIRROR_ERROR
from fada.data.prepare.reasons import Limits, Reason
from fada.data.prepare.sync import SyncMeasurement, measure_sync
from fada.data.prepare.track import Stretch

Judgement = dict[Reason, str]
"""Each reason that holds, with the measurement behind it; empty when the footage is good."""


def judge_stretch(
    stretch: Stretch, points: np.ndarray, blendshapes: np.ndarray, sound: np.ndarray, fps: float, limits: Limits
) -> tuple[Judgement, SyncMeasurement]:
    """What needs the whole stretch: whether it is a human face, and whether the sound is this mouth's speech."""
    found: Judgement = {}
    if stretch.mirror_errors and np.median(stretch.mirror_errors) > MAX_MIRROR_ERROR:
        found[Reason.NO_FACE] = f"what was found is no human face (mirror error {np.median(stretch.mirror_errors):.3f})"
    mouth = measure.mouth_curves(points, blendshapes)
    sync = measure_sync(mouth["jaw"], mouth["opening"], sound, fps, lip_width=mouth["width"])
    swing = measure.speech_swing_decibels(sound)
    is_following = sync.confidence >= limits.min_sync_confidence
    evidence = f"lip-sound correlation {sync.correlation:.2f}, confidence {sync.confidence:.1f}"
    if swing < limits.min_speech_swing_decibels and not is_following:
        found[Reason.NOT_SPEECH] = f"level swings by {swing:.1f} dB only; {evidence}"
    elif not is_following and sync.confidence > 0:
        highest = sync.correlation * (1 + 2 / sync.confidence)
        if highest < limits.surely_unrelated_correlation:
            found[Reason.NOT_SPEECH] = f"{evidence}, at most {highest:.2f}"
    return found, sync


def judge_piece(points: np.ndarray, other_heights: list[float], sound: np.ndarray, limits: Limits) -> Judgement:
    """What can differ from clip to clip within a stretch."""
    found: Judgement = {}
    loudness = measure.loudness_decibels(sound)
    if loudness < limits.silence_decibels:
        found[Reason.SILENT_AUDIO] = f"loudest second at {loudness:.1f} dB"
    share = float(np.mean(np.asarray(other_heights) >= limits.second_face_height))
    if share > limits.second_face_share:
        found[Reason.SEVERAL_FACES] = f"a second face in {share:.0%} of the frames"
    height = float(np.median(measure.face_heights(points)))
    if height < limits.min_face_pixels:
        found[Reason.TOO_SMALL_FACE] = f"face {height:.0f} pixels high, at least {limits.min_face_pixels:.0f} wanted"
    motion = measure.head_motion(points)
    if motion > limits.max_head_motion:
        found[Reason.STRONG_HEAD_MOTION] = (
            f"nose moves {motion:.3f} face heights per frame, at most {limits.max_head_motion:g} allowed"
        )
    mouth = measure.mouth_range(measure.lip_opening(points))
    if mouth < limits.min_mouth_range:
        found[Reason.STILL_MOUTH] = f"lip opening varies by {mouth:.4f} face heights"
    lean = float(np.median(np.abs(measure.leans(points))))
    if lean > limits.max_head_lean:
        found[Reason.TILTED_HEAD] = f"tilted by {lean:.0f} degrees, at most {limits.max_head_lean:g} allowed"
    return found
