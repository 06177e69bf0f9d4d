"""Lets packages that import torchvision be used beside a CPU build of torch."""

from __future__ import annotations

from functools import cache

import torch

_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}


@cache
def declare_torchvision_operators() -> torch.library.Library | None:
    """Declare what torchvision's import asks for, where torch has no CUDA.

    The published torchvision is built for CUDA: beside a CPU torch its compiled operators cannot be loaded, and its
    Python part then fails over their missing names. With names alone it imports; only box suppression stays missing.
    """
    if torch.version.cuda is not None or torch.version.hip is not None:
        return None
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name, schema in _SCHEMAS.items():
        if not hasattr(torch.ops.torchvision, name):
            library.define(schema)
    # Kept by the cache: a library that is let go takes its declarations with it.
    return library
