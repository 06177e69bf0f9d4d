"""The trunk that both networks share: Stable Diffusion 1.5's UNet at any size, with slots for attention over time.

Parameter names are those of diffusers' `UNet2DConditionModel` (`down_blocks.0.resnets.0.conv1.weight`, …); the
temporal layers stand beside them as `motion_modules`, as in AnimateDiff and Hallo. The trunk runs the layers; what
happens at an attention site is decided by a `Sites` object: the reference net collects features there, the
denoising net applies the clip's conditions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, cast

import torch
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from diffusers.models.resnet import Downsample2D, ResnetBlock2D, Upsample2D
from torch import Tensor, nn

from fada.teacher.dual_unet.layers import SpatialTransformer, TemporalTransformer


class Sites(Protocol):
    """What happens at the attention sites, in order of execution."""

    def spatial(self, attention: SpatialTransformer, hidden: Tensor) -> Tensor:
        """Run one spatial transformer on feature maps (frames, channels, H, W)."""
        ...

    def temporal(self, module: TemporalTransformer | None, hidden: Tensor) -> Tensor:
        """Run, or stand in for, one temporal transformer; called after every layer of a temporal level."""
        ...


class Level(nn.Module):
    """One level of the UNet: residual layers, each with its attentions, and a change of resolution."""

    resnets: nn.ModuleList
    attentions: nn.ModuleList
    motion_modules: nn.ModuleList
    downsamplers: nn.ModuleList
    upsamplers: nn.ModuleList

    def __init__(self, layers: list[tuple[int, int]], settings: TrunkSettings, attention: bool, temporal: bool) -> None:
        super().__init__()
        self.has_temporal = temporal
        self.resnets = nn.ModuleList([settings.resnet(inputs, outputs) for inputs, outputs in layers])
        if attention:
            self.attentions = nn.ModuleList([settings.spatial(outputs) for _, outputs in layers])
        if temporal and settings.max_frames is not None:
            self.motion_modules = nn.ModuleList([settings.temporal(outputs) for _, outputs in layers])

    def layer(self, index: int, hidden: Tensor, time: Tensor, sites: Sites) -> Tensor:
        """Run residual layer `index` with its attentions."""
        hidden = self.resnets[index](hidden, time)
        if hasattr(self, "attentions"):
            hidden = sites.spatial(cast(SpatialTransformer, self.attentions[index]), hidden)
        if self.has_temporal:
            module = self.motion_modules[index] if hasattr(self, "motion_modules") else None
            hidden = sites.temporal(cast(TemporalTransformer | None, module), hidden)
        return hidden


class TrunkSettings:
    """Builds the layers of a trunk from its numbers."""

    def __init__(
        self,
        channels: int,
        heads: int,
        groups: int,
        audio_dim: int | None,
        max_frames: int | None,
        has_places: bool = False,
    ) -> None:
        self.has_places = has_places
        self.time_channels = channels * 4
        self.heads = heads
        self.groups = groups
        self.audio_dim = audio_dim
        self.max_frames = max_frames

    def resnet(self, inputs: int, outputs: int) -> ResnetBlock2D:
        return ResnetBlock2D(
            in_channels=inputs, out_channels=outputs, temb_channels=self.time_channels, groups=self.groups, eps=1e-5
        )

    def spatial(self, channels: int) -> SpatialTransformer:
        return SpatialTransformer(channels, self.heads, self.groups, self.audio_dim, self.has_places)

    def temporal(self, channels: int) -> TemporalTransformer:
        assert self.max_frames is not None
        return TemporalTransformer(channels, self.heads, self.groups, self.max_frames)


class Trunk:
    """`conv_in`, `down_blocks`, `mid_block`, `up_blocks` of SD 1.5; output layers are the owner's.

    A plain mixin: were it an `nn.Module`, diffusers' `ConfigMixin.__getattr__` would come before the module's.
    """

    conv_in: nn.Conv2d
    time_proj: Timesteps
    time_embedding: TimestepEmbedding
    down_blocks: nn.ModuleList
    mid_block: Level
    up_blocks: nn.ModuleList

    def build_trunk(
        self,
        in_channels: int,
        channels: tuple[int, ...],
        layers_per_block: int,
        attention_levels: tuple[bool, ...],
        temporal_levels: tuple[bool, ...],
        settings: TrunkSettings,
    ) -> None:
        """Create the modules; a method rather than `__init__` so that owners may be diffusers models."""
        widths = list(channels)
        self.conv_in = nn.Conv2d(in_channels, widths[0], 3, padding=1)
        self.time_proj = Timesteps(widths[0], flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time_embedding = TimestepEmbedding(widths[0], settings.time_channels)
        self.down_blocks = nn.ModuleList()
        skips = [widths[0]]
        before = widths[0]
        for index, width in enumerate(widths):
            pairs = [(before if layer == 0 else width, width) for layer in range(layers_per_block)]
            level = Level(pairs, settings, attention_levels[index], temporal_levels[index])
            skips += [width] * layers_per_block
            if index < len(widths) - 1:
                level.downsamplers = nn.ModuleList([Downsample2D(width, use_conv=True, out_channels=width, name="op")])
                skips.append(width)
            self.down_blocks.append(level)
            before = width
        self.mid_block = Level([(before, before)], settings, attention=True, temporal=True)
        self.mid_block.resnets.append(settings.resnet(before, before))
        self.up_blocks = nn.ModuleList()
        for index, width in reversed(list(enumerate(widths))):
            pairs = []
            for _ in range(layers_per_block + 1):
                pairs.append((before + skips.pop(), width))
                before = width
            level = Level(pairs, settings, attention_levels[index], temporal_levels[index])
            if index > 0:
                level.upsamplers = nn.ModuleList([Upsample2D(width, use_conv=True, out_channels=width)])
            self.up_blocks.append(level)

    def embed_time(self, timestep: Tensor, dtype: torch.dtype) -> Tensor:
        """Time embedding (batch, time_channels) of network timesteps (batch,)."""
        return self.time_embedding(self.time_proj(timestep).to(dtype))

    def run_trunk(self, maps: Tensor, time: Tensor, sites: Sites, added: Tensor | None = None) -> Tensor:
        """Feature maps (frames, channels, H, W) after the last up block.

        Args:
            maps: latents (frames, in_channels, H, W).
            time: (frames, time_channels).
            sites: what happens at the attention sites.
            added: maps of a spatial condition, (frames, channels[0], H, W), added to those of `conv_in`.
        """
        hidden = self.conv_in(maps)
        if added is not None:
            hidden = hidden + added
        skips = [hidden]
        for level in cast(Iterable[Level], self.down_blocks):
            for index in range(len(level.resnets)):
                hidden = level.layer(index, hidden, time, sites)
                skips.append(hidden)
            if hasattr(level, "downsamplers"):
                hidden = level.downsamplers[0](hidden)
                skips.append(hidden)
        hidden = self.mid_block.layer(0, hidden, time, sites)
        hidden = self.mid_block.resnets[1](hidden, time)
        for level in cast(Iterable[Level], self.up_blocks):
            for index in range(len(level.resnets)):
                hidden = level.layer(index, torch.cat((hidden, skips.pop()), dim=1), time, sites)
            if hasattr(level, "upsamplers"):
                hidden = level.upsamplers[0](hidden)
        return hidden

    def levels(self) -> Iterator[Level]:
        """Levels in order of execution."""
        yield from cast(Iterable[Level], self.down_blocks)
        yield self.mid_block
        yield from cast(Iterable[Level], self.up_blocks)

    def spatial_sites(self) -> list[SpatialTransformer]:
        """Spatial transformers in order of execution."""
        return [attention for level in self.levels() for attention in getattr(level, "attentions", ())]

    def temporal_sites(self) -> list[TemporalTransformer]:
        """Temporal transformers in order of execution."""
        return [module for level in self.levels() for module in getattr(level, "motion_modules", ())]
