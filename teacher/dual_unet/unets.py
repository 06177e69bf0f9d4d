"""The two networks: the reference net collects features once per clip, the denoising net applies them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from fada.diffusion.transfer import moved
from fada.teacher.denoiser import Sites
from fada.teacher.dual_unet import settings as tables
from fada.teacher.dual_unet.layers import Hook, KeysValues, SpatialTransformer, TemporalTransformer, each_pair
from fada.teacher.dual_unet.trunk import Trunk, TrunkSettings
from fada.teacher.rows import rows_of, rows_that_hear, scale_rows

SD15_CHANNELS = (320, 640, 1280, 1280)
SD15_ATTENTION = (True, True, True, False)
EVERYWHERE = (True, True, True, True)


@dataclass(frozen=True)
class ReferenceFeatures:
    """What the reference net saw: per site, in order of execution.

    spatial: normed tokens (B, H W, C) of the reference image; motion: maps (B, M, C, H, W), empty when M = 0.
    """

    spatial: list[Tensor]
    motion: list[Tensor]


@dataclass(frozen=True)
class Conditions:
    """A clip's conditions as the denoising net uses them, computed once and constant over denoising steps.

    reference: keys and values (B, H W, C) per spatial site; audio: keys and values (B, F, tokens, C) per spatial
    site, of the last rows only where those before hear nothing; motion: tokens (B, H W, M, C) per temporal site, empty
    without motion frames. Rows may have, from outside, hooks: what is done to their hidden states per spatial site,
    behind what is heard; and time: (B, time_channels) to be added to the time embedding.
    """

    reference: list[KeysValues]
    audio: list[KeysValues]
    motion: list[Tensor]
    hooks: list[Hook] = field(default_factory=list)
    time: Tensor | None = None

    def expand(self, clips: Tensor, branches: Tensor) -> Conditions:
        """Conditions of rows: of clip `clips[i]` at branch `branches[i]`: 0 nothing, 1 reference, 2 audio too.

        A dropped condition is zeros, as in training with dropout; motion frames belong to every branch.
        """
        clips, branches = clips.cpu(), branches.cpu()
        count, device = len(self.reference[0].keys), self.reference[0].keys.device
        pick = rows_of(clips, count, device)
        reference = each_pair(self.reference, pick)
        if not bool((branches >= 1).all()):
            sees = moved(branches >= 1, device)
            reference = each_pair(reference, lambda tensor: scale_rows(tensor, sees))
        return Conditions(
            reference,
            each_pair(self.audio, rows_that_hear(clips, branches >= 2, count, device)),
            [pick(tokens) for tokens in self.motion],
        )


class _Collect:
    """Sites of the reference net: plain self-attention; keeps the reference's tokens and the motion frames' maps."""

    def __init__(self, batch: int, images: int) -> None:
        self.shape = (batch, images)
        self.spatial_features: list[Tensor] = []
        self.motion_features: list[Tensor] = []

    def spatial(self, attention: SpatialTransformer, hidden: Tensor) -> Tensor:
        hidden, normed = attention(hidden)
        self.spatial_features.append(normed.unflatten(0, self.shape)[:, 0])
        return hidden

    def temporal(self, module: TemporalTransformer | None, hidden: Tensor) -> Tensor:
        if self.shape[1] > 1:
            self.motion_features.append(hidden.unflatten(0, self.shape)[:, 1:])
        return hidden


class _Apply:
    """Sites of the denoising net: the clip's conditions, taken in order of execution."""

    def __init__(self, conditions: Conditions, frames: int, use_temporal: bool) -> None:
        self.frames = frames
        self.reference: Iterator[KeysValues] = iter(conditions.reference)
        self.audio: Iterator[KeysValues] = iter(conditions.audio)
        self.motion: Iterator[Tensor] = iter(conditions.motion)
        self.hooks: Iterator[Hook] = iter(conditions.hooks)
        self.use_temporal = use_temporal

    def spatial(self, attention: SpatialTransformer, hidden: Tensor) -> Tensor:
        audio = KeysValues(*(tensor.flatten(0, 1) for tensor in next(self.audio)))
        reference = KeysValues(*(tensor[:, None] for tensor in next(self.reference)))
        return attention(hidden, reference, audio, next(self.hooks, None))[0]

    def temporal(self, module: TemporalTransformer | None, hidden: Tensor) -> Tensor:
        if module is None or not self.use_temporal:
            return hidden
        return module(hidden, self.frames, next(self.motion, None))


