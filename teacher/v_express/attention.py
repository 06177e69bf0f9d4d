"""V-Express's spatial attention: to itself, to the reference (`attn1_5`), to the audio (`attn2`), one after another.

Parameter names are those of the released weights. The motion modules beside it are AnimateDiff's, as in Hallo.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, cast

from torch import Tensor, nn

from fada.teacher.dual_unet.layers import (
    Attention,
    FeedForward,
    Hook,
    KeysValues,
    SpatialTransformer,
    TokenProjection,
    TransformerBlock,
)
from fada.teacher.frame_dropout import keep_frames


class BranchWeights(NamedTuple):
    """What the reference's and the audio's attention are multiplied by: (0.95, 3) as released, 1 in training."""

    reference: float = 1.0
    audio: float = 1.0


IN_TRAINING = BranchWeights()


class VExpressBlock(nn.Module):
    """Self-attention, reference attention, audio attention, a site for a hook, feed-forward, each on its own norm."""

    def __init__(self, channels: int, heads: int, audio_dim: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels)
        self.attn1 = Attention(channels, heads)
        self.norm1_5 = nn.LayerNorm(channels)
        self.attn1_5 = Attention(channels, heads)
        self.norm2 = nn.LayerNorm(channels)
        self.attn2 = Attention(channels, heads, context_dim=audio_dim)
        self.norm3 = nn.LayerNorm(channels)
        self.ff = FeedForward(channels)

    def forward(
        self,
        hidden: Tensor,
        reference: KeysValues,
        audio: KeysValues,
        weights: BranchWeights,
        hook: Hook | None = None,
        kept: Tensor | None = None,
    ) -> Tensor:
        """Tokens (rows * frames, H W, channels) in and out.

        Args:
            reference: keys and values (rows, H W, channels), the same for all frames of a row.
            audio: keys and values (rows * frames, tokens, channels).
            weights: multiply each attention with its output's bias, so zeroed conditions feel them too.
            hook: done to the hidden states behind what is heard.
            kept: (rows, frames) booleans, False where a frame sees nothing of the reference, as with a bank of zeros.
        """
        rows = len(reference.keys)
        normed = self.norm1(hidden)
        hidden = hidden + self.attn1(normed, self.attn1.context(normed))
        # All frames of a row ask the same bank, so they ask as one long row and nothing is repeated.
        asked = self.norm1_5(hidden).unflatten(0, (rows, -1)).flatten(1, 2)
        seen = self.attn1_5.attended(asked, reference).reshape(hidden.shape)
        if kept is not None:
            seen = keep_frames(seen, kept.flatten())
        hidden = hidden + weights.reference * self.attn1_5.to_out[0](seen)
        hidden = hidden + weights.audio * self.attn2(self.norm2(hidden), audio)
        if hook is not None:
            hidden = hook(hidden)
        return hidden + self.ff(self.norm3(hidden))


class VExpressTransformer(nn.Module):
    """`attentions.j` of the denoising net: group norm, 1x1 convolutions around one block."""

    def __init__(self, channels: int, heads: int, groups: int, audio_dim: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, eps=1e-6)
        self.proj_in = TokenProjection(channels, channels, 1)
        self.transformer_blocks = nn.ModuleList([VExpressBlock(channels, heads, audio_dim)])
        self.proj_out = TokenProjection(channels, channels, 1)

    @property
    def block(self) -> VExpressBlock:
        return cast(VExpressBlock, self.transformer_blocks[0])

    def forward(
        self,
        hidden: Tensor,
        reference: KeysValues,
        audio: KeysValues,
        weights: BranchWeights,
        hook: Hook | None = None,
        kept: Tensor | None = None,
    ) -> Tensor:
        """Feature maps (rows * frames, channels, H, W) in and out; the rest as in `VExpressBlock`."""
        return on_tokens(self, hidden, lambda tokens: self.block(tokens, reference, audio, weights, hook, kept))


def on_tokens(
    transformer: SpatialTransformer | VExpressTransformer, hidden: Tensor, block: Callable[[Tensor], Tensor]
) -> Tensor:
    """Feature maps (rows, channels, H, W) with what the block makes of their tokens (rows, H W, channels) added."""
    tokens = transformer.proj_in(transformer.norm(hidden).flatten(2).transpose(1, 2).contiguous())
    return hidden + transformer.proj_out(block(tokens)).transpose(1, 2).unflatten(2, hidden.shape[-2:])


def reference_block(block: TransformerBlock, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens (rows, H W, channels) after a block of the reference net, and its bank: normed, after self-attention.

    The prompt is one token of zeros, whose keys and values are zero: text attention adds its output's bias.
    """
    assert block.attn2 is not None
    assert block.norm2 is not None
    normed = block.norm1(tokens)
    tokens = tokens + block.attn1(normed, block.attn1.context(normed))
    bank = block.norm2(tokens)
    tokens = tokens + cast(nn.Linear, block.attn2.to_out[0]).bias
    return tokens + block.ff(block.norm3(tokens)), bank
