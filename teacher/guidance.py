"""A denoiser under multi-condition guidance, as a predictor for the solvers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from fada.diffusion.guidance import branch_coefficients, needed_branches, weighted_branches
from fada.diffusion.shapes import Branches, Latents, PerSample, Scales
from fada.diffusion.solvers import Predict
from fada.family import Denoiser


def guided(denoiser: Denoiser, conditions: Any, scales: Scales) -> Predict:
    """Predictor that runs the branches it needs in one batched pass and combines them.

    Args:
        scales: (B, branches - 1), one row per clip, on the CPU (elsewhere this waits for the device); equal scales or
            ones make branches fall away (method.md, section 2).
    """
    branches = needed_branches(scales)
    coefficients = branch_coefficients(scales)[:, list(branches)]
    rows = BatchedBranches(denoiser, conditions, branches)
    return lambda latents, t: weighted_branches(rows.predict(latents, t), coefficients)


def at_branch(denoiser: Denoiser, conditions: Any, branch: Branches) -> Predict:
    """Predictor with each clip at its own branch (B,), unguided; branches on the CPU, or this waits for the device."""
    rows = denoiser.expand(conditions, torch.arange(len(branch)), branch)
    return lambda latents, t: denoiser.evaluate(latents, t, rows)


class BatchedBranches:
    """The same branches of every clip in one batched pass; what that needs of conditions is made at the first one."""

    def __init__(self, denoiser: Denoiser, conditions: Any, branches: Sequence[int]) -> None:
        self.denoiser, self.conditions, self.branches = denoiser, conditions, branches
        self.rows: Any = None

    def predict(self, latents: Latents, t: PerSample) -> list[Latents]:
        """Predictions (B, ...), one per branch."""
        batch, count = len(latents), len(self.branches)
        if self.rows is None:
            clips, branches = torch.arange(batch).repeat(count), torch.tensor(self.branches).repeat_interleave(batch)
            self.rows = self.denoiser.expand(self.conditions, clips, branches)
        stacked = self.denoiser.evaluate(torch.cat([latents] * count), t.repeat(count), self.rows)
        return list(stacked.chunk(count))
