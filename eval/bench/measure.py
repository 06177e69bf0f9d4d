"""Every metric of one generated video against its clip: a value, or null and the reason.

Metrics called ``*_synth`` need the drawn world's truth; those of ``RealInstruments`` are for real footage and are left
out of the drawn world; the others work on any footage.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import numpy as np
import torch

from fada.eval.bench.footage import Footage
from fada.eval.bench.systems import BenchClip
from fada.eval.instruments.instruments import RealInstruments, Seen, look
from fada.eval.metrics import expression, fidelity, identity, mouth
from fada.eval.metrics.not_measurable import NotMeasurable
from fada.eval.metrics.registered import REGISTERED

MeasureAperture = Callable[[np.ndarray, dict[str, Any]], np.ndarray]
"""uint8 (F, H, W, 3) and the drawn world's truth -> the mouth's opening in px (F,)."""
MeasureLikeness = Callable[[np.ndarray, dict[str, Any]], np.ndarray]
"""The same -> how far the head is from the drawn person's, wherever it is, in grey levels (F,)."""
MeasureExpression = Callable[[np.ndarray, dict[str, Any]], np.ndarray]
"""The same -> brow lift, brow slant, lids and mouth corners (N, 4) of some of the frames."""
LandmarkAperture = Callable[[np.ndarray], np.ndarray]
"""uint8 (F, H, W, 3) -> the mouth's opening (F,), NaN where no face was found."""


@dataclass(frozen=True)
class Instruments:
    """What the metrics measure with; None switches the metrics off that need it, with that as their reason."""

    measure_aperture: MeasureAperture | None = None
    measure_likeness: MeasureLikeness | None = None
    measure_expression: MeasureExpression | None = None
    """Of drawn clips for which an emotion is asked."""
    landmark_aperture: LandmarkAperture | None = None
    real: RealInstruments | None = None
    """Of real footage; None leaves its metrics out."""


@dataclass(frozen=True)
class Measurement:
    """Values by metric name, and for every null the reason; features by their instrument's name, likewise."""

    values: dict[str, float | None]
    reasons: dict[str, str]
    features: dict[str, np.ndarray] = field(default_factory=dict)
    feature_reasons: dict[str, str] = field(default_factory=dict)


def measure_clip(
    clip: BenchClip,
    frames: np.ndarray,
    latents: torch.Tensor | None,
    instruments: Instruments,
    reference_latents: torch.Tensor | None = None,
    aperture_truth: dict[str, Any] | None = None,
) -> Measurement:
    """All metrics of one video.

    Args:
        clip: what it was generated from.
        frames: the generated video, uint8 (F, H, W, 3).
        latents: its latents (F, C, h, w), if there are any.
        instruments: what measures.
        reference_latents: the reference system's latents of the same clip and seed; None for the reference itself.
        aperture_truth: another clip's truth to take the sound's curve from (the shuffled-audio control).
    """
    tasks: dict[str, Callable[[], float]] = {}
    tasks.update(_mouth_tasks(clip, frames, instruments, aperture_truth))
    tasks.update(_emotion_tasks(clip, frames, instruments))
    tasks.update(_picture_tasks(clip, frames, instruments))
    tasks.update(_latent_tasks(clip, latents, reference_latents))
    tasks.update(_lip_tasks(clip, frames, instruments))
    tasks.update({name: partial(measure, clip, frames) for name, measure in REGISTERED.items()})
    values: dict[str, float | None] = {}
    reasons: dict[str, str] = {}
    for name, task in tasks.items():
        try:
            values[name] = float(task())
        except NotMeasurable as problem:
            values[name] = None
            reasons[name] = str(problem)
    seen = look_at(clip, frames, instruments)
    return Measurement(values | seen.values, reasons | seen.reasons, seen.features, seen.feature_reasons)


def look_at(clip: BenchClip, frames: np.ndarray, instruments: Instruments, only_sound: bool = False) -> Seen:
    """What the instruments of real footage say of a video; nothing for a drawn clip."""
    if clip.drawn_truth is not None or instruments.real is None:
        return Seen()
    footage = Footage(
        frames=frames,
        audio=clip.audio,
        fps=clip.fps,
        sample_rate=clip.sample_rate,
        reference=clip.reference,
        truth_frames=clip.truth_frames,
        read_face=instruments.real.read_face,
    )
    return look(footage, instruments.real, only_sound)


def _mouth_tasks(
    clip: BenchClip, frames: np.ndarray, instruments: Instruments, aperture_truth: dict[str, Any] | None
) -> dict[str, Callable[[], float]]:
    truth = clip.drawn_truth
    if truth is None:
        return {}

    @cache
    def measured() -> np.ndarray:
        if instruments.measure_aperture is None:
            raise NotMeasurable("no instrument for the mouth's opening was given")
        return measured_aperture(frames, truth, instruments.measure_aperture)

    def curves(unit: str) -> tuple[np.ndarray, np.ndarray]:
        own = measured()
        if unit == "share":
            return own, heard_aperture(aperture_truth or truth)
        if aperture_truth is not None:
            raise NotMeasurable("another face's mouth has another size in pixels")
        return own, _true_pixels(clip, truth, instruments)

    return {
        "mouth_correlation_synth": lambda: mouth.correlation(*curves("share"), still=mouth.STILL_PIXELS),
        "mouth_lag_synth": lambda: mouth.lag(*curves("share"), still=mouth.STILL_PIXELS),
        "aperture_mae_synth": lambda: mouth.mean_absolute_error(*curves("px")),
        "aperture_velocity_ratio_synth": lambda: mouth.velocity_ratio(*curves("px")),
        "aperture_velocity_distance_synth": lambda: mouth.velocity_distance(*curves("px")),
    }


