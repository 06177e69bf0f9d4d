"""Hallo as one denoiser: conditions prepared once per clip, any set of rungs in one batched pass."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fada.diffusion.paths import NoisePath
from fada.teacher.dual_unet.audio_projection import AudioProjection
from fada.teacher.dual_unet.model import RUNGS
from fada.teacher.hallo.conditions import BankTiling, Conditions, HalloInputs, ReferenceFeatures, writer_tokens
from fada.teacher.hallo.projections import FaceLocator, FaceProjection
from fada.teacher.hallo.unets import HalloDenoisingUNet, HalloReferenceUNet


class Hallo(nn.Module):
    """The five networks; rung 0 sees nothing, 1 reference and face, 2 the audio too. Motion frames belong to all.

    Args:
        bank_tiling: `released` repeats what the public code does with guidance on, `fixed` what it means to do.
        motion_frames: how many a first clip gets as copies of its reference.
        region_weights: of what the background, the face and the lips hear.
    """

    ladder: Sequence[str] = RUNGS

    def __init__(
        self,
        reference_unet: HalloReferenceUNet,
        denoising_unet: HalloDenoisingUNet,
        audio_projection: AudioProjection,
        face_projection: FaceProjection,
        face_locator: FaceLocator,
        path: NoisePath,
        *,
        bank_tiling: BankTiling = "released",
        motion_frames: int = 2,
        region_weights: tuple[float, float, float] = (1.0, 1.0, 1.0),
    ) -> None:
        super().__init__()
        if bank_tiling not in ("released", "fixed"):
            raise ValueError(f"bank_tiling: got {bank_tiling!r}; choose from released, fixed")
        self.reference_unet = reference_unet
        self.denoising_unet = denoising_unet
        self.audio_projection = audio_projection
        self.face_projection = face_projection
        self.face_locator = face_locator
        self.path = path
        self.bank_tiling: BankTiling = bank_tiling
        self.motion_frames = motion_frames
        self.region_weights = region_weights

    @property
    def dtype(self) -> torch.dtype:
        return self.denoising_unet.conv_in.weight.dtype

    def face_tokens(self, inputs: HalloInputs) -> Tensor:
        """Tokens (B, 2, tokens, dim): of a zero face embedding, and of the clip's own."""
        embedding = inputs.face_embedding.to(self.dtype)
        return self.face_projection(torch.stack((torch.zeros_like(embedding), embedding), dim=1))

    def features(self, inputs: HalloInputs, face: Tensor) -> ReferenceFeatures:
        """The reference net's features, one pass per clip over both branches' images at t = 0."""
        reference = inputs.reference.to(self.dtype)[:, None]
        motion = inputs.motion
        if motion is None:
            motion = reference.expand(-1, self.motion_frames, -1, -1, -1)
        images = torch.cat((reference, motion.to(self.dtype)), dim=1)
        tokens = writer_tokens(face[:, 0], face[:, 1], images.shape[1], self.bank_tiling)
        return self.reference_unet(images[:, None].expand(-1, 2, *[-1] * 4), tokens)

    def prepare(self, inputs: HalloInputs) -> Conditions:
        """Conditions of a batch of clips."""
        _check(inputs, len(self.denoising_unet.down_blocks))
        face = self.face_tokens(inputs)
        features = self.features(inputs, face)
        conditions = self.denoising_unet.contexts(
            features,
            face,
            self.audio_projection(inputs.audio.to(self.dtype)),
            self.face_locator(inputs.face_region.to(self.dtype)),
            [mask.to(self.dtype) for mask in inputs.masks],
        )
        return conditions if self.bank_tiling == "released" else conditions.with_real_bank()

    def predict(self, latents: Tensor, t: Tensor, conditions: Conditions, rungs: Sequence[int]) -> list[Tensor]:
        """Predictions (B, F, C, h, w) at several rungs, in one batched pass."""
        batch, count = latents.shape[0], len(rungs)
        clips = torch.arange(batch, device=latents.device).repeat(count)
        rung = torch.tensor(list(rungs), device=latents.device).repeat_interleave(batch)
        stacked = self._evaluate(latents.repeat(count, 1, 1, 1, 1), t.repeat(count), conditions.at_rungs(clips, rung))
        return list(stacked.chunk(count))

    def predict_at(self, latents: Tensor, t: Tensor, conditions: Conditions, rung: Tensor) -> Tensor:
        """Prediction (B, F, C, h, w) with each sample at its own rung (B,)."""
        clips = torch.arange(len(latents), device=latents.device)
        return self._evaluate(latents, t, conditions.at_rungs(clips, rung))

    def _evaluate(self, latents: Tensor, t: Tensor, conditions: Conditions) -> Tensor:
        timestep = self.path.network_timestep(t).to(latents.device)
        return self.denoising_unet(latents.to(self.dtype), timestep, conditions, self.region_weights)


def _check(inputs: HalloInputs, levels: int) -> None:
    """Raises ValueError where a clip's pictures do not fit together."""
    height, width = inputs.reference.shape[-2:]
    if height != width:
        raise ValueError(f"Hallo's networks know squares only: reference latents are {height} x {width}")
    if tuple(inputs.face_region.shape[-2:]) != (8 * height, 8 * width):
        raise ValueError(
            f"face_region is {tuple(inputs.face_region.shape[-2:])}, latents of {height} x {width} need "
            f"{8 * height} x {8 * width} pixels"
        )
    sides = [-(-height // 2**level) for level in range(levels)]
    got = [tuple(mask.shape[-3:]) for mask in inputs.masks]
    if got != [(3, side, side) for side in sides]:
        raise ValueError(f"masks: one (B, 3, h, w) per level, sides {sides}; got shapes {got}")
