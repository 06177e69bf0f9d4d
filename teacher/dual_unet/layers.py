"""The attention layers of the dual UNet, under the names that Stable Diffusion 1.5 and AnimateDiff give them.

Spatial attention reads [self, reference features], audio attention reads the frame's audio tokens, temporal
attention reads [motion-frame features, frames]. What a clip's conditions contribute (keys and values of the
reference, of the audio, of the motion frames) is computed once by `context` and reused at every denoising step.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from diffusers.models import attention
from torch import Tensor, nn

from fada.diffusion.transfer import moved

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
Hook = Callable[[Tensor], Tensor]
"""What is done to the hidden states (rows, tokens, channels) at a site, from outside of a network."""
INNER_VALUES = {"cpu": 2**20, "cuda": 2**27}
"""Values of a feed-forward's inner width that are made at once: what a CPU's caches hold, and what fills a GPU."""


class KeysValues(NamedTuple):
    """Keys and values of a context, each (batch, tokens, channels)."""

    keys: Tensor
    values: Tensor


def each_pair(pairs: list[KeysValues], change: Callable[[Tensor], Tensor]) -> list[KeysValues]:
    """Every pair, keys and values changed alike; its kind stays."""
    return [type(pair)(change(pair.keys), change(pair.values)) for pair in pairs]


CUDA_GRID = 65_535
"""Most blocks in a CUDA grid's second and third dimension, where attention kernels lay out batch and heads."""


