"""Hallo's two networks: the trunk of the dual UNet, with face tokens in place of text, audio and motion modules.

Two things of the released code are kept as they are, because the weights were trained and are run with them:

- an audio module is as wide as the input of its level's first layer where the level widens (`audio_widths`);
- motion modules of levels without attention hold weights, but are never run (`HalloDenoisingUNet.forward`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from fada.diffusion.transfer import moved
from fada.teacher.denoiser import Sites
from fada.teacher.dual_unet.layers import Attention, KeysValues, SpatialTransformer, TemporalTransformer
from fada.teacher.dual_unet.trunk import Trunk, TrunkSettings
from fada.teacher.dual_unet.unets import SD15_ATTENTION, SD15_CHANNELS
from fada.teacher.hallo import settings as tables
from fada.teacher.hallo.attention import AudioModule, MotionModule
from fada.teacher.hallo.conditions import Conditions, ReferenceFeatures, RowConditions, banks_of_frames


class _Bank:
    """Sites of the reference net: self-attention and face tokens; keeps every site's normed tokens."""

    def __init__(self, face: Iterator[KeysValues]) -> None:
        self.face = face
        self.tokens: list[Tensor] = []

    def spatial(self, attention: SpatialTransformer, hidden: Tensor) -> Tensor:
        hidden, normed = attention(hidden, None, next(self.face))
        self.tokens.append(normed)
        return hidden

    def temporal(self, module: TemporalTransformer | None, hidden: Tensor) -> Tensor:
        return hidden


class HalloReferenceUNet(ModelMixin, ConfigMixin, Trunk):
    """Reads the reference image and the motion frames at t = 0; its features replace its output."""

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
        everywhere = (True,) * len(channels)
        self.build_trunk(in_channels, channels, layers_per_block, attention_levels, everywhere, settings)

    def forward(self, images: Tensor, face_tokens: Tensor) -> ReferenceFeatures:
        """Features of latents (B, 2, 1 + M, C, h, w) with the face tokens of each (B, 2, 1 + M, tokens, dim)."""
        shape = images.shape[:3]
        time = self.embed_time(torch.zeros(shape.numel(), device=images.device), images.dtype)
        tokens = face_tokens.flatten(0, 2)
        sites = _Bank(iter([_face_attention(site).context(tokens) for site in self.spatial_sites()]))
        self.run_trunk(images.flatten(0, 2), time, sites)
        return ReferenceFeatures([normed.unflatten(0, shape) for normed in sites.tokens])


class _DenoiserSettings(TrunkSettings):
    """Builds a trunk with Hallo's motion modules."""

    def temporal(self, channels: int) -> MotionModule:  # type: ignore[override]
        assert self.max_frames is not None
        return MotionModule(channels, self.heads, self.max_frames)


class HalloDenoisingUNet(ModelMixin, ConfigMixin, Trunk):
    """Predicts v of every frame of a clip under its conditions."""

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
        token_dim: int = 768,
        audio_dim: int = 768,
        max_frames: int = 32,
    ) -> None:
        super().__init__()
        settings = _DenoiserSettings(channels[0], heads, norm_groups, token_dim, max_frames)
        everywhere = (True,) * len(channels)
        self.build_trunk(in_channels, channels, layers_per_block, attention_levels, everywhere, settings)
        for level, (width, inner) in zip(self.levels(), audio_widths(channels, layers_per_block), strict=True):
            if hasattr(level, "attentions"):
                modules = [AudioModule(width, each, heads, norm_groups, audio_dim) for each in inner]
                level.audio_modules = nn.ModuleList(modules)
        self.conv_norm_out = nn.GroupNorm(norm_groups, channels[0], eps=1e-5)
        self.conv_out = nn.Conv2d(channels[0], in_channels, 3, padding=1)

    def audio_sites(self) -> list[AudioModule]:
        """Audio modules in order of execution."""
        return [module for level in self.levels() for module in getattr(level, "audio_modules", ())]

    def audio_depths(self) -> list[int]:
        """At which depth each of them is: how many times its maps are halved."""
        deepest = len(self.down_blocks) - 1
        depths = [*range(deepest + 1), deepest, *range(deepest, -1, -1)]
        return [d for d, level in zip(depths, self.levels(), strict=True) for _ in getattr(level, "audio_modules", ())]

    def sites(self) -> Sites:
        """Where hooks of `RowConditions` are called."""
        config = self.config
        widths = tuple(site.proj_in.out_channels for site in self.audio_sites())
        return Sites(widths, config.audio_dim, config.heads, 4 * config.channels[0])

    def motion_sites(self) -> list[MotionModule]:
        """Motion modules that are run, in order of execution: those of levels with attention."""
        levels = [level for level in self.levels() if hasattr(level, "attentions")]
        return [cast(MotionModule, module) for level in levels for module in level.motion_modules]

    def contexts(
        self, features: ReferenceFeatures, face: Tensor, audio: Tensor, located: Tensor, masks: Sequence[Tensor]
    ) -> Conditions:
        """Conditions of a batch of clips.

        Args:
            features: of the reference net.
            face: tokens (B, 2, tokens, dim), null and real.
            audio: tokens (B, F, tokens, audio_dim).
            located: maps of the face locator (B, C, h, w).
            masks: per level (B, 3, h, w).
        """
        spatial = self.spatial_sites()
        banks = [tokens[:, :, 0] for tokens in features.sites]
        motion = [tokens[:, :, 1:] for tokens in features.sites]
        return Conditions(
            [site.block.attn1.context(tokens) for site, tokens in zip(spatial, banks, strict=True)],
            [_face_attention(site).context(face) for site in spatial],
            [site.context(audio) for site in self.audio_sites()],
            [site.context(_square(tokens)) for site, tokens in zip(self.motion_sites(), motion, strict=True)],
            located,
            [mask.flatten(2) for mask in masks],
        )

    def forward(
        self,
        latents: Tensor,
        timestep: Tensor,
        conditions: RowConditions,
        region_weights: Sequence[float] = (1.0, 1.0, 1.0),
    ) -> Tensor:
        """Prediction (rows, F, C, h, w) for noisy latents of that shape.

        Args:
            timestep: (rows,) network timesteps tau = T t + offset.
            conditions: of these rows.
            region_weights: of what the background, the face and the lips hear.
        """
        frames = latents.shape[1]
        time = self.embed_time(timestep, latents.dtype)
        if conditions.time is not None:
            time = time + conditions.time
        time = time.repeat_interleave(frames, dim=0)
        sites = _Sites(self, conditions, frames, region_weights)
        located = conditions.located.repeat_interleave(frames, dim=0)
        hidden = self.run_trunk(latents.flatten(0, 1), time, sites, added=located)
        hidden = self.conv_out(nn.functional.silu(self.conv_norm_out(hidden)))
        return hidden.unflatten(0, (-1, frames))


