"""Which of the paper's orders hold in the exact world: paired differences of a table's measure, per seed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fada.eval.statistics.intervals import Interval, t_interval
from fada.studies.ablations.order_verdicts import Order, order_verdicts
from fada.studies.ablations.rows import ORDERS, Claim
from fada.studies.exact.rows import PRIMARY, key_of


def verdicts_of(results: Mapping[str, Any], setting: str) -> list[Order]:
    """Every order of a setting whose rows are there; one family for Holm, its level divided by the number of looks."""
    return order_verdicts([(claim, _differences(results, claim, setting)) for claim in ORDERS], results["looks"])


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
