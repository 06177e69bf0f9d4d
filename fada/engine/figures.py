"""Figures of a step, made where its values lie: nothing here waits for a device but `numbers_of`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import SupportsFloat, cast

import torch
from torch import Tensor

from fada.diffusion.transfer import moved


def mean_where(values: Tensor, chosen: Tensor) -> Tensor:
    """Mean of values (B,) over the chosen, a mask on the CPU; NaN when there is none."""
    return _others_nan(values.detach(), chosen).nanmean()


def finite_median(values: Tensor, chosen: Tensor | None = None) -> Tensor:
    """The (lower) median of those values (B,) that are finite, and chosen; NaN when there is none."""
    values = values.detach() if chosen is None else _others_nan(values.detach(), chosen)
    return torch.where(torch.isfinite(values), values, torch.nan).nanmedian()


def numbers_of(columns: Sequence[Sequence[SupportsFloat]]) -> list[list[float]]:
    """Numbers of columns; all those that lie on a device come in one transfer, so that it is waited for once."""
    away = [value for column in columns for value in column if _is_away(value)]
    came = iter(torch.stack([cast(Tensor, each).float().reshape(()) for each in away]).tolist() if away else ())
    return [[next(came) if _is_away(value) else float(value) for value in column] for column in columns]


def _others_nan(values: Tensor, chosen: Tensor) -> Tensor:
    # Not by the mask as an index: how many are chosen would have to be known first.
    return torch.where(moved(chosen, values.device), values, torch.nan)


def _is_away(value: SupportsFloat) -> bool:
    return isinstance(value, Tensor) and value.device.type != "cpu"