def attend(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Softmax attention of (batch, heads, tokens, channels of a head), in the queries' type.

    On a device a batch is taken in parts that its grids can hold: attention over time has every place of every clip as
    a row, 4096 of a latent of 64 x 64, and from 16 clips on kernels fail with "invalid configuration argument".

    On a CPU what has a backward pass is computed in float32: torch's for bfloat16 takes 1.2 to 8 times as long there
    (4 to 2048 keys, 16 to 32 channels, one core), and rounds more.
    """
    is_learned = torch.is_grad_enabled() and any(each.requires_grad for each in (query, keys, values))
    is_short = query.dtype in (torch.bfloat16, torch.float16)
    if query.device.type != "cpu":
        return in_parts(F.scaled_dot_product_attention, query, keys, values, most=CUDA_GRID)
    if not is_short or not is_learned:
        return F.scaled_dot_product_attention(query, keys, values)
    with torch.autocast("cpu", enabled=False):
        attended = F.scaled_dot_product_attention(query.float(), keys.float(), values.float())
    return attended.to(query.dtype)


def in_parts(attention: Attend, query: Tensor, keys: Tensor, values: Tensor, most: int) -> Tensor:
    """The attention of a batch, of at most so many rows times heads at once, in equal parts."""
    rows, heads = query.shape[:2]
    count = math.ceil(rows / (most // heads))
    if count < 2:
        return attention(query, keys, values)
    parts = zip(*(each.chunk(count) for each in (query, keys, values)), strict=True)
    return torch.cat([attention(*part) for part in parts])


class Attention(nn.Module):
    """Multi-head attention with SD 1.5's parameter names: to_q, to_k, to_v (no bias), to_out.0."""

    def __init__(self, channels: int, heads: int, context_dim: int | None = None) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"channels ({channels}) must be divisible by heads ({heads})")
        self.heads = heads
        context_dim = channels if context_dim is None else context_dim
        self.to_q = nn.Linear(channels, channels, bias=False)
        self.to_k = nn.Linear(context_dim, channels, bias=False)
        self.to_v = nn.Linear(context_dim, channels, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def context(self, tokens: Tensor) -> KeysValues:
        """Keys and values of context tokens (..., tokens, context_dim)."""
        return KeysValues(self.to_k(tokens), self.to_v(tokens))

    def forward(self, hidden: Tensor, context: KeysValues) -> Tensor:
        """Attend from (batch, queries, channels) to keys and values of the same batch."""
        return self.to_out[0](self.attended(hidden, context))

    def with_silence(self, hidden: Tensor, context: KeysValues) -> tuple[Tensor, Tensor]:
        """The same, and what attention to nothing gives, zero keys and values: the output's bias, (channels,).

        In one call of each layer: processes that share sharded weights must call all of them equally often.
        """
        attended = self.attended(hidden, context).flatten(0, 1)
        out = self.to_out[0](torch.cat((attended, attended.new_zeros(1, attended.shape[-1]))))
        return out[:-1].view(hidden.shape), out[-1]

    def attended(self, hidden: Tensor, context: KeysValues) -> Tensor:
        """What the output layer is given, (batch, queries, channels)."""
        query = self._split(self.to_q(hidden))
        attended = attend(query, self._split(context.keys), self._split(context.values))
        return attended.transpose(1, 2).flatten(2)

    def _split(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def joined(own: KeysValues, shared: KeysValues) -> KeysValues:
    """Keys and values of frames (clips * frames, n, C), each followed by what its clip shares, copied only here.

    Args:
        shared: (clips, banks, m, C); a clip's frames read its banks in turn.
    """

    def join(each: Tensor, of_clips: Tensor) -> Tensor:
        each = each.unflatten(0, (len(of_clips), -1, of_clips.shape[1]))
        seen = of_clips[:, None].expand(-1, each.shape[1], -1, -1, -1)
        return torch.cat((each, seen), dim=3).flatten(0, 2)

    return KeysValues(join(own.keys, shared.keys), join(own.values, shared.values))


class FeedForward(attention.FeedForward):
    """Linear to eight times the channels, GEGLU, linear back; row by row where nothing is kept for a backward pass.

    The inner values are most of a pass's memory, and slower to fetch than to make: 32 frames of 32 x 32 tokens of 64
    channels take 2.6 times as long at once as frame by frame (float32, one core).
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, activation_fn="geglu")

    def forward(self, hidden: Tensor) -> Tensor:
        """(rows, tokens, channels) in and out."""
        inner = self.net[0].proj.out_features * hidden[..., 0].numel()
        count = min(len(hidden), math.ceil(inner / INNER_VALUES.get(hidden.device.type, inner)))
        if count < 2 or torch.is_grad_enabled() or torch.compiler.is_compiling():
            return super().forward(hidden)
        return torch.cat([super(FeedForward, self).forward(rows) for rows in hidden.chunk(count)])


def zero_output(layer: nn.Module) -> None:
    """Make a layer's output zero, so that adding it to a trained network changes nothing at first."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


class TransformerBlock(nn.Module):
    """Self and reference attention, audio attention, a site for a hook, feed-forward."""

    def __init__(self, channels: int, heads: int, audio_dim: int | None, has_places: bool = False) -> None:
        super().__init__()
        self.has_places = has_places
        self.norm1 = nn.LayerNorm(channels)
        self.attn1 = Attention(channels, heads)
        self.norm2: nn.LayerNorm | None = None
        self.attn2: Attention | None = None
        if audio_dim is not None:
            self.norm2 = nn.LayerNorm(channels)
            self.attn2 = Attention(channels, heads, context_dim=audio_dim)
            zero_output(self.attn2.to_out[0])
        self.norm3 = nn.LayerNorm(channels)
        self.ff = FeedForward(channels)

    def forward(
        self,
        hidden: Tensor,
        reference: KeysValues | None,
        audio: KeysValues | None,
        hook: Hook | None,
        sides: tuple[int, int],
    ) -> tuple[Tensor, Tensor]:
        """(frames, tokens, channels) in and out, and the normed input that a reference net shares.

        Args:
            reference: (clips, banks, tokens, channels); frames read their clip's banks in turn.
            audio: of the frames; where it has fewer, of the last ones, and those before hear nothing.
            hook: done to the hidden states behind what is heard.
            sides: (height, width) of the maps that the tokens come from.
        """
        normed = self.norm1(hidden)
        if self.has_places:
            normed = normed + places(*sides, normed.shape[-1], normed.dtype, normed.device)
        own = self.attn1.context(normed)
        hidden = hidden + self.attn1(normed, own if reference is None else joined(own, reference))
        if audio is not None:
            hidden = self._listen(hidden, audio)
        if hook is not None:
            hidden = hook(hidden)
        return hidden + self.ff(self.norm3(hidden)), normed

    def _listen(self, hidden: Tensor, audio: KeysValues) -> Tensor:
        """The frames with what they hear; those that hear nothing need no attention to know what they would."""
        if self.attn2 is None or self.norm2 is None:
            return hidden
        silent = len(hidden) - len(audio.keys)
        if not silent:
            return hidden + self.attn2(self.norm2(hidden), audio)
        heard, nothing = self.attn2.with_silence(self.norm2(hidden[silent:]), audio)
        return torch.cat((hidden[:silent] + nothing, hidden[silent:] + heard))


class TokenProjection(nn.Conv2d):
    """SD 1.5's 1x1 convolution on tokens (batch, tokens, channels): a matrix product, without the way to maps."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens in and out; the weight keeps the convolution's shape."""
        return F.linear(tokens, self.weight.flatten(1), self.bias)


class SpatialTransformer(nn.Module):
    """SD 1.5's `attentions.j`: group norm, 1x1 convolutions around one transformer block."""

    def __init__(self, channels: int, heads: int, groups: int, audio_dim: int | None, has_places: bool = False) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, eps=1e-6)
        self.proj_in = TokenProjection(channels, channels, 1)
        self.transformer_blocks = nn.ModuleList([TransformerBlock(channels, heads, audio_dim, has_places)])
        self.proj_out = TokenProjection(channels, channels, 1)

    @property
    def block(self) -> TransformerBlock:
        block = self.transformer_blocks[0]
        assert isinstance(block, TransformerBlock)
        return block

    def forward(
        self,
        hidden: Tensor,
        reference: KeysValues | None = None,
        audio: KeysValues | None = None,
        hook: Hook | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Feature maps (frames, channels, H, W) in and out, and the normed tokens (frames, H W, channels)."""
        height, width = hidden.shape[-2:]
        tokens = self.proj_in(self.norm(hidden).flatten(2).transpose(1, 2).contiguous())
        tokens, normed = self.block(tokens, reference, audio, hook, (height, width))
        maps = self.proj_out(tokens).transpose(1, 2).unflatten(2, (height, width))
        return hidden + maps, normed


def sinusoids(length: int, channels: int) -> Tensor:
    """Sinusoidal positions (1, length, channels), as in Vaswani et al. 2017."""
    position = torch.arange(length, dtype=torch.float32)[:, None]
    frequency = torch.exp(torch.arange(0, channels, 2, dtype=torch.float32) * (-math.log(10000.0) / channels))
    table = torch.zeros(length, channels)
    table[:, 0::2] = torch.sin(position * frequency)
    table[:, 1::2] = torch.cos(position * frequency)
    return table[None]


@lru_cache(maxsize=32)
def places(height: int, width: int, channels: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Where a token lies: (1, height * width, channels), rows in one half of the channels, columns in the other."""
    half = channels // 2
    rows = sinusoids(height, half)[0][:, None].expand(height, width, half)
    columns = sinusoids(width, channels - half)[0][None].expand(height, width, channels - half)
    return moved(torch.cat((rows, columns), dim=-1).reshape(1, height * width, channels).to(dtype), device)


class TemporalBlock(nn.Module):
    """One temporal attention over [motion frames, frames] and a feed-forward."""

    positions: Tensor

    def __init__(self, channels: int, heads: int, max_frames: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels)
        self.attn1 = Attention(channels, heads)
        self.norm3 = nn.LayerNorm(channels)
        self.ff = FeedForward(channels)
        self.register_buffer("positions", sinusoids(max_frames, channels), persistent=False)

    def forward(self, hidden: Tensor, motion: Tensor | None) -> Tensor:
        """(sites, frames, channels) in and out; motion (sites, motion frames, channels) comes before in time."""
        before = 0 if motion is None else motion.shape[1]
        positions = self.positions.to(hidden.dtype)
        normed = self.norm1(hidden) + positions[:, before : before + hidden.shape[1]]
        keys = normed if motion is None else torch.cat((self.norm1(motion) + positions[:, :before], normed), dim=1)
        hidden = hidden + self.attn1(normed, self.attn1.context(keys))
        return hidden + self.ff(self.norm3(hidden))


class TemporalTransformer(nn.Module):
    """`motion_modules.j`: attention over time at every place; its output starts at zero."""

    def __init__(self, channels: int, heads: int, groups: int, max_frames: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, eps=1e-6)
        self.proj_in = nn.Linear(channels, channels)
        self.transformer_blocks = nn.ModuleList([TemporalBlock(channels, heads, max_frames)])
        self.proj_out = nn.Linear(channels, channels)
        zero_output(self.proj_out)

    def context(self, motion: Tensor) -> Tensor:
        """Motion-frame feature maps (batch, motion, channels, H, W) as tokens (batch, H W, motion, channels)."""
        batch, frames = motion.shape[:2]
        tokens = self.norm(motion.flatten(0, 1)).unflatten(0, (batch, frames))
        return self.proj_in(_places_first(tokens))

    def forward(self, hidden: Tensor, frames: int, motion: Tensor | None) -> Tensor:
        """Feature maps (batch * frames, channels, H, W) in and out; motion as `context` returns it."""
        height, width = hidden.shape[-2:]
        maps = self.norm(hidden).unflatten(0, (-1, frames))
        batch = maps.shape[0]
        tokens = self.proj_in(_places_first(maps)).flatten(0, 1)
        for block in self.transformer_blocks:
            tokens = block(tokens, None if motion is None else motion.flatten(0, 1))
        tokens = self.proj_out(tokens).unflatten(0, (batch, height * width))
        return hidden + tokens.permute(0, 2, 3, 1).reshape(hidden.shape)


def _places_first(maps: Tensor) -> Tensor:
    """Maps (batch, frames, channels, H, W) as tokens (batch, H W, frames, channels).

    In memory too: a linear layer takes a permuted input apart into one small product per place.
    """
    return maps.flatten(3).permute(0, 3, 1, 2).contiguous()
