"""Metrics over all of a system's clips: Fréchet and kernel distance of pooled latents, with N, d and a real floor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from fada.eval.metrics.frechet import frechet_distance, kernel_distance
from fada.eval.metrics.latent_features import latent_features
from fada.eval.metrics.not_measurable import NotMeasurable
from fada.eval.systems import BenchClip

_DISTANCES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "fd_latent": frechet_distance,
    "kd_latent": kernel_distance,
}


def latent_set_metrics(
    system: str, latents: Sequence[torch.Tensor | None], clips: Sequence[BenchClip]
) -> list[dict[str, Any]]:
    """``fd_latent`` and ``kd_latent`` of one system (``_synth`` in the drawn world), each with N, d and floor.

    The floor is the same distance between the true clips at even and at odd places: what two real halves score.
    """
    suffix = "_synth" if all(clip.drawn_truth is not None for clip in clips) else ""
    truths = [clip.truth_latents for clip in clips]
    return [_one(name + suffix, distance, system, latents, truths) for name, distance in _DISTANCES.items()]


def _one(
    name: str,
    distance: Callable[[np.ndarray, np.ndarray], float],
    system: str,
    latents: Sequence[torch.Tensor | None],
    truths: Sequence[torch.Tensor | None],
) -> dict[str, Any]:
    row: dict[str, Any] = {"metric": name, "system": system, "value": None, "reason": None, "floor": None}
    generated = [video for video in latents if video is not None]
    real = [video for video in truths if video is not None]
    try:
        if len(generated) < len(latents) or len(real) < len(truths):
            raise NotMeasurable("latents are missing for some generated or true clips")
        features, real_features = latent_features(generated), latent_features(real)
        row["videos"], row["samples"], row["dimensions"] = len(generated), *features.shape
        row["value"] = distance(features, real_features)
        if len(real) >= 2:
            halves = latent_features(real[0::2]), latent_features(real[1::2])
            row["floor"], row["floor_samples"] = distance(*halves), [len(half) for half in halves]
    except NotMeasurable as problem:
        row["reason"] = str(problem)
    return row
