"""A denoiser under multi-condition guidance, as a predictor for the solvers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from fada.diffusion.ladder import needed_rungs, rung_coefficients, weighted_rungs
from fada.diffusion.solvers import Predict
from fada.family import Denoiser


def guided(denoiser: Denoiser, conditions: Any, scales: Tensor) -> Predict:
    """Predictor that runs the rungs it needs in one batched pass and combines them.

    Args:
        scales: (B, rungs - 1), one row per clip, on the CPU (elsewhere this waits for the device); equal scales or
            ones make rungs fall away (method.md, section 2).
    """
    rungs = needed_rungs(scales)
    coefficients = rung_coefficients(scales)[:, list(rungs)]
    rows = BatchedRungs(denoiser, conditions, rungs)
    return lambda latents, t: weighted_rungs(rows.predict(latents, t), coefficients)


def at_rung(denoiser: Denoiser, conditions: Any, rung: Tensor) -> Predict:
    """Predictor with each clip at its own rung (B,), unguided; rungs on the CPU, or this waits for the device."""
    rows = denoiser.at_rungs(conditions, torch.arange(len(rung)), rung)
    return lambda latents, t: denoiser.evaluate(latents, t, rows)


class BatchedRungs:
    """The same rungs of every clip in one batched pass; what that needs of the conditions is made at the first one."""

    def __init__(self, denoiser: Denoiser, conditions: Any, rungs: Sequence[int]) -> None:
        self.denoiser, self.conditions, self.rungs = denoiser, conditions, rungs
        self.rows: Any = None

    def predict(self, latents: Tensor, t: Tensor) -> list[Tensor]:
        """Predictions (B, ...), one per rung."""
        batch, count = len(latents), len(self.rungs)
        if self.rows is None:
            clips, rungs = torch.arange(batch).repeat(count), torch.tensor(self.rungs).repeat_interleave(batch)
            self.rows = self.denoiser.at_rungs(self.conditions, clips, rungs)
        stacked = self.denoiser.evaluate(torch.cat([latents] * count), t.repeat(count), self.rows)
        return list(stacked.chunk(count))
