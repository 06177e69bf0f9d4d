"""What the core expects of the models that it distils.

A teacher family implements `Denoiser`; targets, guidance, students and samplers use nothing else of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

if TYPE_CHECKING:
    from fada.diffusion.paths import NoisePath


class Denoiser(Protocol):
    """A network that predicts noise (or v) of a clip under conditions that are dropped in a fixed order."""

    ladder: Sequence[str]
    """Names of the rungs, unconditional first (method.md, section 2)."""
    path: NoisePath
    """The noise path that it was trained on, and what it predicts."""

    def prepare(self, inputs: Any) -> Any:
        """What is constant over denoising steps (reference features, audio tokens), from a batch of clips."""
        ...

    def predict(self, latents: Tensor, t: Tensor, conditions: Any, rungs: Sequence[int]) -> list[Tensor]:
        """Predictions at several rungs, in one batched pass; latents (B, F, C, H, W), t (B,) in [0, 1]."""
        ...

    def predict_at(self, latents: Tensor, t: Tensor, conditions: Any, rung: Tensor) -> Tensor:
        """Prediction with each sample at its own rung (B,)."""
        ...
