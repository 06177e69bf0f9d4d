"""Where and in which type a pipeline computes, and what makes its networks faster without changing their weights."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import nn

from fada.engine.devices import has_bf16
from fada.media.processors import usable_processors

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def use_threads(count: int | None = None) -> int:
    """Compute on so many processor threads; how many there are now.

    None takes what OMP_NUM_THREADS says, and without it no more than torch would, nor than this process may use: torch
    counts the processors of the machine, not the share of them that a container is given.
    """
    if count is not None:
        torch.set_num_threads(count)
    elif "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(min(torch.get_num_threads(), usable_processors()))
    return torch.get_num_threads()


def pick_device(name: str | None = None) -> torch.device:
    """The device of a name (`cpu`, `cuda`, `cuda:1`, `mps`); without one a CUDA device if there is one, else the CPU.

    Raises:
        ValueError: there is no such device here.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"device: got {name!r}; choose from cpu, cuda, cuda:N, mps") from None
    count = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if (device.index or 0) >= count.get(device.type, 0):
        here = [f"{kind} ({number})" if kind == "cuda" else kind for kind, number in count.items() if number]
        raise ValueError(f"device: no {name} here (torch {torch.__version__}); there is {', '.join(here)}")
    return device


def pick_dtype(name: str | None, device: torch.device) -> torch.dtype:
    """The type of a name (`fp32`, `bf16`, `fp16`); without one bfloat16 on a CUDA device that has it, else float32.

    Raises:
        ValueError: it is none of these.
    """
    if name is None:
        return torch.bfloat16 if device.type == "cuda" and has_bf16(device) else torch.float32
    if name not in DTYPES:
        raise ValueError(f"dtype: got {name!r}; choose from {', '.join(DTYPES)}")
    return DTYPES[name]


def convolve_channels_last(*networks: nn.Module) -> None:
    """Lay the networks' images and convolutions out with channels last in memory: values and names stay."""
    for network in networks:
        # Not `network.to(...)`: it refuses weights of five dimensions, as modulated convolutions have.
        for tensor in (*network.parameters(), *network.buffers()):
            if tensor.dim() == 4:
                tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)


def compile_in_place(*networks: nn.Module, **options: Any) -> None:
    """Compile calls of the networks; names of parameters stay, and the first call of each shape takes minutes."""
    for network in networks:
        network.compile(**options)
