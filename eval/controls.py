"""Rows whose right answer is known beforehand: they show that the instruments work.

Truth must score best, a true video under another clip's sound near zero, a frozen mouth zero motion.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from fada.eval.measure import Instruments, Measurement, heard_aperture, measure_clip
from fada.eval.systems import BenchClip

TRUTH, SHUFFLED, FROZEN = "control-truth", "control-shuffled-audio", "control-frozen-mouth"
CONTROLS = {
    TRUTH: "the real video itself: the best any system can score with these instruments",
    SHUFFLED: "the real video against another clip's sound: what chance scores",
    FROZEN: "the first real frame repeated: a perfect picture that does not speak",
}


def measure_controls(
    clip: BenchClip, clips: Sequence[BenchClip], instruments: Instruments, reference_latents: torch.Tensor | None
) -> dict[str, Measurement]:
    """The controls' measurements of one clip; none of them where it has no true video, no shuffled one without a
    second drawn sound."""
    if clip.truth_frames is None:
        return {}
    latents = clip.truth_latents
    controls = {TRUTH: measure_clip(clip, clip.truth_frames, latents, instruments, reference_latents)}
    partner = other_sound(clip, clips)
    if partner is not None:
        shuffled = measure_clip(clip, clip.truth_frames, None, instruments, None, partner.drawn_truth)
        controls[SHUFFLED] = _only_mouth(shuffled)
    frozen_frames = np.repeat(clip.truth_frames[:1], len(clip.truth_frames), axis=0)
    frozen_latents = None if latents is None else latents[:1].expand_as(latents)
    controls[FROZEN] = measure_clip(clip, frozen_frames, frozen_latents, instruments, reference_latents)
    return controls


def other_sound(clip: BenchClip, clips: Sequence[BenchClip]) -> BenchClip | None:
    """The next clip after ``clip`` (round robin) whose drawn mouth moves differently; None if there is none."""
    if clip.drawn_truth is None:
        return None
    own = heard_aperture(clip.drawn_truth)
    place = next(index for index, other in enumerate(clips) if other.key == clip.key)
    for other in [*clips[place + 1 :], *clips[:place]]:
        if other.drawn_truth is not None and not np.array_equal(heard_aperture(other.drawn_truth), own):
            return other
    return None


def _only_mouth(measurement: Measurement) -> Measurement:
    names = ("mouth_correlation_synth", "mouth_lag_synth")
    kept = {name: measurement.values[name] for name in names}
    return Measurement(kept, {name: why for name, why in measurement.reasons.items() if name in names})
