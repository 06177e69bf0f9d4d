"""Many students in one call: the network of students.py with a first dimension of weights, as batched products.

The module says what a student is, this says the same for all of them at once, several times faster than a vectorised
call of the module; a test holds the two together.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers.models.embeddings import get_timestep_embedding
from torch import Tensor

from fada.diffusion.guidance import branch_coefficients
from fada.student.guidance import SCALE_FACTOR, GuidanceMode

Weights = dict[str, Tensor]
"""Name → (nets, ...)."""


def linear(weights: Weights, name: str, values: Tensor) -> Tensor:
    """A linear layer of every net, (nets, n, in) to (nets, n, out)."""
    weight = weights[f"{name}.weight"].transpose(1, 2)
    bias = weights.get(f"{name}.bias")
    return torch.bmm(values, weight) if bias is None else torch.baddbmm(bias[:, None], values, weight)


def normed(weights: Weights, name: str, values: Tensor) -> Tensor:
    """A layer norm of every net."""
    plain = F.layer_norm(values, values.shape[-1:])
    return torch.addcmul(weights[f"{name}.bias"][:, None], plain, weights[f"{name}.weight"][:, None])


class StackedScales:
    """How scales (nets, n, 2) enter every net, as guidance layers have it (student/guidance.py).

    Tokens are combined by the scales, and keys and values are linear in them: so each branch's are made once per net,
    and combined as scores and sums.
    """

    def __init__(self, weights: Weights, mode: GuidanceMode, scales: Tensor, heads: int) -> None:
        self.weights, self.mode, self.heads = weights, mode, heads
        if mode == "tokens":
            self.tokens = weights["guidance_layers.scale_tokens.tokens"].flatten(1, 2)
            shares = branch_coefficients(scales.flatten(0, 1)).view(*scales.shape[:2], -1)
            self.shares = shares.transpose(1, 2)[:, None, :, None]  # (nets, 1, branches, 1, n)
        else:
            prefix = f"guidance_layers.{'scale_embedding' if mode == 'layer' else 'time_guidance.embedding'}"
            width = weights[f"{prefix}.climbs.0.weight"].shape[-1]
            seen = [get_timestep_embedding(column.float() * SCALE_FACTOR, width).view(*column_shape(scales), width)
                    for column in scales.flatten(0, 1).unbind(1)]  # fmt: skip
            self.columns = [linear(weights, f"{prefix}.climbs.{place}", each) for place, each in enumerate(seen)]

    def time(self) -> Tensor | None:
        """What is added to the time embedding; None where scales enter by CFG layers."""
        return self.columns[0] + self.columns[1] if self.mode == "time_embed" else None

    def layer(self, name: str, hidden: Tensor) -> Tensor:
        """The CFG layer of a block: (nets, n, width) with what guidance adds."""
        if self.mode == "time_embed":
            return hidden
        query = linear(self.weights, f"{name}.attn.to_q", normed(self.weights, f"{name}.norm", hidden))
        query = query * (query.shape[-1] // self.heads) ** -0.5
        attended = self._by_branches(name, query) if self.mode == "tokens" else self._by_columns(name, query)
        return hidden + linear(self.weights, f"{name}.attn.to_out.0", attended)

    def _by_branches(self, name: str, query: Tensor) -> Tensor:
        nets, count, width = query.shape
        keys, values = (self._of_heads(linear(self.weights, f"{name}.attn.{each}", self.tokens))
                        for each in ("to_k", "to_v"))  # fmt: skip
        scores = torch.bmm(keys, self._of_heads(query).transpose(1, 2))  # (nets * heads, branches * tokens, n)
        branches = self.shares.shape[2]
        scores = (scores.view(nets, self.heads, branches, -1, count) * self.shares).sum(2)
        # Samples last: a softmax over a few neighbouring numbers takes a CPU 20 times as long as over a few rows.
        shares = (scores.softmax(2)[:, :, None] * self.shares).reshape(nets * self.heads, -1, count)
        found = torch.bmm(shares.transpose(1, 2), values)
        return found.view(nets, self.heads, count, -1).transpose(1, 2).reshape(nets, count, width)

    def _by_columns(self, name: str, query: Tensor) -> Tensor:
        keys, values = ([linear(self.weights, f"{name}.attn.{kind}", each) for each in self.columns]
                        for kind in ("to_k", "to_v"))  # fmt: skip
        scores = [(query * key).unflatten(-1, (self.heads, -1)).sum(-1) for key in keys]
        # Two tokens: their softmax is a sigmoid.
        second = torch.sigmoid(scores[1] - scores[0])[..., None]
        first_values, second_values = (value.unflatten(-1, (self.heads, -1)) for value in values)
        return torch.lerp(first_values, second_values, second).flatten(-2)

    def _of_heads(self, values: Tensor) -> Tensor:
        """(nets, n, width) as (nets * heads, n, width / heads)."""
        return values.unflatten(-1, (self.heads, -1)).transpose(1, 2).flatten(0, 1)


def column_shape(scales: Tensor) -> tuple[int, int]:
    """Nets and samples."""
    return scales.shape[0], scales.shape[1]
