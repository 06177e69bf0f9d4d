"""What the networks of every teacher family are given of a clip."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from fada.data.clips.face import FaceClues
    from fada.data.clips.keypoints import Keypoints
    from fada.data.sampling.dataset import Batch
    from fada.teacher.frame_dropout import KeptFrames


@dataclass(frozen=True)
class ClipInputs:
    """Inputs of a batch of clips.

    reference: latents (B, C, H, W); audio: windows of encoder states (B, F, window, layers, dim);
    motion: latents (B, M, C, H, W) of the frames before, or None; has_motion: (B,) booleans, None means all have;
    face: what families ask for that are told of the face itself; keypoints: (B, F, ...) for those that are shown them;
    kept: which frames keep their strong conditions, None means all do.
    emotion: (B, 7) shares; motion_audio: windows (B, M, window, layers, dim) of the motion frames; for families that
    are told of them.
    """

    reference: Tensor
    audio: Tensor
    motion: Tensor | None = None
    has_motion: Tensor | None = None
    face: FaceClues | None = None
    keypoints: Keypoints | None = None
    kept: KeptFrames | None = None
    emotion: Tensor | None = None
    motion_audio: Tensor | None = None

    @classmethod
    def of_batch(cls, batch: Batch, keeps_motion: Tensor | None = None) -> ClipInputs:
        """Inputs of training samples; `keeps_motion` (B,) is False where motion frames are dropped."""
        inputs = cls(batch.reference, batch.audio, face=batch.face, keypoints=batch.keypoints)
        if batch.motion.shape[1] == 0:
            return inputs
        has_motion = batch.has_motion if keeps_motion is None else batch.has_motion & keeps_motion
        return replace(inputs, motion=batch.motion, has_motion=has_motion)

    def without_motion(self) -> ClipInputs:
        """The same without motion frames, as images are trained on."""
        return replace(self, motion=None, has_motion=None)

    def to(self, dtype: torch.dtype) -> ClipInputs:
        """The same inputs in another floating-point type."""
        return replace(
            self,
            reference=self.reference.to(dtype),
            audio=self.audio.to(dtype),
            motion=None if self.motion is None else self.motion.to(dtype),
        )
