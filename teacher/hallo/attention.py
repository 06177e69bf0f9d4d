"""Hallo's own layers beside Stable Diffusion 1.5's: audio attention under masks, attention over time.

Parameter names are those of the released weights (`audio_modules.j`, `motion_modules.j.temporal_transformer`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from fada.teacher.dual_unet.layers import Attention, FeedForward, Hook, KeysValues, TokenProjection, sinusoids

REGIONS = ("full", "face", "lip")
"""Regions that hear the audio through an attention of their own; `full` is everything but the face."""
MOTION_GROUPS = 32
"""Groups of the motion modules' norms: AnimateDiff's constant, whatever the other norms have."""


class AudioBlock(nn.Module):
    """Self-attention, audio attention once per region under its mask, feed-forward."""

    def __init__(self, channels: int, heads: int, audio_dim: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels)
        self.attn1 = Attention(channels, heads)
        self.norm2 = nn.LayerNorm(channels)
        for index, region in enumerate(REGIONS):
            self.add_module(f"attn2_{index}", Attention(channels, heads, context_dim=audio_dim))
            self.add_module(f"zero_conv_{region}", TokenProjection(channels, channels, 1))
        self.norm3 = nn.LayerNorm(channels)
        self.ff = FeedForward(channels)

    def attentions(self) -> list[Attention]:
        """The audio attentions, in the order of `REGIONS`."""
        return [cast(Attention, self.get_submodule(f"attn2_{index}")) for index in range(len(REGIONS))]

    def forward(
        self,
        hidden: Tensor,
        audio: Sequence[KeysValues],
        masks: Tensor,
        weights: Sequence[float],
        hook: Hook | None = None,
    ) -> Tensor:
        """Tokens (rows, H W, channels) in and out.

        Args:
            audio: keys and values (rows, tokens, channels) per region; where there are fewer rows, of the last ones,
                and those before hear nothing.
            masks: (rows, regions, H W) in [0, 1].
            weights: of the regions' contributions.
            hook: done to the hidden states behind what is heard.
        """
        normed = self.norm1(hidden)
        hidden = hidden + self.attn1(normed, self.attn1.context(normed))
        hidden = self._listen(hidden, audio, masks, weights)
        if hook is not None:
            hidden = hook(hidden)
        return hidden + self.ff(self.norm3(hidden))

    def _listen(self, hidden: Tensor, audio: Sequence[KeysValues], masks: Tensor, weights: Sequence[float]) -> Tensor:
        """The tokens with what each region hears.

        A mask comes before its convolution, whose bias therefore reaches the whole picture. Attention to nothing gives
        one vector for all tokens: of rows that hear nothing, a region's part is its mask times a vector.
        """
        silent = len(hidden) - len(audio[0].keys)
        quiet, heard = hidden[:silent], hidden[silent:]
        normed = self.norm2(heard)
        told = []
        for index, (attention, region) in enumerate(zip(self.attentions(), REGIONS, strict=True)):
            answer, nothing = attention.with_silence(normed, audio[index])
            masked = (answer * masks[silent:, index, :, None]).flatten(0, 1)
            # Two tokens more, in the same call: attention to nothing, and nothing at all.
            said = weights[index] * self.get_submodule(f"zero_conv_{region}")(
                torch.cat((masked, nothing[None], torch.zeros_like(nothing)[None]))
            )
            heard = heard + said[:-2].view(heard.shape)
            told.append(said[-2:])
        if not silent:
            return heard
        nothing, bias = torch.stack(told, dim=1)
        parts = (nothing - bias).expand(silent, -1, -1)
        return torch.cat((torch.baddbmm(quiet + bias.sum(0), masks[:silent].transpose(1, 2), parts), heard))


class AudioModule(nn.Module):
    """`audio_modules.j`: group norm, 1x1 convolutions around one audio block.

    Args:
        inner: width of the block; in the first layer of a level narrower than its maps (see `unets.py`).
    """

    def __init__(self, channels: int, inner: int, heads: int, groups: int, audio_dim: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, eps=1e-6)
        self.proj_in = TokenProjection(channels, inner, 1)
        self.transformer_blocks = nn.ModuleList([AudioBlock(inner, heads, audio_dim)])
        self.proj_out = TokenProjection(inner, channels, 1)

    @property
    def block(self) -> AudioBlock:
        return cast(AudioBlock, self.transformer_blocks[0])

    def context(self, tokens: Tensor) -> list[KeysValues]:
        """Keys and values (B, F, tokens, inner) per region of audio tokens (B, F, tokens, audio_dim)."""
        return [attention.context(tokens) for attention in self.block.attentions()]

    def forward(
        self,
        hidden: Tensor,
        audio: Sequence[KeysValues],
        masks: Tensor,
        weights: Sequence[float],
        hook: Hook | None = None,
    ) -> Tensor:
        """Feature maps (rows, channels, H, W) in and out; the rest as in `AudioBlock`."""
        tokens = self.proj_in(self.norm(hidden).flatten(2).transpose(1, 2).contiguous())
        tokens = self.block(tokens, audio, masks, weights, hook)
        return hidden + self.proj_out(tokens).transpose(1, 2).unflatten(2, hidden.shape[-2:])


class Positions(nn.Module):
    """Positions in time, saved with the weights as AnimateDiff does."""

    pe: Tensor

    def __init__(self, channels: int, max_frames: int) -> None:
        super().__init__()
        self.register_buffer("pe", sinusoids(max_frames, channels))

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (..., frames, channels) with their frame's position added."""
        return tokens + self.pe[:, : tokens.shape[-2]]


