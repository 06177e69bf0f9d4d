"""Goals and quality gates: a figure, its limit, and whether it was reached.

What could not be measured is neither reached nor missed: it says why. Speed is only worth something with quality, so
every system faster than the reference carries its quality gate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from fada.eval.bench.controls import BLURRED, FROZEN, SHUFFLED, TRUTH
from fada.eval.bench.headroom import undistilled
from fada.eval.bench.results import BenchResults
from fada.eval.bench.summary import counted_nfe, mean_of, metric_names
from fada.eval.bench.timing import timing_summary
from fada.eval.metrics.catalogue import CATALOGUE

DISTANCE_RATIO = 0.5
"""A student's distance to the reference's output, at most this share of the nearest undistilled alternative's."""
CORRELATION_SHARE = 0.95
IDENTITY_RATIO = 1.05
SPEED_SHARE = 0.92
"""Share of the ideal denoising speed-up (ratio of evaluations) that must remain: 11.5 of 75 / 6 = 12.5."""

WORSE = (
    ("iqa", BLURRED),
    ("niqe", BLURRED),
    ("niqe_skvideo", BLURRED),
    ("lpips_truth", BLURRED),
    ("sync_c", SHUFFLED),
    ("sync_d", SHUFFLED),
    ("lip_sound_confidence", SHUFFLED),
    ("lip_sound_correlation", SHUFFLED),
    ("lip_sound_confidence_facemesh", SHUFFLED),
    ("lip_sound_correlation_facemesh", SHUFFLED),
)
"""Metrics of real footage, and the control that each must call worse than the true video."""

Comparison = Literal["<=", ">=", "=="]


@dataclass(frozen=True)
class Verdict:
    """One comparison of a figure with its goal.

    Args:
        goal: what is asked, in words.
        system: who is judged.
        figure: the measured number, None where it could not be measured.
        comparison: how figure and limit must relate.
        limit: the goal's number.
        detail: the numbers behind the figure, or why there is none.
    """

    goal: str
    system: str
    figure: float | None
    comparison: Comparison
    limit: float
    detail: str

    @property
    def is_reached(self) -> bool | None:
        """Whether the goal is reached; None where the figure is missing."""
        if self.figure is None:
            return None
        return {
            "<=": self.figure <= self.limit,
            ">=": self.figure >= self.limit,
            "==": self.figure == self.limit,
        }[self.comparison]

    @property
    def word(self) -> str:
        """``yes``, ``NO`` or ``not measured``."""
        return {True: "yes", False: "NO", None: "not measured"}[self.is_reached]


def verdicts(results: BenchResults) -> list[Verdict]:
    """Every goal of every candidate, in order: evaluations, distances, quality, speed."""
    judged: list[Verdict] = []
    for system in results.systems:
        if system["is_candidate"]:
            name = system["name"]
            judged += [*_evaluations(results, name), *_distances(results, name)]
            judged += [*quality_gate(results, name), *_speed(results, name)]
    return judged


def quality_gate(results: BenchResults, name: str) -> list[Verdict]:
    """Mouth and identity of one system against the reference; empty for the reference itself."""
    if name == results.reference:
        return []
    measured = metric_names(results)
    mouth = "mouth_correlation_synth" if "mouth_correlation_synth" in measured else "lip_correlation"
    identity = "identity_error_synth" if "identity_error_synth" in measured else "still_colour_error"
    return [
        _ratio(
            results,
            f"mouth-audio correlation, share of {results.reference}'s",
            name,
            results.reference,
            mouth,
            ">=",
            CORRELATION_SHARE,
        ),
        _ratio(
            results,
            f"identity error, ratio to {results.reference}'s",
            name,
            results.reference,
            identity,
            "<=",
            IDENTITY_RATIO,
        ),
    ]


def gate_word(results: BenchResults, name: str) -> str:
    """``reference``, ``pass``, ``FAIL: ...`` or ``not measured: ...`` for a table cell."""
    gate = quality_gate(results, name)
    if not gate:
        return "reference"
    failed = [verdict.goal.split(",")[0] for verdict in gate if verdict.is_reached is False]
    unknown = [verdict.goal.split(",")[0] for verdict in gate if verdict.is_reached is None]
    if failed:
        return f"FAIL: {', '.join(failed)}"
    return f"not measured: {', '.join(unknown)}" if unknown else "pass"


