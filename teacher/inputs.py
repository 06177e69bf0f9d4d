"""What the networks of every teacher family are given of a clip."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

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
    kept: which frames keep their strong conditions, None means all do; emotion: soft labels (B, 7) for families that
    are given one (`fada.data.clips.emotion`); motion_audio: windows (B, M, window, layers, dim) of the motion frames
    for those that hear them, zeros where has_motion is False.
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
        inputs = cls(batch.reference, batch.audio, face=batch.face, keypoints=batch.keypoints, emotion=batch.emotion)
        if batch.motion.shape[1] == 0:
            return inputs
        has_motion = batch.has_motion if keeps_motion is None else batch.has_motion & keeps_motion
        heard = batch.motion_audio
        if heard is not None:
            # The sound of frames that are dropped would tell of them.
            heard = torch.where(has_motion.reshape(-1, *(1,) * (heard.ndim - 1)), heard, torch.zeros_like(heard))
        return replace(inputs, motion=batch.motion, has_motion=has_motion, motion_audio=heard)

    def without_motion(self) -> ClipInputs:
        """The same without motion frames, as images are trained on."""
        return replace(self, motion=None, has_motion=None, motion_audio=None)

    def to(self, dtype: torch.dtype) -> ClipInputs:
        """The same inputs in another floating-point type."""
        names = ("reference", "audio", "motion", "emotion", "motion_audio")
        tensors = {name: getattr(self, name) for name in names}
        cast: dict[str, Any] = {name: each.to(dtype) for name, each in tensors.items() if each is not None}
        return replace(self, **cast)
