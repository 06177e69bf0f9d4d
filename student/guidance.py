"""CFG layers: the guidance scales inside the network, so that one pass replaces the ladder (method.md, section 5).

A clip's scales become an embedding once per clip; at every site of the denoising net a cross-attention reads it. Where
sites are (in a dual UNet behind every audio attention) the family says; its networks know nothing of students. Outputs
start at zero, so an untrained student is the teacher's conditional prediction.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, Literal, cast, get_args

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.embeddings import get_timestep_embedding
from diffusers.models.modeling_utils import ModelMixin
from jaxtyping import Float
from torch import Tensor, nn

from fada.diffusion.guidance import combine
from fada.diffusion.shapes import Scales
from fada.teacher.dual_unet.layers import Attention, KeysValues, zero_output

GuidanceMode = Literal["none", "time_embed", "layer", "tokens"]

SCALE_FACTOR = 1000.0
"""Scales are embedded as the sinusoid of 1000 times the scale, as in Meng et al. 2022 (arXiv:2210.03142)."""


class Folded(KeysValues):
    """Keys times the query's weights, values times the output's: (B, heads * n, channels), n of each head in turn.

    A few vectors for all tokens of a clip: with them a CFG layer is two thin products instead of two square ones.
    """


class CFGLayer(nn.Module):
    """Cross-attention from the hidden states to the guidance embedding; what it adds starts at zero."""

    def __init__(self, channels: int, heads: int, guidance_dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.attn = Attention(channels, heads, context_dim=guidance_dim)
        zero_output(self.attn.to_out[0])

    def context(self, guidance: Tensor) -> KeysValues:
        """Keys and values of a guidance embedding (B, n, guidance_dim), once per clip; folded where that saves work."""
        plain = self.attn.context(guidance)
        channels = guidance.shape[1] * self.attn.heads
        # Sharded weights have no shape outside their layer's call.
        is_whole = self.attn.to_q.weight.ndim == 2
        if torch.is_grad_enabled() or not is_whole or channels >= self.attn.to_q.out_features:
            return plain
        return self._fold(plain)

    def _fold(self, plain: KeysValues) -> Folded:
        """What queries and output would be multiplied with, once per clip instead of once per token and step."""
        attn = self.attn
        kind = torch.promote_types(plain.keys.dtype, torch.float32)
        keys, values = (each.to(kind).unflatten(-1, (attn.heads, -1)) for each in plain)
        query = attn.to_q.weight.to(kind).unflatten(0, (attn.heads, -1))
        last = cast(nn.Linear, attn.to_out[0])
        out = last.weight.to(kind).unflatten(1, (attn.heads, -1))
        # A head's attention weights sum to one: its share of the bias can go with the values.
        share = last.bias.to(kind) / attn.heads
        folded_keys = torch.einsum("bnhd,hdc->bhnc", keys, query) * keys.shape[-1] ** -0.5
        folded_values = torch.einsum("bnhd,chd->bhnc", values, out) + share
        return Folded(*(each.flatten(1, 2).to(plain.keys.dtype) for each in (folded_keys, folded_values)))

    def forward(self, hidden: Tensor, guidance: KeysValues) -> Tensor:
        """(B * frames, tokens, channels) with what guidance of B clips, as `context` returns it, adds."""
        clips = guidance.keys.shape[0]
        # All frames of a clip read the same few tokens: one attention for all of them, and no copies.
        tokens = hidden.reshape(clips, -1, hidden.shape[-1])
        if not isinstance(guidance, Folded):
            return (tokens + self.attn(self.norm(tokens), guidance)).view(hidden.shape)
        # Tokens last: a softmax over a few neighbouring numbers takes a CPU 20 times as long as over a few rows.
        scores = torch.bmm(guidance.keys, self.norm(tokens).transpose(1, 2))
        weights = scores.unflatten(1, (self.attn.heads, -1)).softmax(2).flatten(1, 2)
        return torch.baddbmm(tokens, weights.transpose(1, 2), guidance.values).view(hidden.shape)


class ScaleTokens(nn.Module):
    """FADA's learnable tokens: one set per branch, combined by the same ladder as the predictions (eq. 10)."""

    def __init__(self, branches: int, tokens: int, dim: int) -> None:
        super().__init__()
        self.tokens = nn.Parameter(torch.randn(branches, tokens, dim) * dim**-0.5)

    def forward(self, scales: Scales) -> Float[Tensor, "batch tokens dim"]:
        """Embedding (B, tokens, dim) of scales (B, branches - 1)."""
        batch = scales.shape[0]
        branches = [branch.expand(batch, -1, -1) for branch in self.tokens]
        return combine(branches, scales).to(self.tokens.dtype)


