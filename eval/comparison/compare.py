"""Two finished benchmarks side by side: what differs, and whether it is more than noise.

Quality is compared clip by clip with the same noise seed (Student's t over paired differences, Holm's correction over
all of them); latency by the ratio of medians over timing rounds. Knows results, not how they are printed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from fada.eval.bench.results import BenchResults
from fada.eval.comparison.comparable import (
    SAME_MACHINE,
    check_protocols,
    common_clips,
    common_metrics,
    differing_settings,
    paired_systems,
    same_systems,
)
from fada.eval.metrics.catalogue import CATALOGUE
from fada.eval.statistics.intervals import (
    SIGNIFICANCE,
    Interval,
    holm,
    mean_p_value,
    paired_differences,
    ratio_of_medians,
    t_interval,
)

LEAST_ROUNDS = 5
"""Timing rounds on each side without which latencies are shown and not judged."""
TRIVIAL = 1e-3
"""Where every clip agrees to this share of the figure, the runs are equal: other threads round as differently."""

Word = Literal["better", "worse", "no difference shown", "equal", "not judged"]


@dataclass(frozen=True)
class Compared:
    """One figure of one system in both runs.

    Args:
        system: its name, ``A -> B`` where the names differ.
        metric: name of the metric, or of the latency's stage.
        before: the first run's figure, over what both have in common.
        after: the second run's.
        change: of quality the mean paired difference, of latency the ratio (``mean``), with its interval; of metrics
            that are best at 0 or 1, the difference of the distances from there.
        p_value: after correction; None where nothing was tested.
        word: the verdict.
        why: what keeps from judging, empty where there is a verdict.
    """

    system: str
    metric: str
    before: float
    after: float
    change: Interval | None
    p_value: float | None
    word: Word
    why: str = ""


@dataclass(frozen=True)
class Comparison:
    """All figures that two runs have in common.

    Args:
        clips: keys of the clips that both measured.
        quality: one per system and metric.
        distributions: one per system and metric over all clips.
        latency: one per system and stage.
        notes: what a reader must know: what differs and may, what was left out.
        protocols: the two protocols' fingerprints.
    """

    clips: tuple[str, ...]
    quality: tuple[Compared, ...]
    distributions: tuple[Compared, ...]
    latency: tuple[Compared, ...]
    notes: tuple[str, ...]
    protocols: tuple[str, str]


def compare(
    before: BenchResults,
    after: BenchResults,
    *,
    systems: Mapping[str, str] | None = None,
    metrics: Sequence[str] = (),
) -> Comparison:
    """Everything that both runs measured of the same systems, with verdicts.

    Args:
        before: the run that is compared with.
        after: the run that is judged.
        systems: names in ``before`` to names in ``after``; None pairs equal names. Fewer pairs are judged more sharply.
        metrics: names of the quality metrics; none means all that both have.

    Raises:
        CompareError: the runs were not measured alike, or have no clip, system or metric in common.
    """
    check_protocols(before.protocol, after.protocol)
    clips = common_clips(before.protocol, after.protocol)
    pairs = paired_systems(before, after, systems)
    chosen, notes = common_metrics(before, after, metrics)
    notes += [*differing_settings(before, after), *same_systems(before, after, pairs)]
    return Comparison(
        tuple(clips),
        tuple(_quality(before, after, pairs, chosen, clips)),
        tuple(_distributions(before, after, pairs)),
        tuple(_latency(before, after, pairs)),
        tuple(notes),
        (before.protocol["fingerprint"], after.protocol["fingerprint"]),
    )


def _label(name: str, other: str) -> str:
    return name if name == other else f"{name} -> {other}"


def _quality(
    before: BenchResults, after: BenchResults, pairs: Mapping[str, str], metrics: Sequence[str], clips: Sequence[str]
) -> list[Compared]:
    drafts = [
        draft
        for name, other in pairs.items()
        for metric in metrics
        if (draft := _draft(_label(name, other), metric, *_both(before, after, name, other, metric, clips)))
    ]
    corrected = holm([p_value for _, p_value in drafts])
    return [_judge(found, p_value) for (found, _), p_value in zip(drafts, corrected, strict=True)]


Values = dict[str, float | None]


def _both(
    before: BenchResults, after: BenchResults, name: str, other: str, metric: str, clips: Sequence[str]
) -> tuple[Values, Values]:
    own, new = before.values(name, metric), after.values(other, metric)
    measured = [clip for clip in clips if own.get(clip) is not None and new.get(clip) is not None]
    return {clip: own[clip] for clip in measured}, {clip: new[clip] for clip in measured}


def _draft(system: str, metric: str, own: Values, new: Values) -> tuple[Compared, float | None] | None:
    """The figures without a verdict, and the uncorrected p-value; None where no clip has both."""
    before, after = ([value for value in side.values() if value is not None] for side in (own, new))
    if not before:
        return None
    scale = _scale(metric)
    differences = paired_differences(_scaled(new, scale), _scaled(own, scale))
    change, p_value = t_interval(differences), mean_p_value(differences)
    word: Word = "not judged"
    if max(map(abs, differences)) <= TRIVIAL * max(np.abs(before).mean(), np.abs(after).mean()):
        word, p_value = "equal", None
    return Compared(system, metric, float(np.mean(before)), float(np.mean(after)), change, None, word), p_value


def _scale(metric: str) -> Callable[[float], float]:
    """How values are made comparable: as they are, or their distance from the best."""
    entry = CATALOGUE[metric]
    return entry.badness if entry.better in ("one", "zero") else float


def _scaled(values: Values, scale: Callable[[float], float]) -> Values:
    return {clip: None if value is None else scale(value) for clip, value in values.items()}


def _judge(found: Compared, p_value: float | None) -> Compared:
    """The same with its verdict."""
    assert found.change is not None
    if found.word == "equal":
        return found
    if p_value is None:
        return replace(found, why="one clip shows no spread; compare at least two")
    word: Word = "no difference shown"
    if p_value < SIGNIFICANCE:
        more_is_better = CATALOGUE[found.metric].better == "higher"
        word = "better" if (found.change.mean > 0) == more_is_better else "worse"
    return replace(found, p_value=p_value, word=word)


def _distributions(before: BenchResults, after: BenchResults, pairs: Mapping[str, str]) -> list[Compared]:
    """Values over all clips; judged where both have an interval."""
    found = []
    rows = {(row["system"], row["metric"]): row for row in after.set_metrics}
    for row in before.set_metrics:
        other = rows.get((pairs.get(row["system"], ""), row["metric"]))
        if other is not None and row["value"] is not None and other["value"] is not None:
            word, why = _apart(row, other)
            label = _label(row["system"], pairs[row["system"]])
            found.append(Compared(label, row["metric"], row["value"], other["value"], None, None, word, why))
    return found


def _apart(own: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[Word, str]:
    """The verdict on two distances: clear where their intervals leave a gap, which is stricter than 5 %."""
    if own.get("videos") != new.get("videos"):
        return "not judged", "over different numbers of clips: bias differs"
    if own["value"] == new["value"]:
        return "equal", ""
    if not own.get("interval") or not new.get("interval"):
        return "not judged", "one value per run without an interval"
    if new["interval"][1] < own["interval"][0]:
        return "better", ""
    return ("worse", "") if new["interval"][0] > own["interval"][1] else ("no difference shown", "")


def _latency(before: BenchResults, after: BenchResults, pairs: Mapping[str, str]) -> list[Compared]:
    """Seconds per second of video, denoising and whole; the ratio's interval is widened for as many comparisons."""
    elsewhere = [key for key in SAME_MACHINE if before.environment.get(key) != after.environment.get(key)]
    reads: dict[str, Callable[[dict[str, Any]], float]] = {
        "denoising": lambda row: row["stage_seconds"]["denoise"],
        "whole": lambda row: row["seconds"],
    }
    sides = [
        (_label(name, other), stage, _seconds(before, name, read), _seconds(after, other, read))
        for name, other in pairs.items()
        for stage, read in reads.items()
    ]
    timed = [side for side in sides if side[2] and side[3]]
    confidence = 1 - SIGNIFICANCE / max(1, len(timed))
    return [_timed(system, stage, own, new, confidence, elsewhere) for system, stage, own, new in timed]


def _seconds(results: BenchResults, name: str, read: Callable[[dict[str, Any]], float]) -> list[float]:
    return [read(row) / row["media_seconds"] for row in results.timing if row["system"] == name]


def _timed(
    system: str, stage: str, own: list[float], new: list[float], confidence: float, elsewhere: Sequence[str]
) -> Compared:
    ratio = ratio_of_medians(new, own, confidence)
    assert ratio is not None
    why = ""
    if elsewhere:
        why = f"other machine: {', '.join(elsewhere)}"
    elif ratio.count < LEAST_ROUNDS:
        why = f"{ratio.count} rounds; at least {LEAST_ROUNDS} on each side are needed"
    word: Word = "no difference shown"
    if why or ratio.low is None or ratio.high is None:
        word = "not judged"
    elif ratio.high < 1:
        word = "better"
    elif ratio.low > 1:
        word = "worse"
    return Compared(system, stage, float(np.median(own)), float(np.median(new)), ratio, None, word, why)
