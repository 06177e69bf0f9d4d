"""Metrics over all of a system's clips: Fréchet and kernel distances of features, with N, d and what real clips score.

Two kinds of features: pooled latents, which need no weights, and those of the instruments of real footage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from fada.eval.bench.systems import BenchClip
from fada.eval.instruments.instruments import DISTANCES, RealInstruments
from fada.eval.metrics.frechet import frechet_distance, kernel_distance
from fada.eval.metrics.latent_features import latent_features
from fada.eval.metrics.not_measurable import NotMeasurable
from fada.eval.statistics.set_intervals import leave_one_out, video_interval

Features = tuple[Mapping[str, np.ndarray], Mapping[str, str]]
"""Of one video: features by instrument, and for each that is missing the reason."""
_DISTANCES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "fd_latent": frechet_distance,
    "kd_latent": kernel_distance,
}


def latent_set_metrics(
    system: str, latents: Sequence[torch.Tensor | None], clips: Sequence[BenchClip]
) -> list[dict[str, Any]]:
    """``fd_latent`` and ``kd_latent`` of one system (``_synth`` in the drawn world), each with N, d and floor.

    ``value`` is the distance to the same clips' true videos, of the same people and sounds. What other people's videos
    score is another question: ``floor`` is the distance between the true clips at even and at odd places, and
    ``other_clips`` that of the generated videos at even places to the true ones at odd places, and the other way
    round: only these two may be set beside each other. ``without`` has the value without each clip in turn.
    """
    suffix = "_synth" if all(clip.drawn_truth is not None for clip in clips) else ""
    truths = [clip.truth_latents for clip in clips]
    generated, real = _latent_rows(latents), _latent_rows(truths)
    missing = len(generated) < len(latents) or len(real) < len(truths)
    reason = "latents are missing for some generated or true clips" if missing else None
    return [
        _one(name + suffix, distance, system, generated, real, "frames", reason)
        for name, distance in _DISTANCES.items()
    ]


def real_set_metrics(
    system: str, videos: Sequence[Features], truths: Sequence[Features], instruments: RealInstruments
) -> list[dict[str, Any]]:
    """The distances of every feature instrument of one system or control, as above.

    Args:
        system: its name.
        videos: features and reasons of its videos, clip by clip.
        truths: those of the true videos.
        instruments: of real footage.
    """
    rows = []
    for instrument in instruments.features:
        name = instrument.name
        reason = next((missing[name] for _, missing in [*videos, *truths] if name in missing), None)
        generated, real = ([found[name] for found, _ in part if name in found] for part in (videos, truths))
        for metric in instrument.metrics:
            row = _one(metric, DISTANCES[metric], system, generated, real, instrument.unit, reason)
            rows.append(row)
    return rows


def _latent_rows(videos: Sequence[torch.Tensor | None]) -> list[np.ndarray]:
    return [latent_features([video]) for video in videos if video is not None]


def _one(
    name: str,
    distance: Callable[[np.ndarray, np.ndarray], float],
    system: str,
    generated: Sequence[np.ndarray],
    real: Sequence[np.ndarray],
    unit: str,
    reason: str | None,
) -> dict[str, Any]:
    """One row; features are (n, d) per video."""
    row: dict[str, Any] = {"metric": name, "system": system, "value": None, "reason": reason, "floor": None}
    row |= {"other_clips": None, "without": None}
    if reason is not None:
        return row
    try:
        features, real_features = np.concatenate(list(generated)), np.concatenate(list(real))
        row["videos"], row["samples"], row["dimensions"], row["unit"] = len(generated), *features.shape, unit
        row["value"] = distance(features, real_features)
        if len(real) >= 2:
            halves, made = ([np.concatenate(list(side[first::2])) for first in (0, 1)] for side in (real, generated))
            row["floor"], row["floor_samples"] = distance(*halves), [len(half) for half in halves]
            # The halves swapped: each is compared with the true videos of other clips, as the floor is.
            row["other_clips"] = (distance(made[0], halves[1]) + distance(halves[0], made[1])) / 2
        row["without"] = leave_one_out(distance, generated, real)
        ends = video_interval(distance, generated, real)
        row["interval"] = None if ends is None else list(ends)
    except NotMeasurable as problem:
        row["reason"] = str(problem)
    return row
