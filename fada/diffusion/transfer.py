"""Tensors on their way from main memory to a device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

PINNED_BYTES = 2**16
"""From here on a copy to a CUDA device waits for all that the device was asked before, unless its memory is pinned."""


def like(values: Sequence[Any], tensor: Tensor) -> Tensor:
    """Numbers as a tensor of another's kind, on its device; `tensor.new_tensor(values)` would wait for that."""
    return moved(torch.tensor(values, dtype=tensor.dtype), tensor.device)


def moved(tensor: Tensor, device: torch.device | str) -> Tensor:
    """The tensor on a device; itself where it is there already.

    On its way to a device nothing waits: torch's own way holds the process up until the device has done all that it
    was asked before. The values may change as soon as this returns: CUDA has taken its copy, or torch keeps the pinned.
    """
    target = torch.device(device)
    # MPS: copies that are not waited for read what has been freed.
    if tensor.device.type != "cpu" or target.type in ("cpu", "mps"):
        return tensor.to(target)
    if target.type == "cuda" and tensor.numel() * tensor.element_size() > PINNED_BYTES:
        tensor = tensor.pin_memory()
    return tensor.to(target, non_blocking=True)