class _Sites:
    """One pass through the layers: the conditions of the rows, taken in order of execution."""

    def __init__(
        self, net: HalloDenoisingUNet, conditions: RowConditions, frames: int, region_weights: Sequence[float]
    ) -> None:
        self.frames, self.region_weights = frames, region_weights
        masks = [mask.repeat_interleave(frames, dim=0) for mask in conditions.masks]
        masks_of_sites = [masks[depth] for depth in net.audio_depths()]
        self.audio = iter(zip(net.audio_sites(), masks_of_sites, conditions.audio, strict=True))
        self.motion = dict(zip(net.motion_sites(), conditions.motion, strict=True))
        device = conditions.located.device
        self.kept, self.dropped = (_place(rows, device) for rows in (conditions.kept, conditions.dropped))
        order = conditions.dropped + conditions.kept
        self.back = None if order == sorted(order) else moved(torch.tensor(order).argsort(), device)
        banks = conditions.reference[0].keys.shape[1] if conditions.reference else 1
        self.banks = banks_of_frames(frames, banks, device) if frames % banks else None
        self.reference = iter(conditions.reference)
        self.face = iter(conditions.face)
        self.hooks = iter(conditions.hooks)

    def spatial(self, attention: SpatialTransformer, hidden: Tensor) -> Tensor:
        """Attention to what is seen, then to what is heard."""
        hidden = self._see(attention, hidden)
        module, masks, regions = next(self.audio)
        audio = [KeysValues(pair.keys.flatten(0, 1), pair.values.flatten(0, 1)) for pair in regions]
        return module(hidden, audio, masks, self.region_weights, next(self.hooks, None))

    def temporal(self, module: TemporalTransformer | None, hidden: Tensor) -> Tensor:
        # The released code checkpoints its layers, and then leaves out the motion modules of levels without attention.
        motion = self.motion.get(cast(MotionModule, module))
        return hidden if motion is None else cast(MotionModule, module)(hidden, self.frames, motion)

    def _see(self, attention: SpatialTransformer, hidden: Tensor) -> Tensor:
        """Attention to itself, to the reference for rows that have one, and to the face tokens."""
        reference, face = next(self.reference), next(self.face)
        maps = hidden.unflatten(0, (-1, self.frames))
        parts = []
        for place, bank in ((self.dropped, None), (self.kept, self._in_turn(reference))):
            if place is not None:
                tokens = KeysValues(*(each[place].repeat_interleave(self.frames, dim=0) for each in face))
                parts.append(attention(maps[place].flatten(0, 1), bank, tokens)[0].unflatten(0, (-1, self.frames)))
        together = parts[0] if len(parts) == 1 else torch.cat(parts)
        return (together if self.back is None else together[self.back]).flatten(0, 1)

    def _in_turn(self, reference: KeysValues) -> KeysValues:
        """Banks that frames read in turn, the first frame the first; of each frame where turns do not divide them."""
        if self.banks is None:
            return reference
        return KeysValues(*(each[:, self.banks].flatten(0, 1)[:, None] for each in reference))


def audio_widths(channels: Sequence[int], layers_per_block: int) -> list[tuple[int, list[int]]]:
    """Per level in order of execution its width, and the inner width of each of its audio modules.

    On the way down the first layer's module has the width of the level before, on the way up all have the width of the
    next level: the public code divides its input's channels by the heads, not its own.
    """
    before = [channels[0], *channels[:-1]]
    down = [(width, [first] + [width] * (layers_per_block - 1)) for width, first in zip(channels, before, strict=True)]
    up = [(width, [first] * (layers_per_block + 1)) for width, first in zip(channels, before, strict=True)]
    return [*down, (channels[-1], [channels[-1]]), *reversed(up)]


def _place(rows: list[int], device: torch.device) -> slice | Tensor | None:
    """Rows as an index, copied to the device once a pass: a slice where they are neighbours, as of branches."""
    if not rows:
        return None
    if rows[-1] - rows[0] + 1 == len(rows):
        return slice(rows[0], rows[-1] + 1)
    return moved(torch.tensor(rows), device)


def _face_attention(site: SpatialTransformer) -> Attention:
    assert site.block.attn2 is not None
    return site.block.attn2


def _square(tokens: Tensor) -> Tensor:
    """Tokens (..., H W, C) as square maps (..., C, H, W)."""
    side = round(tokens.shape[-2] ** 0.5)
    return tokens.transpose(-1, -2).unflatten(-1, (side, side))
