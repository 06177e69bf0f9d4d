"""Rows of a batched pass, taken from what was computed once per clip.

Which rows there are decides what is computed, so it is known on the CPU: asking a device would wait for it. What of it
the device needs is copied there once for all sites.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from fada.diffusion.transfer import moved


def rows_of(clips: Tensor, count: int, device: torch.device) -> Callable[[Tensor], Tensor]:
    """A function from tensors (count, ...) on a device to their rows (rows, ...), row i of clip `clips[i]`.

    One clip is seen by all rows, not copied. Whole batches one after the other are repeated: the gradient of that is a
    sum, that of an index a scatter.
    """
    rows = len(clips)
    times, rest = divmod(rows, count)
    is_repeated = rest == 0 and clips.tolist() == list(range(count)) * times
    if is_repeated and times == 1:
        return lambda tensor: tensor
    if count == 1:
        return lambda tensor: tensor.expand(rows, *tensor.shape[1:])
    if is_repeated:
        return lambda tensor: tensor.repeat(times, *[1] * (tensor.ndim - 1))
    index = moved(clips, device)
    return lambda tensor: tensor[index]


def rows_that_hear(clips: Tensor, hears: Tensor, count: int, device: torch.device) -> Callable[[Tensor], Tensor]:
    """The same for what is heard: the last rows alone where those before hear nothing, else zeros in rows that do not.

    Where no row hears, all attend to zeros: processes that share sharded weights must run the same layers.
    """
    silent = int((~hears).sum())
    if silent < len(hears) and bool(hears[silent:].all()):
        return rows_of(clips[silent:], count, device)
    pick, keep = rows_of(clips, count, device), moved(hears, device)
    return lambda tensor: scale_rows(pick(tensor), keep)


def scale_rows(tensor: Tensor, keep: Tensor) -> Tensor:
    """The tensor with zeros in the rows that are not kept (rows,), on its device."""
    return tensor * keep.to(tensor).reshape(-1, *[1] * (tensor.ndim - 1))
