"""What is measured of FLOAT's rows: mouths and feelings in decoded frames, the rest in latents.

Latents are compared along the codec's directions: what a model makes outside of them, decoding drops.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from fada.eval.bench.measure import measure_clip
from fada.eval.bench.systems import BenchClip
from fada.eval.metrics.frechet import frechet_distance
from fada.eval.metrics.smoothness import second_difference, step_between, step_inside
from fada.generation.avatar_pipeline import AvatarPipeline
from fada.studies.bench_setting import Setting
from fada.studies.systems import generator, instruments
from fada.studies.teachers.page import Measure, clip_mean, ratio_of_means
from fada.teacher.codec import appearance_of, decode_latents

FRAMES_SAY = {
    "response": "mouth_correlation_synth",
    "lag": "mouth_lag_synth",
    "emotion_error": "emotion_error_synth",
    "emotion_strength": "emotion_strength_synth",
    "identity": "identity_error_synth",
}
"""What is kept of a video, and the metric that it is."""


def _mean(name: str) -> Any:
    return lambda found: clip_mean(found["clips"], name)


def _ratio(name: str, over: str) -> Any:
    return lambda found: ratio_of_means(found["clips"], name, over)


MEASURES = {
    "response": Measure("mouth follows sound, r", _mean("response"), digits=3),
    "lag": Measure("lag, frames", _mean("lag")),
    "emotion_error": Measure("expression error", _mean("emotion_error"), digits=3),
    "emotion_strength": Measure("expression strength", _mean("emotion_strength")),
    "latents": Measure("latent error", _mean("latents"), digits=3),
    "frechet": Measure("Fréchet distance of latents", lambda found: found["frechet"]),
    "motion": Measure("motion, of the truth's", _ratio("deviation", "true_deviation")),
    "jitter": Measure("jitter, of the truth's", _ratio("second_difference", "true_second_difference")),
    "boundary": Measure("step between windows, of those inside", _ratio("step_between", "step_inside")),
    "identity": Measure("identity error, levels", _mean("identity")),
}
"""Of what is kept of a row and seed; the page explains them."""
SWEPT = ("response", "emotion_error", "emotion_strength", "motion", "jitter")
"""What the page shows of a sweep."""


def made_by(built: AvatarPipeline, setting: Setting, clips: Sequence[BenchClip]) -> dict[str, Any]:
    """All measures of a model at one setting: `clips` by name, `frechet`, and `evaluations` of a window."""
    generate = generator(built, setting)
    made = [generate(clip, clip.seed(0)) for clip in clips]
    latents = [each.latents for each in made]
    assert all(each is not None for each in latents)
    found = compared_with_truth(built, clips, latents, [each.frames for each in made])  # type: ignore[arg-type]
    return found | {"evaluations": made[0].nfe}


def true_latents(built: AvatarPipeline, clips: Sequence[BenchClip]) -> dict[str, Any]:
    """The same of the true latents: what codec and instruments leave for a model to reach."""
    latents = [_truth(clip) for clip in clips]
    frames = [
        decode_latents(built.vae, each, appearance_of(built.vae, clip.reference))
        for each, clip in zip(latents, clips, strict=True)
    ]
    return compared_with_truth(built, clips, latents, frames)


def compared_with_truth(
    built: AvatarPipeline, clips: Sequence[BenchClip], latents: Sequence[torch.Tensor], frames: Sequence[np.ndarray]
) -> dict[str, Any]:
    """`clips`, values of each video by name, and `frechet`, the distance of all frames' latents from the true ones."""
    own = [_coordinates(built, each) for each in latents]
    true = [_coordinates(built, _truth(clip)) for clip in clips]
    window = int(built.config.frames)
    values = {
        clip.key: {**in_frames(clip, video), **in_latents(mine, theirs, window)}
        for clip, video, mine, theirs in zip(clips, frames, own, true, strict=True)
    }
    return {"clips": values, "frechet": frechet_distance(np.concatenate(own), np.concatenate(true))}


def in_frames(clip: BenchClip, frames: np.ndarray) -> dict[str, float | None]:
    """What the world's instruments say of a video; None where they say nothing, as of a neutral face's strength."""
    found = measure_clip(clip, frames, None, instruments([clip])).values
    return {name: found[metric] for name, metric in FRAMES_SAY.items()}


def in_latents(own: np.ndarray, true: np.ndarray, window: int) -> dict[str, float]:
    """Coordinates (F, D) of a video against the true ones: error; deviation over time, steps, second differences."""
    smoothness = {
        "second_difference": second_difference,
        "step_inside": step_inside,
        "step_between": step_between,
    }
    found = {name: measure(own, window) for name, measure in smoothness.items()}
    found |= {f"true_{name}": measure(true, window) for name, measure in smoothness.items()}
    found |= {"deviation": _deviation(own), "true_deviation": _deviation(true)}
    return found | {"latents": float(np.square(own - true).mean())}


def _deviation(coordinates: np.ndarray) -> float:
    """How far a video's frames are from their mean, the root of the mean square over frames and coordinates."""
    return float(np.sqrt(coordinates.var(axis=0).mean()))


def _coordinates(built: AvatarPipeline, latents: torch.Tensor) -> np.ndarray:
    """(F, directions) in float64."""
    with torch.no_grad():
        found: np.ndarray = built.vae.coordinates(latents.to(built.device)).double().cpu().numpy()
    return found


def _truth(clip: BenchClip) -> torch.Tensor:
    assert clip.truth_latents is not None
    return clip.truth_latents
