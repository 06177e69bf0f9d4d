"""A denoiser under multi-condition guidance, as a predictor for the solvers."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from fada.diffusion.ladder import needed_rungs, rung_coefficients, weighted_rungs
from fada.diffusion.solvers import Predict
from fada.protocols import Denoiser


def guided(denoiser: Denoiser, conditions: Any, scales: Tensor) -> Predict:
    """Predictor that runs the rungs it needs in one batched pass and combines them.

    Args:
        scales: (B, rungs - 1), one row per clip; equal scales or ones make rungs fall away (method.md, section 2).
    """
    rungs = needed_rungs(scales)
    coefficients = rung_coefficients(scales)[:, list(rungs)]

    def predict(latents: Tensor, t: Tensor) -> Tensor:
        predictions = denoiser.predict(latents, t, conditions, rungs)
        return weighted_rungs(predictions, coefficients.to(latents.device))

    return predict


def at_rung(denoiser: Denoiser, conditions: Any, rung: Tensor) -> Predict:
    """Predictor with each clip at its own rung (B,), unguided."""
    return lambda latents, t: denoiser.predict_at(latents, t, conditions, rung)