def _emotion_tasks(clip: BenchClip, frames: np.ndarray, instruments: Instruments) -> dict[str, Callable[[], float]]:
    """Of drawn clips whose systems are asked for an emotion; nothing of others."""
    truth, asked = clip.drawn_truth, clip.emotion
    if truth is None or asked is None:
        return {}

    @cache
    def features() -> np.ndarray:
        if instruments.measure_expression is None:
            raise NotMeasurable("no instrument for a face's expression was given")
        return np.asarray(instruments.measure_expression(frames[: len(truth["aperture"])], truth), dtype=np.float64)

    label = asked.double().numpy()
    return {
        "emotion_error_synth": lambda: expression.emotion_error(features(), label),
        "emotion_strength_synth": lambda: expression.emotion_strength(features(), label),
    }


def measured_aperture(frames: np.ndarray, truth: dict[str, Any], measure: MeasureAperture) -> np.ndarray:
    """The mouth's opening in px (F,), over the frames that video and truth share."""
    total = len(truth["aperture"])
    count = min(len(frames), total)
    shared = {
        key: value[:count] if isinstance(value, list | np.ndarray) and len(value) == total else value
        for key, value in truth.items()
    }
    return np.asarray(measure(frames[:count], shared), dtype=np.float64)


def heard_aperture(truth: dict[str, Any]) -> np.ndarray:
    """The opening in [0, 1] (F,) that belongs to the clip's sound, also where the shown mouth was shifted."""
    return np.asarray(truth["heard_aperture" if "heard_aperture" in truth else "aperture"], dtype=np.float64)


def _true_pixels(clip: BenchClip, truth: dict[str, Any], instruments: Instruments) -> np.ndarray:
    if "aperture_px" in truth:
        return np.asarray(truth["aperture_px"], dtype=np.float64)
    if clip.truth_frames is None or instruments.measure_aperture is None:
        raise NotMeasurable("the truth holds neither aperture_px nor frames to measure it in")
    return measured_aperture(clip.truth_frames, truth, instruments.measure_aperture)


def _picture_tasks(clip: BenchClip, frames: np.ndarray, instruments: Instruments) -> dict[str, Callable[[], float]]:
    def truth() -> np.ndarray:
        if clip.truth_frames is None:
            raise NotMeasurable("the clip has no true video")
        return clip.truth_frames

    def head() -> np.ndarray:
        return identity.still_pixels(truth()) & identity.head_region(clip.drawn_truth or {}, truth().shape[1:3])

    tasks: dict[str, Callable[[], float]] = {
        "still_colour_error": lambda: identity.colour_error(frames, truth(), identity.still_pixels(truth())),
        "flicker": lambda: identity.flicker(frames, identity.still_pixels(truth())),
        "psnr_truth": lambda: fidelity.psnr(frames, truth()),
        "ssim_truth": lambda: fidelity.ssim(frames, truth()),
    }
    if clip.drawn_truth is None:
        return tasks | {"still_drift": lambda: identity.drift(frames, truth(), identity.still_pixels(truth()))}
    if clip.drawn_truth.get("moves_freely"):
        return tasks | _free_head_tasks(clip.drawn_truth, frames, instruments)
    return tasks | {
        "identity_error_synth": lambda: identity.colour_error(frames, truth(), head()),
        "identity_shape_error_synth": lambda: identity.shape_error(frames, truth()),
        "identity_drift_synth": lambda: identity.drift(frames, truth(), head()),
    }


def _free_head_tasks(
    truth: dict[str, Any], frames: np.ndarray, instruments: Instruments
) -> dict[str, Callable[[], float]]:
    """A head that may move in several ways is compared with the person at the place where it is."""

    @cache
    def errors() -> np.ndarray:
        if instruments.measure_likeness is None:
            raise NotMeasurable("no instrument for the likeness of a moving head was given")
        return np.asarray(instruments.measure_likeness(frames, truth), dtype=np.float64)

    def drift() -> float:
        quarter = max(1, len(errors()) // 4)
        return float(errors()[-quarter:].mean() - errors()[:quarter].mean())

    return {"identity_error_synth": lambda: float(errors().mean()), "identity_drift_synth": drift}


def _latent_tasks(
    clip: BenchClip, latents: torch.Tensor | None, reference_latents: torch.Tensor | None
) -> dict[str, Callable[[], float]]:
    def distance(other: torch.Tensor | None, missing: str) -> float:
        if latents is None:
            raise NotMeasurable("the system returned no latents")
        if other is None:
            raise NotMeasurable(missing)
        return fidelity.latent_mse(latents, other)

    return {
        "latent_mse_truth": lambda: distance(clip.truth_latents, "the clip has no true latents"),
        "latent_mse_reference": lambda: distance(reference_latents, "this is the reference, or it has no latents"),
    }


def _lip_tasks(clip: BenchClip, frames: np.ndarray, instruments: Instruments) -> dict[str, Callable[[], float]]:
    if clip.drawn_truth is not None:
        return {}

    def curves() -> tuple[np.ndarray, np.ndarray]:
        if instruments.landmark_aperture is None:
            raise NotMeasurable(
                RealInstruments.no_face_reason if instruments.real is None else instruments.real.no_face_reason
            )
        if clip.truth_frames is None:
            raise NotMeasurable("the clip has no true video")
        true = np.asarray(instruments.landmark_aperture(clip.truth_frames))
        if not np.isfinite(true).all():
            raise NotMeasurable(f"no face found in {int((~np.isfinite(true)).sum())} of {len(true)} true frames")
        return np.asarray(instruments.landmark_aperture(frames)), true

    return {"lip_correlation": lambda: mouth.correlation(*curves()), "lip_lag": lambda: mouth.lag(*curves())}
