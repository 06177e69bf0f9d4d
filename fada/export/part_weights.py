"""The weights of one part of a pipeline's folder (`denoising_unet/`, `vae/` …)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from fada.pretrained.weights import all_files, read_safetensors

Weights = dict[str, Tensor]


class PartError(ValueError):
    """Weights that cannot be read as one part's."""


def read_weights(folder: Path) -> Weights:
    """Every tensor in the folder's safetensors files by its name; none for a part without weights or a folder.

    Raises:
        PartError: two files hold the same tensor, as where a half-precision variant lies beside the full one.
    """
    weights: Weights = {}
    for file in all_files(folder):
        found = read_safetensors(file)
        double = weights.keys() & found.keys()
        if double:
            raise PartError(f"{file}: holds {min(double)} a second time; keep one variant of the weights in {folder}")
        weights |= found
    return weights


def are_equal(first: Weights, second: Weights) -> bool:
    """Whether both hold the same tensors, bit for bit; in which type a file has them means nothing (`_opened`)."""
    return first.keys() == second.keys() and all(
        torch.equal(_opened(value), _opened(second[name])) for name, value in first.items()
    )


def _opened(value: Tensor) -> Tensor:
    """As a network has it that is opened: in float32, also out of a file in half precision."""
    return value.float() if value.is_floating_point() else value
