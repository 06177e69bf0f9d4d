"""FLOAT's vector field: a transformer whose tokens are frames, each told by a modulation of its own.

Names and shapes of its parameters are those of the public model's `fmt`. What is constant over the steps of a solve
(`embed_motion`, `embed_conditions`) is computed once, outside of `forward`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.embeddings import get_timestep_embedding
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from fada.teacher.denoiser import Sites
from fada.teacher.float import settings
from fada.teacher.float.settings import EMOTIONS, Conditioning

FREQUENCIES = 256
"""Width of the sinusoid that a time is embedded as."""
EPS = 1e-6


class TimeEmbedder(nn.Module):
    """A time in [0, 1] as a vector."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(FREQUENCIES, dim), nn.SiLU(), nn.Linear(dim, dim))

    def forward(self, time: Tensor) -> Tensor:
        """(rows, dim) of times (rows,)."""
        sinusoid = get_timestep_embedding(time.float(), FREQUENCIES, flip_sin_to_cos=True, downscale_freq_shift=0)
        return self.mlp(sinusoid.to(self.mlp[0].weight.dtype))


class FrameEmbedder(nn.Module):
    """A frame's latent as a token."""

    def __init__(self, latent_dim: int, dim: int) -> None:
        super().__init__()
        self.proj = nn.Linear(latent_dim, dim)

    def forward(self, latents: Tensor) -> Tensor:
        """(rows, F, dim) of latents (rows, F, latent_dim)."""
        return self.proj(latents)


class FrameAttention(nn.Module):
    """Attention among frames that are near each other."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, hidden: Tensor, near: Tensor) -> Tensor:
        """(rows, F, dim); `near` (F, F) says which frames a frame attends to."""
        query, keys, values = (_heads(each, self.heads) for each in self.qkv(hidden).chunk(3, dim=-1))
        return self.proj(_attend(query, keys, values, near))


class CrossAttention(nn.Module):
    """Attention from frames to what near ones are told: the ablation of frame-wise modulation."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(dim, elementwise_affine=False, eps=EPS)
        self.query, self.keys_values = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, hidden: Tensor, told: Tensor, near: Tensor) -> Tensor:
        """(rows, F, dim) of hidden states and what their frames are told, of the same shape."""
        keys, values = (_heads(each, self.heads) for each in self.keys_values(told).chunk(2, dim=-1))
        return self.proj(_attend(_heads(self.query(self.norm(hidden)), self.heads), keys, values, near))


class FeedForward(nn.Module):
    """Two layers with GELU between them."""

    def __init__(self, dim: int, inner: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(dim, inner), nn.Linear(inner, dim)

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., dim)."""
        return self.fc2(F.gelu(self.fc1(hidden), approximate="tanh"))


class FrameBlock(nn.Module):
    """A DiT block whose shift, scale and gate are a frame's own (AdaLN-Zero: it starts as the identity)."""

    def __init__(self, dim: int, heads: int, inner: int, conditioning: Conditioning) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, elementwise_affine=False, eps=EPS)
        self.attn = FrameAttention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, elementwise_affine=False, eps=EPS)
        self.mlp = FeedForward(dim, inner)
        self.adaLN_modulation = _modulation(dim, 6)
        self.cross = CrossAttention(dim, heads) if conditioning == "cross_attention" else None

    def forward(self, hidden: Tensor, told: Tensor, time: Tensor, near: Tensor) -> Tensor:
        """(rows, F, dim); what frames are told has their shape, time is (rows, 1, dim)."""
        modulated = time if self.cross is not None else told + time
        shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = self.adaLN_modulation(modulated).chunk(6, dim=-1)
        hidden = hidden + gate * self.attn(_modulated(self.norm1(hidden), shift, scale), near)
        if self.cross is not None:
            hidden = hidden + self.cross(hidden, told, near)
        return hidden + gate_mlp * self.mlp(_modulated(self.norm2(hidden), shift_mlp, scale_mlp))


class FrameDecoder(nn.Module):
    """Tokens as velocities; it starts at zero."""

    def __init__(self, dim: int, latent_dim: int) -> None:
        super().__init__()
        self.norm_final = nn.LayerNorm(dim, elementwise_affine=False, eps=EPS)
        self.adaLN_modulation = _modulation(dim, 2)
        self.linear = nn.Linear(dim, latent_dim)

    def forward(self, hidden: Tensor, modulated: Tensor) -> Tensor:
        """(rows, F, latent_dim)."""
        shift, scale = self.adaLN_modulation(modulated).chunk(2, dim=-1)
        return self.linear(_modulated(self.norm_final(hidden), shift, scale))


