"""V-Express's two networks: the trunk of the dual UNet, with the reference and the audio in attentions of their own."""

from __future__ import annotations

from typing import cast

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from fada.teacher.denoiser import Sites
from fada.teacher.dual_unet.layers import KeysValues, SpatialTransformer, TemporalTransformer
from fada.teacher.dual_unet.trunk import Trunk, TrunkSettings
from fada.teacher.dual_unet.unets import SD15_ATTENTION, SD15_CHANNELS
from fada.teacher.hallo.attention import MotionModule
from fada.teacher.v_express import settings as tables
from fada.teacher.v_express.attention import (
    IN_TRAINING,
    BranchWeights,
    VExpressTransformer,
    on_tokens,
    reference_block,
)
from fada.teacher.v_express.conditions import Conditions


class _Bank:
    """Sites of the reference net: keeps every site's bank."""

    def __init__(self) -> None:
        self.tokens: list[Tensor] = []

    def spatial(self, attention: SpatialTransformer, hidden: Tensor) -> Tensor:
        def block(tokens: Tensor) -> Tensor:
            tokens, bank = reference_block(attention.block, tokens)
            self.tokens.append(bank)
            return tokens

        return on_tokens(attention, hidden, block)

    def temporal(self, module: TemporalTransformer | None, hidden: Tensor) -> Tensor:
        return hidden


class VExpressReferenceUNet(ModelMixin, ConfigMixin, Trunk):
    """Reads the reference image at t = 0, without a prompt; its features replace its output.

    `conv_out` is among the released weights, so it is kept, though nothing reads what it makes.
    """

    folder_settings = tables.ReferenceUNet

    @register_to_config
    def __init__(
        self,
        in_channels: int = 4,
        channels: tuple[int, ...] = SD15_CHANNELS,
        layers_per_block: int = 2,
        heads: int = 8,
        attention_levels: tuple[bool, ...] = SD15_ATTENTION,
        norm_groups: int = 32,
        token_dim: int = 768,
    ) -> None:
        super().__init__()
        settings = TrunkSettings(channels[0], heads, norm_groups, token_dim, max_frames=None)
        nowhere = (False,) * len(channels)
        self.build_trunk(in_channels, channels, layers_per_block, attention_levels, nowhere, settings)
        self.conv_out = nn.Conv2d(channels[0], in_channels, 3, padding=1)

    def forward(self, latents: Tensor) -> list[Tensor]:
        """Banks (B, H W, C) of latents (B, C, h, w), per spatial site in order of execution."""
        time = self.embed_time(torch.zeros(len(latents), device=latents.device), latents.dtype)
        sites = _Bank()
        self.run_trunk(latents, time, sites)
        return sites.tokens


class _DenoiserSettings(TrunkSettings):
    """Builds a trunk with V-Express's attentions and AnimateDiff's motion modules."""

    def spatial(self, channels: int) -> VExpressTransformer:  # type: ignore[override]
        assert self.audio_dim is not None
        return VExpressTransformer(channels, self.heads, self.groups, self.audio_dim)

    def temporal(self, channels: int) -> MotionModule:  # type: ignore[override]
        assert self.max_frames is not None
        return MotionModule(channels, self.heads, self.max_frames)


class VExpressDenoisingUNet(ModelMixin, ConfigMixin, Trunk):
    """Predicts v of every frame of a clip under its conditions; a motion module follows every layer of every level."""

    folder_settings = tables.DenoisingUNet

    @register_to_config
    def __init__(
        self,
        in_channels: int = 4,
        channels: tuple[int, ...] = SD15_CHANNELS,
        layers_per_block: int = 2,
        heads: int = 8,
        attention_levels: tuple[bool, ...] = SD15_ATTENTION,
        norm_groups: int = 32,
        audio_dim: int = 768,
        max_frames: int = 32,
    ) -> None:
        super().__init__()
        settings = _DenoiserSettings(channels[0], heads, norm_groups, audio_dim, max_frames)
        everywhere = (True,) * len(channels)
        self.build_trunk(in_channels, channels, layers_per_block, attention_levels, everywhere, settings)
        self.conv_norm_out = nn.GroupNorm(norm_groups, channels[0], eps=1e-5)
        self.conv_out = nn.Conv2d(channels[0], in_channels, 3, padding=1)

    def sites(self) -> Sites:
        """Where hooks of `Conditions` are called."""
        config = self.config
        widths = tuple(site.proj_in.out_channels for site in self.spatial_sites())
        return Sites(widths, config.audio_dim, config.heads, 4 * config.channels[0])

    def contexts(self, banks: list[Tensor], audio: Tensor, keypoints: Tensor) -> Conditions:
        """Conditions of clips: banks per site, audio tokens (B, F, n, audio_dim), keypoint maps (B, F, C, h, w)."""
        blocks = [cast(VExpressTransformer, site).block for site in self.spatial_sites()]
        return Conditions(
            [block.attn1_5.context(bank) for block, bank in zip(blocks, banks, strict=True)],
            [block.attn2.context(audio) for block in blocks],
            keypoints,
        )

    def forward(
        self,
        latents: Tensor,
        timestep: Tensor,
        conditions: Conditions,
        weights: BranchWeights = IN_TRAINING,
        use_temporal: bool = True,
    ) -> Tensor:
        """Prediction (rows, F, C, h, w) for noisy latents of that shape.

        Args:
            timestep: (rows,) network timesteps tau = T t + offset.
            conditions: of these rows and frames.
            weights: of the reference's and the audio's attention.
            use_temporal: False leaves the motion modules out (training on single images).
        """
        frames = latents.shape[1]
        time = self.embed_time(timestep, latents.dtype)
        if conditions.time is not None:
            time = time + conditions.time
        time = time.repeat_interleave(frames, dim=0)
        sites = _Sites(conditions, frames, weights, use_temporal)
        hidden = self.run_trunk(latents.flatten(0, 1), time, sites, added=conditions.keypoints.flatten(0, 1))
        hidden = self.conv_out(nn.functional.silu(self.conv_norm_out(hidden)))
        return hidden.unflatten(0, (-1, frames))


class _Sites:
    """One pass through the layers: the conditions of the rows, taken in order of execution."""

    def __init__(self, conditions: Conditions, frames: int, weights: BranchWeights, use_temporal: bool) -> None:
        self.frames, self.weights, self.use_temporal, self.kept = frames, weights, use_temporal, conditions.kept
        self.reference = iter(conditions.reference)
        self.audio = iter(conditions.audio)
        self.hooks = iter(conditions.hooks)

    def spatial(self, attention: SpatialTransformer, hidden: Tensor) -> Tensor:
        audio = KeysValues(*(tensor.flatten(0, 1) for tensor in next(self.audio)))
        return attention(hidden, next(self.reference), audio, self.weights, next(self.hooks, None), self.kept)

    def temporal(self, module: TemporalTransformer | None, hidden: Tensor) -> Tensor:
        if not self.use_temporal:
            return hidden
        assert module is not None
        # No motion frames: clips follow each other by the frames that their contexts share.
        none = hidden.new_zeros(len(hidden) // self.frames, hidden[0, 0].numel(), 0, hidden.shape[1])
        return module(hidden, self.frames, none)
