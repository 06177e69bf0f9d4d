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

    @property
    def ladder(self) -> Sequence[str]:
        """Names of the rungs, unconditional first (method.md, section 2)."""
        ...

    path: NoisePath
    """The noise path that it was trained on, and what it predicts."""

    def inputs_of(self, clips: Any) -> Any:
        """What the family's networks take, from the inputs that are the same for all (`teacher/inputs.py`)."""
        ...

    def prepare(self, inputs: Any) -> Any:
        """What is constant over denoising steps (reference features, audio tokens), from the inputs of a batch."""
        ...

    def at_rungs(self, conditions: Any, clips: Tensor, rungs: Tensor) -> Any:
        """Conditions of rows, once per solve: of clip `clips[i]`, dropped to rung `rungs[i]`; both (rows,).

        Wherever the conditions lie; both decide what is computed, and on the CPU nothing waits for a device.
        """
        ...

    def evaluate(self, latents: Tensor, t: Tensor, conditions: Any) -> Tensor:
        """Prediction of rows (rows, F, C, h, w) at times (rows,) in [0, 1], one pass."""
        ...
