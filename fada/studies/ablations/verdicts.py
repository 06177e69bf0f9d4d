"""Which of the paper's orders hold in the drawn world: paired differences of the quality error, per independent unit.

What the quality error is, and which clips decide a table, was written before any run: ablation_rows.py.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from statistics import fmean
from typing import Any

from fada.eval.bench.qualities import quality_error
from fada.eval.statistics.intervals import jackknifed
from fada.studies.ablations.baselines import TEACHER
from fada.studies.ablations.order_verdicts import Order, order_verdicts
from fada.studies.ablations.rows import DECIDED_ON, ORDERS, TEACHERS, Claim, Half

MOUTH, IDENTITY = "mouth_correlation_synth", "identity_error_synth"
Found = Mapping[str, Any]
"""What is kept of a row and seed, or of a line beside the rows."""


def drawn_orders(results: Mapping[str, Any]) -> list[Order]:
    """Every order whose rows are there; one family for Holm, its level divided by the number of looks."""
    return order_verdicts([(claim, advantages(results, claim)) for claim in ORDERS], results["looks"])


def advantages(results: Mapping[str, Any], claim: Claim) -> list[float]:
    """By how much the row that should be worse is worse, in the logarithm of the quality error.

    One value per independent unit. Rows that start from the same student are paired by seed. Others had starts of
    their own, which all seeds of a start share: one value per pair of starts, the mean of its seeds. Of the two
    teachers, each trained once, one value per held-out clip.
    """
    halves = DECIDED_ON[claim.table]
    if (claim.better, claim.worse) == TEACHERS:
        return _per_clip(results, results.get("teacher-b"), results["baselines"].get(TEACHER), halves)
    return compared(results, claim.worse, claim.better, halves)


def compared(results: Mapping[str, Any], name: str, other: str, halves: Collection[Half]) -> list[float]:
    """By how much a row is worse than another, per independent unit (see `advantages`); empty where one is missing."""
    rows = results["rows"]
    mine, theirs = rows.get(name, {}), rows.get(other, {})
    units: dict[Any, list[float]] = {}
    for seed in sorted(mine.keys() & theirs.keys(), key=int):
        starts = [tuple(each) if (each := row[seed].get("start")) else None for row in (mine, theirs)]
        unit = seed if starts[0] == starts[1] or None in starts else tuple(starts)
        values = [log_error(row[seed], clips_of(results, row[seed], halves)) for row in (mine, theirs)]
        units.setdefault(unit, []).append(values[0] - values[1])
    return [fmean(found) for found in units.values()]


def against_line(results: Mapping[str, Any], name: str, line: str, halves: Collection[Half]) -> list[float]:
    """By how much a line beside the rows is worse than a row on the row's clips: one value per start of its seeds."""
    other, units = results["baselines"][line], dict[Any, list[float]]()
    for seed, found in sorted(results["rows"].get(name, {}).items(), key=lambda item: int(item[0])):
        clips = clips_of(results, found, halves)
        unit = tuple(found["start"]) if found.get("start") else seed
        units.setdefault(unit, []).append(log_error(other, clips) - log_error(found, clips))
    return [fmean(values) for values in units.values()]


def lines_compared(results: Mapping[str, Any], name: str, other: str, halves: Collection[Half]) -> list[float]:
    """By how much a line beside the rows is worse than another, as a pseudo-value per held-out clip."""
    return _per_clip(results, results["baselines"].get(name), results["baselines"].get(other), halves)


def _per_clip(
    results: Mapping[str, Any], worse: Found | None, better: Found | None, halves: Collection[Half]
) -> list[float]:
    if not worse or not better:
        return []
    clips = [clip for clip in clips_of(results, worse, halves) if clip in better["clips"]]

    def difference(chosen: Sequence[str]) -> float:
        return log_error(worse, chosen) - log_error(better, chosen)

    return jackknifed(difference, clips)


def clips_of(results: Mapping[str, Any], found: Found, halves: Collection[Half]) -> list[str]:
    """Keys of a line's clips in these halves."""
    return [clip for clip in found["clips"] if results["clips"][clip] in halves]


def mouth_mean(found: Found, clips: Sequence[str]) -> float | None:
    """Mean correlation of mouth and sound; a mouth that does not move, or cannot be seen, has none, which is 0."""
    values = [found["clips"][clip][MOUTH] for clip in clips]
    return fmean(0.0 if value is None else value for value in values) if values else None


def identity_mean(found: Found, clips: Sequence[str]) -> float | None:
    """Mean identity error, in grey levels."""
    values = [value for clip in clips if (value := found["clips"][clip][IDENTITY]) is not None]
    return fmean(values) if values else None


def error_of(found: Found, clips: Sequence[str]) -> float | None:
    """The quality error over some clips; None where nothing was measured."""
    mouth, identity = mouth_mean(found, clips), identity_mean(found, clips)
    if mouth is None or identity is None:
        return None
    return quality_error({MOUTH: mouth, IDENTITY: identity})


def log_error(found: Found, clips: Sequence[str]) -> float:
    """Logarithm of the quality error.

    Raises:
        ValueError: nothing was measured.
    """
    error = error_of(found, clips)
    if error is None:
        raise ValueError(f"no clip of {', '.join(found['clips'])} was measured")
    return math.log(error)
