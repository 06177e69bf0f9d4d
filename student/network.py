"""The student: the teacher's copy, with CFG layers that carry the guidance scales."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import cast

import torch
from diffusers.configuration_utils import register_to_config
from diffusers.models.modeling_utils import ModelMixin  # noqa: F401  (DiffusionPipeline looks for it in this module)
from torch import Tensor

from fada.student.guidance import CFGLayer, GuidanceMode, ScaleEmbedding, ScaleTokens, TimeGuidance, check_mode
from fada.teacher.dual_unet.model import RUNGS, ClipConditions, DualUNet
from fada.teacher.dual_unet.unets import (
    SD15_ATTENTION,
    SD15_CHANNELS,
    Conditions,
    DenoisingUNet,
    ReferenceFeatures,
)

CLIMBS = len(RUNGS) - 1


class StudentUNet(DenoisingUNet):
    """A denoising net that is told the scales (method.md, section 5); with mode `none` it is the teacher's own."""

    @register_to_config
    def __init__(
        self,
        in_channels: int = 4,
        channels: tuple[int, ...] = SD15_CHANNELS,
        layers_per_block: int = 2,
        heads: int = 8,
        attention_levels: tuple[bool, ...] = SD15_ATTENTION,
        temporal_levels: tuple[bool, ...] = (True, True, True, True),
        norm_groups: int = 32,
        has_places: bool = False,
        audio_dim: int = 768,
        max_frames: int = 32,
        guidance_mode: GuidanceMode = "tokens",
        guidance_tokens: int = 4,
        num_windows: int = 4,
    ) -> None:
        super().__init__(
            in_channels=in_channels,
            channels=channels,
            layers_per_block=layers_per_block,
            heads=heads,
            attention_levels=attention_levels,
            temporal_levels=temporal_levels,
            norm_groups=norm_groups,
            has_places=has_places,
            audio_dim=audio_dim,
            max_frames=max_frames,
        )
        check_mode(guidance_mode)
        if guidance_mode == "tokens":
            self.scale_tokens = ScaleTokens(len(RUNGS), guidance_tokens, audio_dim)
        elif guidance_mode == "layer":
            self.scale_embedding = ScaleEmbedding(CLIMBS, audio_dim)
        elif guidance_mode == "time_embed":
            self.time_guidance = TimeGuidance(CLIMBS, channels[0] * 4)
        if guidance_mode in ("tokens", "layer"):
            for site in self.spatial_sites():
                width = site.proj_in.in_channels
                site.block.guidance = CFGLayer(width, heads, audio_dim)

    @property
    def is_guided(self) -> bool:
        """Whether guidance scales enter the network."""
        return self.config.guidance_mode != "none"

    def told(self, conditions: Conditions, scales: Tensor | None) -> Conditions:
        """The conditions of clips that are told their scales (B, 2): reference, audio. Once per clip."""
        mode = self.config.guidance_mode
        if scales is None or mode == "none":
            return conditions
        if mode == "time_embed":
            return replace(conditions, time=self.time_guidance(scales))
        embedding = self.scale_tokens(scales) if mode == "tokens" else self.scale_embedding(scales)
        layers = [site.block.guidance for site in self.spatial_sites()]
        return replace(conditions, guidance=[cast(CFGLayer, layer).context(embedding) for layer in layers])


class Student(DualUNet):
    """A dual UNet whose denoising net is a student; one pass predicts what the guided ladder would."""

    denoising_unet: StudentUNet

    def forward(  # type: ignore[override]
        self,
        inputs: ClipConditions,
        latents: Tensor,
        t: Tensor,
        rung: Tensor | None = None,
        scales: Tensor | None = None,
        features: ReferenceFeatures | None = None,
    ) -> Tensor:
        """Prediction of a training batch, from its raw inputs: one call, so that wrappers see all of it.

        `latents` (n B, F, C, H, W) may hold the B clips of `inputs` n times over, each time at another point: their
        conditions are prepared once. `features` of a shared, frozen reference net save its pass. `rung` (n B,) drops
        conditions, `scales` (n B, 2) are (reference, audio).
        """
        conditions = self.prepare(inputs, features).repeat(len(latents) // len(inputs.reference))
        if rung is not None:
            conditions = conditions.at_rungs(rung)
        return self.evaluate(latents, t, self.denoising_unet.told(conditions, scales))


def student_of(teacher: DualUNet, mode: GuidanceMode, tokens: int, num_windows: int) -> Student:
    """A student that starts as the teacher's copy, bit for bit the teacher's conditional prediction.

    The reference net is the teacher's own object: frozen, it is shared; copy it to train it.
    """
    config = {key: value for key, value in teacher.denoising_unet.config.items() if not key.startswith("_")}
    known = {"guidance_mode": mode, "guidance_tokens": tokens, "num_windows": num_windows}
    network = StudentUNet(**{**config, **known}).to(teacher.dtype)
    missing, unexpected = network.load_state_dict(teacher.denoising_unet.state_dict(), strict=False)
    unexplained = [key for key in missing if not is_guidance_key(key)]
    if unexplained:
        raise ValueError(f"the student lacks weights for {', '.join(unexplained[:5])}")
    dropped = [key for key in unexpected if not is_guidance_key(key)]
    if dropped:
        raise ValueError(f"the student has no place for {', '.join(dropped[:5])}")
    return Student(teacher.reference_unet, network, copy.deepcopy(teacher.audio_projection), teacher.path)


def is_guidance_key(key: str) -> bool:
    """Whether a parameter belongs to the layers that a student adds to its teacher."""
    return any(part in key for part in (".guidance.", "scale_tokens.", "scale_embedding.", "time_guidance."))


def neutral_scales(batch: int, device: torch.device | None = None) -> Tensor:
    """Scales (1, 1): the plain conditional prediction."""
    return torch.ones(batch, CLIMBS, device=device)
