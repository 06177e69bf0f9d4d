"""From rows per clip to one line per system: means with intervals, paired differences, reasons of nulls."""

from __future__ import annotations

from collections import Counter

from fada.eval.bench.results import BenchResults
from fada.eval.metrics.catalogue import CATALOGUE
from fada.eval.statistics.intervals import Interval, paired_differences, t_interval

WORST_BY = ("mouth_correlation_synth", "lip_correlation", "latent_mse_truth", "latent_mse_reference", "psnr_truth")
"""What orders clips from worst to best: the first of these that was measured."""


def metric_names(results: BenchResults) -> list[str]:
    """The metrics that any row names, in the catalogue's order."""
    found = {name for row in results.rows for name in row["metrics"]}
    return [name for name in CATALOGUE if name in found]


def system_names(results: BenchResults) -> list[str]:
    """The systems' names in the report's order, without controls."""
    return [system["name"] for system in results.systems]


def control_names(results: BenchResults) -> list[str]:
    """The controls that have rows, in their order of appearance."""
    return list(dict.fromkeys(row["system"] for row in results.rows if row["kind"] == "control"))


def mean_of(results: BenchResults, name: str, metric: str) -> Interval | None:
    """Mean over clips with its 95 % t-interval; None if no clip has a value."""
    return t_interval([value for value in results.values(name, metric).values() if value is not None])


def set_value(results: BenchResults, name: str, metric: str) -> float | None:
    """A metric over all clips (Fréchet, kernel) of one system or control; None where it is null or not there."""
    rows = (row for row in results.set_metrics if (row["system"], row["metric"]) == (name, metric))
    return next((row["value"] for row in rows), None)


def differences_from_reference(results: BenchResults, name: str, metric: str) -> list[float]:
    """System minus reference for every clip that has both, same seeds."""
    return paired_differences(results.values(name, metric), results.values(results.reference, metric))


def why_null(results: BenchResults, name: str, metric: str) -> str | None:
    """The most frequent reason why ``metric`` is null in some clips of ``name``, with how many; None if it never is."""
    rows = results.rows_of(name)
    reasons = Counter(row["reasons"][metric] for row in rows if metric in row["reasons"])
    if not reasons:
        return None
    reason, _ = reasons.most_common(1)[0]
    return f"{reason} ({reasons.total()} of {len(rows)} clips)"


def counted_nfe(results: BenchResults, name: str) -> list[int]:
    """The different NFE counts of a system's clips, ascending; one number unless something is wrong."""
    return sorted({row["nfe"] for row in results.rows_of(name)})


def nfe_per_second(results: BenchResults, name: str) -> float:
    """Denoiser evaluations per second of video, over all clips."""
    rows = results.rows_of(name)
    return sum(row["nfe"] * row["clips"] for row in rows) / sum(row["media_seconds"] for row in rows)


def judged_system(results: BenchResults) -> str:
    """The system whose worst clips are shown first: the candidate of fewest evaluations, else the reference."""
    candidates = [system["name"] for system in results.systems if system["is_candidate"]]
    return min(candidates, key=lambda name: counted_nfe(results, name)) if candidates else results.reference


def clips_worst_first(results: BenchResults) -> list[str]:
    """Clip keys, ordered by the judged system's first available metric of ``WORST_BY``."""
    name = judged_system(results)
    clips = [row["clip"] for row in results.rows_of(name)]
    for metric in WORST_BY:
        values = {clip: value for clip, value in results.values(name, metric).items() if value is not None}
        if values:
            worst = max(CATALOGUE[metric].badness(value) for value in values.values()) + 1
            # A clip without a value may be the worst of all: it comes first.
            return sorted(
                clips, key=lambda clip: -(CATALOGUE[metric].badness(values[clip]) if clip in values else worst)
            )
    return clips
