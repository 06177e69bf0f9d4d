"""Hallo as one denoiser: conditions prepared once per clip, any set of branches in one batched pass."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from fada.data.clips.face_masks import face_region, region_masks
from fada.diffusion.paths import NoisePath
from fada.diffusion.shapes import Latents, PerSample
from fada.diffusion.transfer import moved
from fada.teacher.denoiser import AvatarDenoiser, Sites
from fada.teacher.dual_unet.audio_projection import AudioProjection
from fada.teacher.dual_unet.model import BRANCHES, OF_BOTH_NETS
from fada.teacher.hallo.conditions import (
    BankTiling,
    Conditions,
    HalloInputs,
    ReferenceFeatures,
    RowConditions,
    writer_tokens,
)
from fada.teacher.hallo.projections import FaceLocator, FaceProjection
from fada.teacher.hallo.unets import HalloDenoisingUNet, HalloReferenceUNet
from fada.teacher.inputs import ClipInputs

PIXELS = 8
"""Pixels per latent cell: the face locator halves its picture three times."""


class Hallo(AvatarDenoiser):
    """The five networks; branch 0 sees nothing, 1 reference and face, 2 the audio too. Motion frames belong to all.

    Args:
        bank_tiling: `released` repeats what the public code does with guidance on, `fixed` what it means to do.
        motion_frames: how many a first clip gets as copies of its reference.
        region_weights: of what the background, the face and the lips hear.
    """

    branches = BRANCHES
    encoders = ("reference_unet", "face_projection", "face_locator")
    feature_encoders = ("reference_unet",)
    reference_unet: HalloReferenceUNet
    denoising_unet: HalloDenoisingUNet
    audio_projection: AudioProjection
    face_projection: FaceProjection
    face_locator: FaceLocator

    def __init__(
        self,
        reference_unet: HalloReferenceUNet,
        denoising_unet: HalloDenoisingUNet,
        audio_projection: AudioProjection,
        face_projection: FaceProjection,
        face_locator: FaceLocator,
        path: NoisePath,
        guidance_layers: Any = None,
        *,
        bank_tiling: BankTiling = "released",
        motion_frames: int = 2,
        region_weights: tuple[float, float, float] = (1.0, 1.0, 1.0),
    ) -> None:
        if bank_tiling not in ("released", "fixed"):
            raise ValueError(f"bank_tiling: got {bank_tiling!r}; choose from released, fixed")
        networks: dict[str, nn.Module] = {
            "reference_unet": reference_unet,
            "denoising_unet": denoising_unet,
            "audio_projection": audio_projection,
            "face_projection": face_projection,
            "face_locator": face_locator,
        }
        super().__init__(networks, path, guidance_layers)
        self.bank_tiling: BankTiling = bank_tiling
        self.motion_frames = motion_frames
        self.region_weights = region_weights

    @property
    def dtype(self) -> torch.dtype:
        return self.denoising_unet.conv_in.weight.dtype

    def settings(self) -> dict[str, Any]:
        """What `__init__` takes beside networks and path."""
        names = ("bank_tiling", "motion_frames", "region_weights")
        return {name: getattr(self, name) for name in names}

    def sites(self) -> Sites:
        """Behind the audio attentions of every audio module."""
        return self.denoising_unet.sites()

    def meetings(self, context: int) -> Iterator[tuple[str, Any, Any]]:
        """See `AvatarDenoiser.meetings`."""
        net, audio, reference = self.denoising_unet.config, self.audio_projection.config, self.reference_unet.config
        yield from ((f"reference_unet's {name}", reference[name], net[name]) for name in (*OF_BOTH_NETS, "token_dim"))
        yield "audio_projection's token_dim", audio.token_dim, net.audio_dim
        yield "audio_projection's window", audio.window, 2 * context + 1
        yield "face_projection's token_dim", self.face_projection.config.token_dim, net.token_dim
        yield "face_locator's out_channels", self.face_locator.config.out_channels, net.channels[0]

    def inputs_of(self, clips: ClipInputs) -> HalloInputs:
        """The inputs with the face's region and masks drawn, and the reference where there are no motion frames.

        Raises:
            ValueError: nothing is known of the face.
        """
        face, reference, motion = clips.face, clips.reference, clips.motion
        if face is None:
            raise ValueError(
                "Hallo is told of the face, but its embedding and boxes are missing: shard the clips with "
                "--face-embedder, or generate with a face landmarker and a face embedder"
            )
        side, levels = reference.shape[-1], len(self.denoising_unet.down_blocks)
        if motion is not None and clips.has_motion is not None:
            motion = torch.where(clips.has_motion[:, None, None, None, None], motion, reference[:, None])
        return HalloInputs(
            reference,
            clips.audio,
            face.embedding,
            face_region(face.face_box, PIXELS * side),
            region_masks(face.face_box, face.lip_box, side, levels),
            motion,
        )

    def features(self, inputs: HalloInputs) -> ReferenceFeatures:
        """The reference net's features, one pass per clip over both branches' images at t = 0."""
        face = self._face_tokens(inputs)
        reference = inputs.reference.to(self.dtype)[:, None]
        motion = inputs.motion
        if motion is None:
            motion = reference.expand(-1, self.motion_frames, -1, -1, -1)
        images = torch.cat((reference, motion.to(self.dtype)), dim=1)
        tokens = writer_tokens(face[:, 0], face[:, 1], images.shape[1], self.bank_tiling)
        return self.reference_unet(images[:, None].expand(-1, 2, *[-1] * 4), tokens)

    def prepare(self, inputs: HalloInputs, features: ReferenceFeatures | None = None) -> Conditions:
        """Conditions of a batch of clips; `features` of a shared, frozen reference net save its pass."""
        _check(inputs, len(self.denoising_unet.down_blocks))
        conditions = self.denoising_unet.contexts(
            self.features(inputs) if features is None else features,
            self._face_tokens(inputs),
            self.audio_projection(inputs.audio.to(self.dtype)),
            self.face_locator(inputs.face_region.to(self.dtype)),
            [mask.to(self.dtype) for mask in inputs.masks],
        )
        return conditions if self.bank_tiling == "released" else conditions.with_real_bank()

    def evaluate(self, latents: Latents, t: PerSample, conditions: RowConditions) -> Latents:
        """Prediction (rows, F, C, h, w) of noisy latents at times (rows,), one pass."""
        timestep = moved(self.path.network_timestep(t), latents.device)
        return self.denoising_unet(latents.to(self.dtype), timestep, conditions, self.region_weights)

    def _face_tokens(self, inputs: HalloInputs) -> Tensor:
        """Tokens (B, 2, tokens, dim): of a zero face embedding, and of the clip's own."""
        embedding = inputs.face_embedding.to(self.dtype)
        return self.face_projection(torch.stack((torch.zeros_like(embedding), embedding), dim=1))


def _check(inputs: HalloInputs, levels: int) -> None:
    """Raises ValueError where a clip's pictures do not fit together."""
    height, width = inputs.reference.shape[-2:]
    if height != width:
        raise ValueError(f"Hallo's networks know squares only: reference latents are {height} x {width}")
    if tuple(inputs.face_region.shape[-2:]) != (PIXELS * height, PIXELS * width):
        raise ValueError(
            f"face_region is {tuple(inputs.face_region.shape[-2:])}, latents of {height} x {width} need "
            f"{PIXELS * height} x {PIXELS * width} pixels"
        )
    sides = [-(-height // 2**level) for level in range(levels)]
    got = [tuple(mask.shape[-3:]) for mask in inputs.masks]
    if got != [(3, side, side) for side in sides]:
        raise ValueError(f"masks: one (B, 3, h, w) per level, sides {sides}; got shapes {got}")
