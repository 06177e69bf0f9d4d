"""Does a student beat what needs no training? Against the strongest undistilled way at its cost, in every measure.

The quality error decides where there is one: mouth and identity in one number, the number by which undistilled ways are
searched. In each measure alone another rival may be the strongest, one that fails in the other.

Of one run the clips are drawn anew; of several, which differ in their training's seed, seeds and clips both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fada.eval.bench.headroom import students, undistilled
from fada.eval.bench.qualities import QUALITY_ERROR, Badness, badness_of, quality_errors
from fada.eval.bench.results import BenchResults
from fada.eval.comparison.comparable import CompareError, check_protocols, common_clips
from fada.eval.statistics.intervals import SIGNIFICANCE, Interval, t_interval

Word = Literal["beats", "loses", "undecided"]


@dataclass(frozen=True)
class Contest:
    """One student in one quality measure.

    Args:
        student: its name.
        measure: of quality.
        rivals: the strongest undistilled way, of each run (one name where it is the same).
        of: how many there were.
        over_clips: the student's advantage in the measure's unit, positive where it is better, with its interval over
            clips (each the mean over runs).
        over_runs: the same over runs (each the mean over clips); None for one run.
    """

    student: str
    measure: str
    rivals: tuple[str, ...]
    of: int
    over_clips: Interval
    over_runs: Interval | None

    @property
    def word(self) -> Word:
        """What every interval says."""
        intervals = [self.over_clips] + ([] if self.over_runs is None else [self.over_runs])
        if all(each.low is not None and each.low > 0 for each in intervals):
            return "beats"
        if all(each.high is not None and each.high < 0 for each in intervals):
            return "loses"
        return "undecided"


def contests(runs: Sequence[BenchResults]) -> list[Contest]:
    """Every student of the runs in every quality measure that all of them have.

    In each measure the strongest rival is the one with the best mean there, on these very clips: the choice favours it.
    The quality error comes first. Intervals of the others are widened for their number (Bonferroni).

    Raises:
        CompareError: the runs were not measured alike, or have no clip or student in common.
    """
    clips = _clips_of(runs)
    found = []
    for student in _students_of(runs):
        tables = [_of_run(run, student) for run in runs]
        if not all(rivals for _, rivals in tables):
            continue
        measures = [name for name in tables[0][0] if all(name in own for own, _ in tables)]
        others = len(measures) - (QUALITY_ERROR in measures)
        for measure in measures:
            share = 1 if measure == QUALITY_ERROR else others
            contest = _contest(student, measure, tables, clips, 1 - SIGNIFICANCE / share)
            found += [] if contest is None else [contest]
    return found


_Tables = tuple[Badness, Mapping[str, Badness]]
"""Of a student, and of its rivals by name."""


def _of_run(run: BenchResults, student: str) -> _Tables:
    def table(name: str) -> Badness:
        whole = quality_errors(run, name)
        return {**({QUALITY_ERROR: whole} if whole else {}), **badness_of(run, name)}

    return table(student), {name: table(name) for name in undistilled(run, student)}


def _contest(
    student: str, measure: str, tables: Sequence[_Tables], clips: Sequence[str], confidence: float
) -> Contest | None:
    strongest, advantages = [], []
    for own, rivals in tables:
        found = {name: _advantages(own[measure], other.get(measure, {}), clips) for name, other in rivals.items()}
        measured = {name: values for name, values in found.items() if values}
        if not measured:
            return None
        name = min(measured, key=lambda each: float(np.mean(list(measured[each].values()))))
        strongest.append(name)
        advantages.append(measured[name])
    common = [clip for clip in clips if all(clip in values for values in advantages)]
    over_clips = t_interval([float(np.mean([values[clip] for values in advantages])) for clip in common], confidence)
    if over_clips is None:
        return None
    over_runs = t_interval([float(np.mean([values[clip] for clip in common])) for values in advantages], confidence)
    names = tuple(dict.fromkeys(strongest))
    return Contest(student, measure, names, len(tables[0][1]), over_clips, over_runs if len(tables) > 1 else None)


def _advantages(own: Mapping[str, float], other: Mapping[str, float], clips: Sequence[str]) -> dict[str, float]:
    return {clip: other[clip] - own[clip] for clip in clips if clip in own and clip in other}


def _clips_of(runs: Sequence[BenchResults]) -> list[str]:
    if not runs:
        raise CompareError("no runs; name those that differ in their training's seed")
    for run in runs[1:]:
        check_protocols(runs[0].protocol, run.protocol)
    clips = [row["clip"] for row in runs[0].rows_of(runs[0].reference)]
    for run in runs[1:]:
        common = set(common_clips(runs[0].protocol, run.protocol))
        clips = [clip for clip in clips if clip in common]
    return clips


def _students_of(runs: Sequence[BenchResults]) -> list[str]:
    named = [students(run) for run in runs]
    common = [name for name in named[0] if all(name in names for names in named)]
    if not common and len(runs) > 1:
        raise CompareError(f"no student in common ({'; '.join(', '.join(names) or 'none' for names in named)})")
    return common
