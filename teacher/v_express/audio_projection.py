"""From wav2vec2's states to the tokens that a frame hears: windows, and the resampler of `audio_projection.bin`."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from fada.teacher.v_express import settings as tables

STATES_PER_FRAME = 2


def audio_windows(states: Tensor, frames: int, pad: int = 2) -> Tensor:
    """What each frame may hear: (B, frames, 2 (2 pad + 1), dim) of the states (B, T, dim) of a whole recording.

    The states are stretched to two per frame, with zeros beyond both ends; a frame hears its own two and those of `pad`
    frames on either side. V-Express takes the last layer of wav2vec2-base-960h, on sound at 16 kHz brought to mean zero
    and deviation one.
    """
    count = STATES_PER_FRAME * frames
    stretched = F.interpolate(states.float().transpose(1, 2), size=count, mode="linear").to(states.dtype)
    padded = F.pad(stretched, (STATES_PER_FRAME * pad,) * 2)
    return padded.unfold(2, STATES_PER_FRAME * (2 * pad + 1), STATES_PER_FRAME).permute(0, 2, 3, 1)


class _ResamplerAttention(nn.Module):
    """Queries attend to [states, queries]."""

    def __init__(self, dim: int, inner: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.to_q = nn.Linear(dim, inner, bias=False)
        self.to_kv = nn.Linear(dim, 2 * inner, bias=False)
        self.to_out = nn.Linear(inner, dim, bias=False)

    def forward(self, states: Tensor, queries: Tensor) -> Tensor:
        """Answers (rows, n, dim) for queries of that shape and states (rows, m, dim)."""
        normed = self.norm2(queries)
        keys, values = self.to_kv(torch.cat((self.norm1(states), normed), dim=1)).chunk(2, dim=-1)
        query, keys, values = map(self._split, (self.to_q(normed), keys, values))
        attended = F.scaled_dot_product_attention(query, keys, values)
        return self.to_out(attended.transpose(1, 2).flatten(2))

    def _split(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class AudioResampler(ModelMixin, ConfigMixin):
    """Windows of audio states to a few tokens: learned queries, layer by layer informed by the window.

    Args:
        states: per window, states_dim wide.
        dim: width within; inner: of all heads together.
        queries: tokens that come out, token_dim wide.
    """

    folder_settings = tables.AudioResampler

    @register_to_config
    def __init__(
        self,
        states: int = 10,
        states_dim: int = 768,
        dim: int = 768,
        inner: int = 768,
        heads: int = 12,
        feed_forward: int = 3072,
        depth: int = 4,
        queries: int = 5,
        token_dim: int = 768,
    ) -> None:
        super().__init__()
        self.pos_emb = nn.Embedding(states, states_dim)
        self.latents = nn.Parameter(torch.randn(1, queries, dim) / dim**0.5)
        self.proj_in = nn.Linear(states_dim, dim)
        self.proj_out = nn.Linear(dim, token_dim)
        self.norm_out = nn.LayerNorm(token_dim)
        self.layers = nn.ModuleList()
        for _ in range(depth):
            widen = nn.Linear(dim, feed_forward, bias=False)
            narrow = nn.Linear(feed_forward, dim, bias=False)
            feed = nn.Sequential(nn.LayerNorm(dim), widen, nn.GELU(), narrow)
            self.layers.append(nn.ModuleList([_ResamplerAttention(dim, inner, heads), feed]))

    def forward(self, windows: Tensor) -> Tensor:
        """Tokens (B, F, queries, token_dim) of windows (B, F, states, states_dim).

        Raises:
            ValueError: the encoder's states have another shape.
        """
        shape, expected = windows.shape[:2], (self.config.states, self.config.states_dim)
        if tuple(windows.shape[2:]) != expected:
            raise ValueError(
                f"audio windows have (states, dim) = {tuple(windows.shape[2:])}, the projection was made for "
                f"{expected}; use the audio encoder that the model was trained with"
            )
        states = self.proj_in(windows.flatten(0, 1) + self.pos_emb.weight)
        queries = self.latents.expand(len(states), -1, -1)
        for attention, feed in cast("list[nn.ModuleList]", self.layers):
            queries = queries + attention(states, queries)
            queries = queries + feed(queries)
        return self.norm_out(self.proj_out(queries)).unflatten(0, shape)
