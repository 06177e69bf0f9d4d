"""Figures of a step against those by hand."""

from __future__ import annotations

import math

import pytest
import torch

from fada.engine.clock import Lap
from fada.engine.figures import finite_median, mean_where, numbers_of

VALUES = torch.tensor([1.0, 5.0, math.inf, 3.0, math.nan])


def test_mean_of_the_chosen() -> None:
    assert float(mean_where(VALUES, torch.tensor([True, False, False, True, False]))) == 2.0
    assert math.isnan(float(mean_where(VALUES, torch.zeros(5).bool())))


def test_median_of_what_is_finite_and_chosen() -> None:
    assert float(finite_median(VALUES)) == 3.0
    assert float(finite_median(VALUES, torch.tensor([True, True, True, False, True]))) == 1.0
    assert math.isnan(float(finite_median(VALUES, torch.tensor([False, False, True, False, True]))))


def test_numbers_of_every_kind_come_in_their_columns() -> None:
    lap = Lap()
    lap.add(1.0, 1.5)
    assert numbers_of([[torch.tensor(2.0, dtype=torch.float64), 3], [], [lap, torch.tensor([0.25])]]) == [
        [2.0, 3.0], [], [pytest.approx(0.5), 0.25]
    ]  # fmt: skip