class ReferenceUNet(ModelMixin, ConfigMixin, Trunk):
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
        temporal_levels: tuple[bool, ...] = EVERYWHERE,
        norm_groups: int = 32,
        has_places: bool = False,
    ) -> None:
        super().__init__()
        settings = TrunkSettings(
            channels[0], heads, norm_groups, audio_dim=None, max_frames=None, has_places=has_places
        )
        self.build_trunk(in_channels, channels, layers_per_block, attention_levels, temporal_levels, settings)

    def forward(self, reference: Tensor, motion: Tensor | None) -> ReferenceFeatures:
        """Features of reference latents (B, C, H, W) and motion-frame latents (B, M, C, H, W) or None."""
        images = reference[:, None]
        if motion is not None and motion.shape[1]:
            images = torch.cat((images, motion), dim=1)
        batch, count = images.shape[:2]
        maps = images.flatten(0, 1)
        time = self.embed_time(torch.zeros(batch * count, device=maps.device), maps.dtype)
        sites = _Collect(batch, count)
        self.run_trunk(maps, time, sites)
        return ReferenceFeatures(sites.spatial_features, sites.motion_features)


class DenoisingUNet(ModelMixin, ConfigMixin, Trunk):
    """Predicts noise (or v) of every frame of a clip under its conditions."""

    folder_settings = tables.DenoisingUNet

    @register_to_config
    def __init__(
        self,
        in_channels: int = 4,
        channels: tuple[int, ...] = SD15_CHANNELS,
        layers_per_block: int = 2,
        heads: int = 8,
        attention_levels: tuple[bool, ...] = SD15_ATTENTION,
        temporal_levels: tuple[bool, ...] = EVERYWHERE,
        norm_groups: int = 32,
        has_places: bool = False,
        audio_dim: int = 768,
        max_frames: int = 32,
    ) -> None:
        super().__init__()
        settings = TrunkSettings(channels[0], heads, norm_groups, audio_dim, max_frames, has_places)
        self.build_trunk(in_channels, channels, layers_per_block, attention_levels, temporal_levels, settings)
        self.conv_norm_out = nn.GroupNorm(norm_groups, channels[0], eps=1e-5)
        self.conv_out = nn.Conv2d(channels[0], in_channels, 3, padding=1)

    def sites(self) -> Sites:
        """Where hooks of `Conditions` are called."""
        config = self.config
        widths = tuple(site.proj_in.out_channels for site in self.spatial_sites())
        return Sites(widths, config.audio_dim, config.heads, 4 * config.channels[0])

    def contexts(self, features: ReferenceFeatures, audio_tokens: Tensor, has_motion: Tensor | None) -> Conditions:
        """Keys, values and motion tokens of a clip.

        Args:
            features: of the reference net.
            audio_tokens: (B, F, tokens, audio_dim).
            has_motion: (B,) booleans; False replaces a sample's motion features by their null, zeros. None: all have.
        """
        blocks = [site.block for site in self.spatial_sites()]
        motion = features.motion
        if has_motion is not None:
            motion = [maps * has_motion.to(maps.dtype).reshape(-1, 1, 1, 1, 1) for maps in motion]
        return Conditions(
            [block.attn1.context(tokens) for block, tokens in zip(blocks, features.spatial, strict=True)],
            [block.attn2.context(audio_tokens) for block in blocks if block.attn2 is not None],
            [site.context(maps) for site, maps in zip(self.temporal_sites(), motion, strict=bool(motion))],
        )

    def forward(
        self,
        latents: Tensor,
        timestep: Tensor,
        conditions: Conditions,
        use_temporal: bool = True,
    ) -> Tensor:
        """Prediction (B, F, C, H, W) for noisy latents of that shape.

        Args:
            timestep: (B,) network timesteps tau = T t + offset, floats.
            use_temporal: False leaves the temporal layers out (training on single images).
        """
        frames = latents.shape[1]
        time = self.embed_time(timestep, latents.dtype)
        if conditions.time is not None:
            time = time + conditions.time
        sites = _Apply(conditions, frames, use_temporal)
        hidden = self.run_trunk(latents.flatten(0, 1), time.repeat_interleave(frames, dim=0), sites)
        hidden = self.conv_out(nn.functional.silu(self.conv_norm_out(hidden)))
        return hidden.unflatten(0, (-1, frames))