class TimeAttention(Attention):
    """Attention over time that numbers its frames itself."""

    def __init__(self, channels: int, heads: int, max_frames: int) -> None:
        super().__init__(channels, heads)
        self.pos_encoder = Positions(channels, max_frames)


class TimeBlock(nn.Module):
    """Two attentions over [motion frames, frames] and a feed-forward."""

    def __init__(self, channels: int, heads: int, max_frames: int) -> None:
        super().__init__()
        self.attention_blocks = nn.ModuleList([TimeAttention(channels, heads, max_frames) for _ in range(2)])
        self.norms = nn.ModuleList([nn.LayerNorm(channels) for _ in range(2)])
        self.ff = FeedForward(channels)
        self.ff_norm = nn.LayerNorm(channels)

    def forward(self, tokens: Tensor, before: int) -> Tensor:
        """Tokens (places, before + frames, channels) to those of the frames (places, frames, channels)."""
        first, last = (cast(TimeAttention, attention) for attention in self.attention_blocks)
        normed = first.pos_encoder(self.norms[0](tokens))
        tokens = tokens + first(normed, first.context(normed))
        normed = last.pos_encoder(self.norms[1](tokens))
        # The motion frames are dropped afterwards: from here on they are only read.
        tokens = tokens[:, before:] + last(normed[:, before:], last.context(normed))
        return tokens + self.ff(self.ff_norm(tokens))


class TimeTransformer(nn.Module):
    """Group norm and linear layers around one block."""

    def __init__(self, channels: int, heads: int, max_frames: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(MOTION_GROUPS, channels, eps=1e-6)
        self.proj_in = nn.Linear(channels, channels)
        self.transformer_blocks = nn.ModuleList([TimeBlock(channels, heads, max_frames)])
        self.proj_out = nn.Linear(channels, channels)


class MotionModule(nn.Module):
    """`motion_modules.j`: attention over time at every place, AnimateDiff's layers and names."""

    def __init__(self, channels: int, heads: int, max_frames: int) -> None:
        super().__init__()
        self.temporal_transformer = TimeTransformer(channels, heads, max_frames)

    def context(self, motion: Tensor) -> Tensor:
        """Motion-frame maps (..., M, channels, H, W) as tokens (..., H W, M, channels)."""
        layers = self.temporal_transformer
        # Contiguous: torch's group norm for channels-last maps crashes in the backward pass where the maps themselves
        # want no gradient, as features of a frozen reference net.
        maps = layers.norm(motion.flatten(0, -4).contiguous()).unflatten(0, motion.shape[:-3])
        return layers.proj_in(maps.flatten(-2).movedim(-1, -3).contiguous())

    def forward(self, hidden: Tensor, frames: int, motion: Tensor) -> Tensor:
        """Feature maps (clips * frames, channels, H, W) in and out; motion tokens (clips, H W, M, channels)."""
        layers = self.temporal_transformer
        tokens = torch.cat((motion, self.context(hidden.unflatten(0, (-1, frames)))), dim=2)
        clips, before = len(motion), motion.shape[2]
        tokens = layers.proj_out(layers.transformer_blocks[0](tokens.flatten(0, 1), before)).unflatten(0, (clips, -1))
        return hidden + tokens.permute(0, 2, 3, 1).reshape(hidden.shape)
