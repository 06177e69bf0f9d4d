"""V-Express's conditional dropout: in some frames of a training sample the strong conditions are not there.

Without reference and keypoints a frame can only be made of its neighbours, by the motion modules, and of the sound.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from fada.data.sampling.seeds import sample_generator
from fada.diffusion.transfer import moved


@dataclass(frozen=True)
class FrameDropout:
    """Shares of the frames whose condition is replaced by zeros, each on its own: the paper gives none, the released
    training settings have 0.

    Raises:
        ValueError: a share is not in [0, 1].
    """

    reference: float = 0.0
    keypoints: float = 0.0

    def __post_init__(self) -> None:
        for name in ("reference", "keypoints"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(
                    f"conditional dropout: {name} is a share of the frames, 0 to 1, got {getattr(self, name)}"
                )


@dataclass(frozen=True)
class KeptFrames:
    """Which frames (B, F) of a batch keep their condition, booleans."""

    reference: Tensor
    keypoints: Tensor

    def to(self, device: torch.device | str) -> KeptFrames:
        """The same on another device."""
        return KeptFrames(moved(self.reference, device), moved(self.keypoints, device))


def draw_kept_frames(rates: FrameDropout, frames: int, seed: int, step: int, samples: Iterable[int]) -> KeptFrames:
    """What the samples of a step keep; it follows from seed, step and sample, on any number of processes.

    A frame has one draw for each condition, which all layers share. (The public code draws anew in every attention
    layer, so that a frame hardly ever lacks its reference in all of them.)
    """
    draws = [
        torch.rand(2, frames, generator=sample_generator(seed, step, sample, "conditional dropout"))
        for sample in samples
    ]
    reference, keypoints = torch.stack(draws).unbind(1)
    return KeptFrames(reference >= rates.reference, keypoints >= rates.keypoints)


def keep_frames(features: Tensor, kept: Tensor) -> Tensor:
    """Features (B, F, ...) with zeros in frames that are not kept (B, F); so are their gradients.

    For the reference this may stand behind the attention to the bank, before its output layer: keys and values have no
    bias, so that attention over a bank of zeros is zero.
    """
    return features * kept.to(features.dtype).reshape(kept.shape + (1,) * (features.ndim - kept.ndim))
