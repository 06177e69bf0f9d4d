"""What FLOAT's transformer is told about a clip: the raw inputs, and what is computed of them once per clip."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from fada.teacher.dual_unet.layers import Hook


@dataclass(frozen=True)
class FloatInputs:
    """Inputs of a batch of clips.

    reference: (B, D), the portrait's motion latent. audio: windows of encoder states (B, M + F, window, layers, dim),
    zeros where there are no motion frames. emotion: (B, 7), shares. motion: latents (B, M, D) of the frames before.
    has_motion: (B,) booleans, None means all have.
    """

    reference: Tensor
    audio: Tensor
    emotion: Tensor
    motion: Tensor
    has_motion: Tensor | None = None


@dataclass(frozen=True)
class Conditions:
    """Conditions of clips, constant over denoising steps: nulls are not yet in their place.

    reference: (B, D). audio: (B, F, A), motion_audio: (B, M, A). emotion: (B, 7). motion: tokens (B, M, dim).
    """

    reference: Tensor
    audio: Tensor
    motion_audio: Tensor
    emotion: Tensor
    motion: Tensor


@dataclass(frozen=True)
class Rows:
    """Conditions of rows, a clip at a branch each.

    told: (rows, M + F, dim). motion: (rows, M, dim). origin: (rows, D), what latents are differences from; None: of
    nothing, they are as they are. Rows may have, from outside, hooks: what is done in front of each
    block to what frames are told; and time: (rows, dim) to be added to the time embedding.
    """

    told: Tensor
    motion: Tensor
    origin: Tensor | None = None
    hooks: list[Hook] = field(default_factory=list)
    time: Tensor | None = None
