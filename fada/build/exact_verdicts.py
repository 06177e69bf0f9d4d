"""Which of the paper's orders hold in the exact world: paired differences over seeds, Holm over all orders, power."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.special import ndtri

from fada.build.ablation_rows import Claim
from fada.build.exact_rows import ORDERS, PRIMARY, key_of
from fada.eval.statistics import SIGNIFICANCE, Interval, holm, mean_p_value, t_interval

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


def verdicts_of(results: Mapping[str, Any], setting: str) -> list[Order]:
    """Every order of a setting whose rows are there; one family for Holm, its level divided by the number of looks."""
    found = [(claim, differences) for claim in ORDERS if (differences := _differences(results, claim, setting))]
    corrected = holm([mean_p_value(differences) for _, differences in found])
    level = SIGNIFICANCE / results["looks"]
    return [
        _order(claim, differences, p_value, level, len(found))
        for (claim, differences), p_value in zip(found, corrected, strict=True)
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


def headroom(results: Mapping[str, Any], table: int, untrained: str, teacher: str = "teacher on A") -> Interval | None:
    """By how much the untrained student is worse than the teacher in a table's measure: over seeds, paired."""
    return t_interval(compared(results, table, untrained, teacher))


def compared(results: Mapping[str, Any], table: int, name: str, other: str, measure: str | None = None) -> list[float]:
    """Differences of a table's primary measure (or of `measure`), per seed that both rows have; empty without any."""
    columns = [results["rows"].get(each, {}).get(str(table)) for each in (name, other)]
    if any(column is None for column in columns):
        return []
    mine, theirs = (column[measure or PRIMARY[table]] for column in columns)
    # Rows have the same first seeds; some have more of them than others.
    return [a - b for a, b in zip(mine, theirs, strict=False)]


def _differences(results: Mapping[str, Any], claim: Claim, setting: str) -> list[float]:
    return compared(results, claim.table, key_of(claim.worse, setting), key_of(claim.better, setting))
