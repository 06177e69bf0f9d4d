"""Is there anything to win? What was never trained must lose to the teacher, or a comparison of students shows nothing.

A gate: where an untrained copy, or the best sampler of the teacher itself at a student's cost, is as good as the guided
teacher in every quality measure, distillation has nothing to do in that world, and an order of students is chance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fada.eval.bench.qualities import Badness, badness_of, losses
from fada.eval.bench.results import BenchResults
from fada.eval.bench.summary import counted_nfe
from fada.eval.statistics.intervals import Interval

NO_HEADROOM = "no headroom: this comparison shows nothing"
"""What a page says, word for word."""
HEADROOM = "headroom"
ONE_GUIDED_STEP = 3
"""Evaluations of one step with all branches: what cannot be spent on another guided step is no cheaper."""


@dataclass(frozen=True)
class Gate:
    """One untrained way at a student's cost against the guided teacher.

    Args:
        untrained: its name.
        evaluations: of the network, per clip.
        losses: by quality measure how much worse it is, in the measure's unit; positive where it is.
    """

    untrained: str
    evaluations: int
    losses: Mapping[str, Interval]

    @property
    def passes(self) -> bool:
        """Whether it loses in at least one measure by more than the interval."""
        return any(loss.low is not None and loss.low > 0 for loss in self.losses.values())

    @property
    def word(self) -> str:
        """`headroom`, or that there is none."""
        return HEADROOM if self.passes else NO_HEADROOM


def gate(untrained: str, evaluations: int, worse: Badness, teacher: Badness) -> Gate:
    """The gate of one untrained way."""
    return Gate(untrained, evaluations, losses(worse, teacher))


def gates_of(results: BenchResults, student: str) -> list[Gate]:
    """Every undistilled way at a student's cost against the reference; all must pass."""
    teacher = badness_of(results, results.reference)
    return [
        gate(name, max(counted_nfe(results, name)), badness_of(results, name), teacher)
        for name in undistilled(results, student)
    ]


def undistilled(results: BenchResults, student: str) -> list[str]:
    """Names of the undistilled ways that cost as many evaluations as a student, or less by no whole guided step."""
    cost = max(counted_nfe(results, student))
    return [
        system["name"]
        for system in results.systems
        if system["is_alternative"] and 0 <= cost - max(counted_nfe(results, system["name"])) < ONE_GUIDED_STEP
    ]


def students(results: BenchResults) -> list[str]:
    """Names of the distilled systems."""
    return [system["name"] for system in results.systems if system["is_candidate"]]


def headroom_words(results: BenchResults) -> list[str]:
    """A line per student that has undistilled rivals: whether there was anything to win, for terminal and page."""
    lines = []
    for student in students(results):
        found = gates_of(results, student)
        if not found:
            continue
        failed = [each.untrained for each in found if not each.passes]
        names = ", ".join(failed or [each.untrained for each in found])
        said = NO_HEADROOM if failed else HEADROOM
        why = "as good as the teacher, as far as these clips can show" if failed else "worse than the teacher"
        lines.append(f"{student}: {said} ({names}: {why})")
    return lines
