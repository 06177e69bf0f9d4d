"""Which of the paper's orders hold: paired differences, Holm over all orders, looks counted, seeds that are missing.

One piece of code for both tiers. A tier says by how much the row that should be worse is worse, once per independent
unit (mostly a seed); what is measured is its own business.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import ndtri

from fada.eval.statistics.intervals import SIGNIFICANCE, Interval, holm, mean_p_value, t_interval
from fada.studies.ablations.rows import Claim

Word = Literal["holds", "does not hold", "undecided"]
POWER = 0.8


@dataclass(frozen=True)
class Order:
    """A tested order: advantage of the row that should be better (positive where it is), and Holm's p-value.

    seeds_needed: for POWER at the difference seen and at Holm's level of a single test; None where it is decided.
    """

    claim: Claim
    advantage: Interval
    p_value: float | None
    word: Word
    seeds_needed: int | None


def order_verdicts(found: Sequence[tuple[Claim, Sequence[float]]], looks: int) -> list[Order]:
    """Every order that has differences; one family for Holm, its level divided by the number of looks.

    Args:
        found: per order the advantages of the row that should be better, one per independent unit.
        looks: how often verdicts are asked for that may end the run (Bonferroni over them).
    """
    tested = [(claim, differences) for claim, differences in found if differences]
    corrected = holm([mean_p_value(differences) for _, differences in tested])
    level = SIGNIFICANCE / looks
    return [
        _order(claim, differences, p_value, level, len(tested))
        for (claim, differences), p_value in zip(tested, corrected, strict=True)
    ]


def _order(claim: Claim, differences: Sequence[float], p_value: float | None, level: float, tests: int) -> Order:
    interval = t_interval(differences)
    assert interval is not None
    if p_value is not None and p_value < level:
        return Order(claim, interval, p_value, "holds" if interval.mean > 0 else "does not hold", None)
    return Order(claim, interval, p_value, "undecided", seeds_needed(differences, level / tests))


def seeds_needed(differences: Sequence[float], level: float, power: float = POWER) -> int | None:
    """How many paired seeds a two-sided test at this level needs to see the mean difference; None if there is none."""
    mean, spread = float(np.mean(differences)), float(np.std(differences, ddof=1)) if len(differences) > 1 else 0.0
    if mean == 0 or spread == 0:
        return None
    return math.ceil(((ndtri(1 - level / 2) + ndtri(power)) * spread / mean) ** 2)


def decided(words: Sequence[Word]) -> int:
    """How many are not undecided."""
    return sum(word != "undecided" for word in words)
