"""What tells weights from others, in sixteen hex digits: the only hash over tensors that is stored anywhere."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

Counted = Literal["values", "tensors", "bits"]
"""What counts beside the names: see `weights_hash`."""


def weights_hash(weights: Mapping[str, Tensor], counted: Counted = "values", before: bytes = b"") -> str:
    """The first sixteen hex digits of a SHA-256 over tensors, in the order of their names.

    Each of the three is as it was first stored, so that what an earlier version wrote is still found.

    Args:
        counted: `values`: numbers in float32, so that a network is the same in whatever precision it is (runs, shards,
            benchmarks). `tensors`: types, shapes and bits (what a difference was made from). `bits`: bits alone (audio
            encoders, whose settings are hashed `before`).
        before: what is hashed before the first tensor.
    """
    digest = hashlib.sha256(before)
    for name, value in sorted(weights.items()):
        kept = value.detach().cpu()
        kept = (kept.float() if counted == "values" else kept).contiguous()
        digest.update((f"{name} {kept.dtype} {tuple(kept.shape)}\n" if counted == "tensors" else name).encode())
        digest.update(kept.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]
