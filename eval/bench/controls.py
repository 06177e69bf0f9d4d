"""Rows whose right answer is known beforehand: they show that the instruments work.

Truth must score best, a true video under another clip's sound near zero, a frozen mouth zero motion; on real footage
a blurred picture must score worse than a sharp one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d

from fada.eval.bench.measure import Instruments, Measurement, heard_aperture, look_at, measure_clip
from fada.eval.bench.systems import BenchClip
from fada.media.frame_count import frame_count, sample_count

TRUTH, SHUFFLED, FROZEN = "control-truth", "control-shuffled-audio", "control-frozen-mouth"
BLURRED = "control-blurred"
BLUR = 0.015
"""Standard deviation of the blurred control's blur, as a share of the picture's smaller side."""
CONTROLS = {
    TRUTH: "the real video itself: the best any system can score with these instruments",
    SHUFFLED: "the real video against another clip's sound: what chance scores",
    FROZEN: "the first real frame repeated: a perfect picture that does not speak",
    BLURRED: f"the real video, blurred by {BLUR:.1%} of its side: moves and speaks, but is not sharp",
}


def measure_controls(
    clip: BenchClip, clips: Sequence[BenchClip], instruments: Instruments, reference_latents: torch.Tensor | None
) -> dict[str, Measurement]:
    """The controls' measurements of one clip; none of them where it has no true video, no shuffled one without a
    second sound, a blurred one on real footage only."""
    if clip.truth_frames is None:
        return {}
    latents = clip.truth_latents
    controls = {TRUTH: measure_clip(clip, clip.truth_frames, latents, instruments, reference_latents)}
    shuffled = _under_another_sound(clip, clips, instruments)
    if shuffled is not None:
        controls[SHUFFLED] = shuffled
    frozen_frames = np.repeat(clip.truth_frames[:1], len(clip.truth_frames), axis=0)
    frozen_latents = None if latents is None else latents[:1].expand_as(latents)
    controls[FROZEN] = measure_clip(clip, frozen_frames, frozen_latents, instruments, reference_latents)
    if clip.drawn_truth is None:
        controls[BLURRED] = measure_clip(clip, blurred(clip.truth_frames), None, instruments)
    return controls


def blurred(frames: np.ndarray, share: float = BLUR) -> np.ndarray:
    """A video (F, H, W, 3) uint8 under a Gaussian blur of this share of its smaller side."""
    sigma = share * min(frames.shape[1:3])
    soft = gaussian_filter1d(gaussian_filter1d(frames.astype(np.float32), sigma, axis=1), sigma, axis=2)
    return soft.round().clip(0, 255).astype(np.uint8)


def _under_another_sound(clip: BenchClip, clips: Sequence[BenchClip], instruments: Instruments) -> Measurement | None:
    """The true video against another clip's sound; None where nothing would hear it."""
    partner = other_sound(clip, clips)
    if partner is None or clip.truth_frames is None:
        return None
    if clip.drawn_truth is not None:
        return _only_mouth(measure_clip(clip, clip.truth_frames, None, instruments, None, partner.drawn_truth))
    # As long as the shorter of both; silence at an end would be another sound than speech.
    count = min(len(clip.truth_frames), frame_count(len(partner.audio), clip.sample_rate, clip.fps))
    heard = replace(clip, audio=partner.audio[: sample_count(count, clip.sample_rate, clip.fps)])
    seen = look_at(heard, clip.truth_frames[:count], instruments, only_sound=True)
    return Measurement(seen.values, seen.reasons) if seen.values else None


def other_sound(clip: BenchClip, clips: Sequence[BenchClip]) -> BenchClip | None:
    """The next clip after ``clip`` (round robin) with another sound, as drawn clips are with drawn ones; None if there
    is none."""
    place = next(index for index, other in enumerate(clips) if other.key == clip.key)
    return next((other for other in [*clips[place + 1 :], *clips[:place]] if _sounds_differ(clip, other)), None)


def _sounds_differ(clip: BenchClip, other: BenchClip) -> bool:
    if clip.drawn_truth is None or other.drawn_truth is None:
        is_same_kind = clip.drawn_truth is None and other.drawn_truth is None
        return is_same_kind and not np.array_equal(clip.audio, other.audio)
    return not np.array_equal(heard_aperture(other.drawn_truth), heard_aperture(clip.drawn_truth))


def _only_mouth(measurement: Measurement) -> Measurement:
    names = ("mouth_correlation_synth", "mouth_lag_synth")
    kept = {name: measurement.values[name] for name in names}
    return Measurement(kept, {name: why for name, why in measurement.reasons.items() if name in names})