def instrument_checks(results: BenchResults) -> list[Verdict]:
    """What the controls must show before any other figure means something; empty where they were not measured."""
    truth, shuffled = (mean_of(results, name, "mouth_correlation_synth") for name in (TRUTH, SHUFFLED))
    still = mean_of(results, FROZEN, "aperture_velocity_ratio_synth")
    lag = mean_of(results, TRUTH, "mouth_lag_synth")
    checks = []
    if truth is not None:
        checks.append(
            Verdict("the true video's mouth-audio r", TRUTH, truth.mean, ">=", 0.8, "measured on true frames")
        )
    if shuffled is not None:
        checks.append(Verdict("r under another clip's sound", SHUFFLED, shuffled.mean, "<=", 0.4, "what chance scores"))
    if still is not None:
        checks.append(
            Verdict("a frozen mouth's motion ratio", FROZEN, still.mean, "<=", 0.2, "the picture stands still")
        )
    if lag is not None:
        checks.append(
            Verdict("the true video's |lag| in frames", TRUTH, abs(lag.mean), "<=", 0.5, f"mean {lag.mean:.2f}")
        )
    return checks + _orders(results)


def _orders(results: BenchResults) -> list[Verdict]:
    """On real footage: the true video must score better than itself blurred, or under another clip's sound."""
    checks = []
    for metric, control in WORSE:
        own, other = results.values(TRUTH, metric), results.values(control, metric)
        pairs = [(own[clip], other[clip]) for clip in own if own[clip] is not None and other.get(clip) is not None]
        if not pairs:
            continue
        truth, worse = np.mean(np.array(pairs, dtype=np.float64), axis=0)
        entry = CATALOGUE[metric]
        margin = entry.badness(float(worse)) - entry.badness(float(truth))
        better = sum(entry.badness(bad) > entry.badness(good) for good, bad in pairs)  # type: ignore[arg-type]
        goal = f"{entry.label}: the true video's margin over {control}"
        detail = f"{truth:.4g} against {worse:.4g}; better in {better} of {len(pairs)} clips"
        checks.append(Verdict(goal, TRUTH, margin, ">=", 0.0, detail))
    return checks


def _evaluations(results: BenchResults, name: str) -> list[Verdict]:
    expected = results.system(name)["nfe_expected"]
    if expected is None:
        return []
    counted = counted_nfe(results, name)
    detail = f"counted by the hook: {', '.join(map(str, counted))}"
    wrong = [count for count in counted if count != expected]
    return [Verdict("denoiser evaluations per clip", name, float((wrong or counted)[0]), "==", float(expected), detail)]


def _distances(results: BenchResults, name: str) -> list[Verdict]:
    rivals = [
        (mean.mean, other)
        for other in undistilled(results, name)
        if (mean := mean_of(results, other, "latent_mse_reference")) is not None
    ]
    judged = []
    if rivals:
        _, rival = min(rivals)
        goal = f"latent distance to {results.reference}, share of the nearest undistilled alternative's ({rival})"
        judged.append(_ratio(results, goal, name, rival, "latent_mse_reference", "<=", DISTANCE_RATIO))
    goal = f"latent distance to truth, ratio to {results.reference}'s"
    judged.append(_ratio(results, goal, name, results.reference, "latent_mse_truth", "<=", 1.0))
    return judged


def _speed(results: BenchResults, name: str) -> list[Verdict]:
    summary = timing_summary(results, name)
    ideal = max(counted_nfe(results, results.reference)) / max(counted_nfe(results, name))
    limit = SPEED_SHARE * ideal
    goal = f"denoising, times faster than {results.reference} (ideal {ideal:.3g})"
    if summary is None:
        return [Verdict(goal, name, None, ">=", limit, "timing was left out (repeats = 0)")]
    low, high = summary["denoise_speedup_range"]
    detail = f"medians of {summary['runs']} rounds; {low:.1f} to {high:.1f} within a round"
    return [Verdict(goal, name, summary["denoise_speedup"], ">=", limit, detail)]


def _ratio(
    results: BenchResults, goal: str, name: str, baseline: str, metric: str, comparison: Comparison, limit: float
) -> Verdict:
    """The system's mean over the baseline's, both over the clips in which both were measured."""
    own, other = results.values(name, metric), results.values(baseline, metric)
    pairs = [(own[clip], other[clip]) for clip in own if own[clip] is not None and other.get(clip) is not None]
    if not pairs:
        return Verdict(goal, name, None, comparison, limit, f"no clip has {metric} of both {name} and {baseline}")
    mean, baseline_mean = np.mean(np.array(pairs, dtype=np.float64), axis=0)
    detail = f"{mean:.4g} against {baseline_mean:.4g} ({baseline}), {len(pairs)} of {len(own)} clips"
    if baseline_mean <= 0:
        return Verdict(goal, name, None, comparison, limit, f"{detail}: no ratio to a figure that is not positive")
    return Verdict(goal, name, float(mean / baseline_mean), comparison, limit, detail)
