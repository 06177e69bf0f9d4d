"""Which of the paper's orders hold among measured rows: paired differences, intervals over seeds and over clips."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fada.build.ablation_rows import Claim
from fada.eval.metrics.catalogue import CATALOGUE
from fada.eval.statistics import Interval, t_interval

Word = Literal["holds", "does not hold", "undecided"]
FAITHFULNESS = "latent_mse_reference"
"""Nearness to the teacher: no quality in the paper's sense, so that it is shown but decides nothing."""
QUALITIES = ("latent_mse_truth", "mouth_correlation_synth", "identity_error_synth", "fd_latent_synth")

Measured = Mapping[str, Any]
"""Seed → what `run_ablations` keeps of one row and seed."""


@dataclass(frozen=True)
class Verdict:
    """One order in one measure.

    over_seeds: mean advantage of the row that should be better, in the measure's unit, positive where it is, with its
    interval over seeds (each the mean over the same clips); over_clips: over clips (each the mean over the same
    seeds), None for a measure of all clips together.
    """

    over_seeds: Interval
    over_clips: Interval | None

    @property
    def word(self) -> Word:
        """What both intervals say: an order holds for other seeds and for other clips, or it is not decided."""
        intervals = [self.over_seeds] + ([] if self.over_clips is None else [self.over_clips])
        if all(each.low is not None and each.low > 0 for each in intervals):
            return "holds"
        if all(each.high is not None and each.high < 0 for each in intervals):
            return "does not hold"
        return "undecided"


def verdict(better: Measured, worse: Measured, measure: str) -> Verdict | None:
    """The verdict on one measure; None where no seed has it in both rows."""
    advantages = {seed: _advantages(better[seed], worse[seed], measure) for seed in better.keys() & worse.keys()}
    by_seed = [float(np.mean(list(found.values()))) for _, found in sorted(advantages.items()) if found]
    over_seeds = t_interval(by_seed)
    if over_seeds is None:
        return None
    if measure == "fd_latent_synth":
        return Verdict(over_seeds, None)
    clips = sorted(set.intersection(*(set(found) for found in advantages.values())))
    return Verdict(
        over_seeds, t_interval([float(np.mean([found[clip] for found in advantages.values()])) for clip in clips])
    )


def _advantages(better: Measured, worse: Measured, measure: str) -> dict[str, float]:
    """By clip how much better the one is, where both have a value."""
    if measure == "fd_latent_synth":
        pairs = {"all": (better[measure], worse[measure])}
    else:
        pairs = {
            clip: (values[measure], worse["clips"][clip][measure])
            for clip, values in better["clips"].items()
            if clip in worse["clips"]
        }
    return {
        clip: badness(measure, second) - badness(measure, first)
        for clip, (first, second) in pairs.items()
        if first is not None and second is not None
    }


def badness(measure: str, value: float) -> float:
    """A number that grows as the value gets worse; a Fréchet distance is its own."""
    return value if measure == "fd_latent_synth" else CATALOGUE[measure].badness(value)


def in_all(words: list[Word]) -> str:
    """One word for several measures: contrary ones together are `mixed`."""
    found = set(words) - {"undecided"}
    return "mixed" if len(found) > 1 else next(iter(found), "undecided")


def verdicts_of(claim: Claim, rows: Mapping[str, Measured]) -> dict[str, Verdict] | None:
    """Verdicts by measure, faithfulness first; None where a row was not run."""
    if claim.better not in rows or claim.worse not in rows:
        return None
    found = {measure: verdict(rows[claim.better], rows[claim.worse], measure) for measure in (FAITHFULNESS, *QUALITIES)}
    return {measure: each for measure, each in found.items() if each is not None}