class ScaleEmbedding(nn.Module):
    """A plain embedding of the scales: one token for each of them."""

    def __init__(self, scales: int, dim: int, sinusoid_dim: int = 64) -> None:
        super().__init__()
        self.sinusoid_dim = sinusoid_dim
        # Their name in the weights that are saved, from when a scale was a climb from one branch to the next.
        self.climbs = nn.ModuleList([nn.Linear(sinusoid_dim, dim, bias=False) for _ in range(scales)])

    def forward(self, scales: Scales) -> Float[Tensor, "batch scales dim"]:
        """Embedding (B, scales, dim) of scales (B, scales)."""
        columns = []
        for index, linear in enumerate(self.climbs):
            sinusoid = get_timestep_embedding(scales[:, index].float() * SCALE_FACTOR, self.sinusoid_dim)
            columns.append(linear(sinusoid.to(linear.weight.dtype)))
        return torch.stack(columns, dim=1)


class TimeGuidance(nn.Module):
    """Scales added to the time embedding (Meng et al. 2022), through layers that start at zero."""

    def __init__(self, scales: int, time_channels: int) -> None:
        super().__init__()
        self.embedding = ScaleEmbedding(scales, time_channels)
        for linear in self.embedding.climbs:
            zero_output(linear)

    def forward(self, scales: Scales) -> Float[Tensor, "batch channels"]:
        """(B, time_channels) of scales (B, scales)."""
        return self.embedding(scales).sum(dim=1)


class GuidanceLayers(ModelMixin, ConfigMixin):
    """What a fast student has beside its teacher's networks: an embedding of the scales, and what brings it to sites.

    Args:
        mode: of the paper's Table 4 but `none`, which needs no layers; `time_embed` has none at sites either.
        tokens: learnable tokens per branch, for mode `tokens`.
        branches: of the family's guidance, the unconditional one among them.
        dim: width of the embedding.
        heads: of the cross-attentions.
        sites: width of the hidden states at each site, in order of execution.
        time_channels: width of the time embedding.

    Raises:
        ValueError: there is no such mode, or it needs no layers.
    """

    @register_to_config
    def __init__(
        self,
        mode: GuidanceMode = "tokens",
        tokens: int = 4,
        branches: int = 3,
        dim: int = 768,
        heads: int = 8,
        sites: tuple[int, ...] = (),
        time_channels: int = 1280,
    ) -> None:
        super().__init__()
        check_mode(mode)
        if mode == "none":
            raise ValueError("guidance layers of mode none are no layers: leave them out")
        if mode == "time_embed":
            self.time_guidance = TimeGuidance(branches - 1, time_channels)
            return
        if mode == "tokens":
            self.scale_tokens = ScaleTokens(branches, tokens, dim)
        else:
            self.scale_embedding = ScaleEmbedding(branches - 1, dim)
        self.layers = nn.ModuleList([CFGLayer(width, heads, dim) for width in sites])

    def with_scales(self, conditions: Any, scales: Scales) -> Any:
        """The conditions of rows with their scales (rows, branches - 1), in the order of the branches. Once per clip.

        `conditions` is a dataclass with `hooks`, what is done to the hidden states at each site, and `time`, what is
        added to the time embedding.
        """
        mode = self.config.mode
        if mode == "time_embed":
            return replace(conditions, time=self.time_guidance(scales))
        embedding = self.scale_tokens(scales) if mode == "tokens" else self.scale_embedding(scales)
        layers = [cast(CFGLayer, layer) for layer in self.layers]
        return replace(conditions, hooks=[partial(layer, guidance=layer.context(embedding)) for layer in layers])


def check_mode(mode: str) -> None:
    """Raise ValueError unless the mode is one of the paper's Table 4."""
    if mode not in get_args(GuidanceMode):
        raise ValueError(f"no guidance mode named {mode!r}; choose from {', '.join(get_args(GuidanceMode))}")
