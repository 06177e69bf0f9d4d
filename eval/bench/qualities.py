"""Which measures are quality, and how much worse one way of sampling is than another in them, clip by clip.

Quality is what somebody would see or hear: the mouth against the sound, whose face it is, the pictures as a whole.
Nearness to the teacher is none, and where motion is not decided by the sound neither is nearness to the one true clip.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from statistics import fmean

from fada.eval.bench.results import BenchResults
from fada.eval.bench.summary import mean_of, set_value
from fada.eval.metrics.catalogue import CATALOGUE
from fada.eval.statistics.intervals import (
    SIGNIFICANCE,
    Interval,
    jackknifed,
    paired_differences,
    pseudo_values,
    t_interval,
)

QUALITY_KINDS: Mapping[str, tuple[str, ...]] = {
    "mouth": (
        "mouth_correlation_synth",
        "sync_d",
        "lip_correlation",
        "lip_sound_correlation",
        "lip_correlation_facemesh",
        "lip_sound_correlation_facemesh",
    ),
    "identity": ("identity_error_synth", "identity_similarity", "identity_mobileface", "still_colour_error"),
    "pictures": ("fvd_r", "fd_latent_synth", "fd_latent"),
}
"""Per kind the first that was measured decides. The last kind's are distances over all clips."""

QUALITY_ERROR = "quality_error"
"""Mouth and identity in one number, the logarithm of their `quality_error`, by which samplers are searched."""
SMALLEST_ERROR = 1e-6
"""Below that an error counts as this: nothing is divided by zero, and nothing perfect wins whatever else it does."""

Badness = Mapping[str, Mapping[str, float]]
"""By measure and clip a number that grows as the value gets worse; of a distance over all clips its pseudo-values."""


def quality_measures(measured: Collection[str]) -> list[str]:
    """One measure of each kind, where any was measured."""
    firsts = (next((name for name in names if name in measured), None) for names in QUALITY_KINDS.values())
    return [name for name in firsts if name is not None]


def badness(measure: str, value: float) -> float:
    """A number that grows as the value gets worse; a distance over all clips is its own."""
    return CATALOGUE[measure].badness(value) if measure in CATALOGUE else value


def measured_qualities(results: BenchResults) -> list[str]:
    """The quality measures of a benchmark: those that its reference has values of."""
    names = [name for names in QUALITY_KINDS.values() for name in names]
    found = [name for name in names if _has(results, results.reference, name)]
    return quality_measures(found)


def badness_of(results: BenchResults, name: str) -> Badness:
    """Of one system, in the benchmark's quality measures."""
    clips = [row["clip"] for row in results.rows_of(name)]
    found: dict[str, dict[str, float]] = {}
    for measure in measured_qualities(results):
        if measure in CATALOGUE:
            values = results.values(name, measure)
            found[measure] = {clip: badness(measure, value) for clip, value in values.items() if value is not None}
        else:
            rows = (row for row in results.set_metrics if (row["system"], row["metric"]) == (name, measure))
            row = next(rows, {})
            found[measure] = over_clips(clips, row.get("value"), row.get("without"))
    return found


def over_clips(clips: Sequence[str], value: float | None, without: Sequence[float] | None) -> dict[str, float]:
    """A distance over all clips as a number per clip (its pseudo-values); none where it was not taken apart."""
    if value is None or without is None or len(without) != len(clips):
        return {}
    return dict(zip(clips, pseudo_values(value, without), strict=True))


def quality_errors(results: BenchResults, name: str) -> dict[str, float]:
    """The logarithm of a system's quality error as a number per clip (its pseudo-values).

    Of the measures that every clip has a value of its own in; empty where these are not a mouth's and an identity's.
    A mouth that does not move follows no sound: its correlation counts as 0.
    """
    named = [each for each in measured_qualities(results) if each in CATALOGUE]
    if len(named) < 2:
        return {}
    filled: dict[str, dict[str, float]] = {}
    for each in named:
        absent = 0.0 if badness(each, 1.0) < 0 else None
        values = {clip: absent if value is None else value for clip, value in results.values(name, each).items()}
        filled[each] = {clip: value for clip, value in values.items() if value is not None}
    clips = [row["clip"] for row in results.rows_of(name)]
    clips = [clip for clip in clips if all(clip in values for values in filled.values())]

    def error(chosen: Sequence[str]) -> float:
        return math.log(
            quality_error({each: fmean(values[clip] for clip in chosen) for each, values in filled.items()})
        )

    return dict(zip(clips, jackknifed(error, clips), strict=True)) if len(clips) > 1 else {}


def losses(worse: Badness, better: Badness) -> dict[str, Interval]:
    """By how much the first is worse than the second in each measure, paired over clips; positive where it is.

    Intervals are widened for as many measures as there are (Bonferroni), so that together they err in 5 %.
    """
    confidence = 1 - SIGNIFICANCE / max(1, len(better))
    found = {
        measure: t_interval(paired_differences(worse.get(measure, {}), values), confidence)
        for measure, values in better.items()
    }
    return {measure: interval for measure, interval in found.items() if interval is not None}


def quality_error(means: Mapping[str, float]) -> float:
    """One number for several measures: the geometric mean of their errors, whatever their units; less is better.

    A tenth less of one error weighs as a tenth less of any other. A correlation's or similarity's error is what it
    lacks to 1.

    Args:
        means: by measure, in its own unit.
    """
    if not means:
        return math.inf
    errors = [1 - value if badness(name, 1.0) < 0 else value for name, value in means.items()]
    return math.exp(sum(math.log(max(error, SMALLEST_ERROR)) for error in errors) / len(errors))


def _has(results: BenchResults, name: str, measure: str) -> bool:
    if measure in CATALOGUE:
        return mean_of(results, name, measure) is not None
    return set_value(results, name, measure) is not None