class VectorField(ModelMixin, ConfigMixin):
    """Velocities of motion latents (Ki et al. 2024, arXiv:2412.01064), from noise at time 0 to data at time 1.

    Args:
        latent_dim: of a frame's latent.
        dim, depth, heads, mlp_ratio: of the blocks.
        audio_dim: of what a frame is told of the sound.
        attention_window: frames to each side that a frame attends to.
        max_frames: motion frames and those of a chunk.
        conditioning: see `Conditioning`.
        uses_emotion: whether what it is told of the emotion is known; else zeros stand for it.
        relative: latents are differences from the portrait's (`Float` takes it off, and adds it again).
    """

    folder_settings = settings.VectorField

    @register_to_config
    def __init__(
        self,
        latent_dim: int = 512,
        dim: int = 1024,
        depth: int = 8,
        heads: int = 8,
        mlp_ratio: float = 4.0,
        audio_dim: int = 512,
        attention_window: int = 2,
        max_frames: int = 60,
        conditioning: Conditioning = "adaln",
        uses_emotion: bool = True,
        relative: bool = False,
    ) -> None:
        super().__init__()
        self.x_embedder = FrameEmbedder(latent_dim, dim)
        self.t_embedder = TimeEmbedder(dim)
        self.c_embedder = nn.Linear(latent_dim + audio_dim + EMOTIONS, dim)
        inner = int(dim * mlp_ratio)
        self.blocks = nn.ModuleList([FrameBlock(dim, heads, inner, conditioning) for _ in range(depth)])
        self.decoder = FrameDecoder(dim, latent_dim)
        self.pos_embed: Tensor
        self.register_buffer("pos_embed", _positions(max_frames, dim))
        self._start()

    def _start(self) -> None:
        """Xavier's weights; small ones for the time, and zeros wherever a modulation or an answer is made."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        for layer in self.t_embedder.mlp:
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=0.02)
        blocks: Sequence[Any] = list(self.blocks)
        for block in blocks:
            _zero(block.adaLN_modulation[1])
            if block.cross is not None:
                _zero(block.cross.proj)
        _zero(self.decoder.adaLN_modulation[1])
        _zero(self.decoder.linear)

    def sites(self) -> Sites:
        """In front of every block: what its frames are told."""
        config = self.config
        return Sites((config.dim,) * config.depth, config.audio_dim, config.heads, config.dim)

    def embed_motion(self, motion: Tensor) -> Tensor:
        """Tokens (B, M, dim) of the motion frames' latents (B, M, latent_dim)."""
        return self.x_embedder(motion) + self.pos_embed[:, : motion.shape[1]].to(motion.dtype)

    def embed_conditions(self, reference: Tensor, audio: Tensor, emotion: Tensor) -> Tensor:
        """What frames are told (rows, F, dim), but for the time.

        Args:
            reference: (rows, latent_dim); audio: (rows, F, audio_dim), of motion frames too; emotion: (rows, 7).
        """
        still = torch.cat([reference, emotion], dim=-1)[:, None].expand(-1, audio.shape[1], -1)
        looks, feels = still.split([reference.shape[-1], emotion.shape[-1]], dim=-1)
        return self.c_embedder(torch.cat([looks, audio, feels], dim=-1))

    def forward(
        self,
        latents: Tensor,
        time: Tensor,
        told: Tensor,
        motion: Tensor,
        hooks: Sequence[Any] = (),
        added_time: Tensor | None = None,
        shows_motion: bool = False,
    ) -> Tensor:
        """Velocities (rows, F, latent_dim) of noisy latents at times (rows,), 0 noise and 1 data.

        Args:
            told: (rows, M + F, dim), see `embed_conditions`; motion: (rows, M, dim), see `embed_motion`.
            hooks: what is done in front of each block to what frames are told, from outside.
            added_time: (rows, dim), to be added to the time's embedding.
            shows_motion: answer (rows, M + F, latent_dim), what it makes of motion frames too.

        Raises:
            ValueError: there are more frames than it numbers.
        """
        before, frames = motion.shape[1], latents.shape[1]
        if before + frames > self.pos_embed.shape[1]:
            raise ValueError(f"{before} motion frames and {frames} frames: it numbers {self.pos_embed.shape[1]} in all")
        tokens = self.x_embedder(latents) + self.pos_embed[:, before : before + frames].to(latents.dtype)
        hidden = torch.cat([motion, tokens], dim=1)
        embedded = self.t_embedder(time)
        embedded = (embedded if added_time is None else embedded + added_time)[:, None]
        near = self._near(before + frames, latents.device)
        for number, block in enumerate(self.blocks):
            signal = hooks[number](told) if hooks else told
            hidden = block(hidden, signal, embedded, near)
        # Of the last answer only frames are asked for, not the motion frames that they followed.
        shown = slice(0 if shows_motion else before, None)
        modulated = embedded if self.config.conditioning == "cross_attention" else told[:, shown] + embedded
        return self.decoder(hidden[:, shown], modulated)

    def _near(self, frames: int, device: torch.device) -> Tensor:
        """(F, F) booleans: which frames a frame attends to."""
        number = torch.arange(frames, device=device)
        return (number[:, None] - number).abs() <= self.config.attention_window


def _modulation(dim: int, count: int) -> nn.Sequential:
    return nn.Sequential(nn.SiLU(), nn.Linear(dim, count * dim))


def _modulated(hidden: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return hidden * (1 + scale) + shift


def _heads(tokens: Tensor, heads: int) -> Tensor:
    """(rows, heads, F, dim / heads) of tokens (rows, F, dim)."""
    return tokens.unflatten(-1, (heads, -1)).transpose(1, 2)


def _attend(query: Tensor, keys: Tensor, values: Tensor, near: Tensor) -> Tensor:
    """(rows, F, dim) of attention by heads."""
    attended = F.scaled_dot_product_attention(query, keys, values, attn_mask=near)
    return attended.transpose(1, 2).flatten(2)


def _zero(linear: Any) -> None:
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)


def _positions(count: int, dim: int) -> Tensor:
    """(1, count, dim): sines in even and cosines in odd places (Vaswani et al. 2017)."""
    frequencies = 10000.0 ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    angles = torch.arange(count, dtype=torch.float64)[:, None] * frequencies
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1).float()[None]
