"""How well scores and thresholds find flaws that are known: precision, recall and ROC per axis, on the drawn world."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fada.data.scores.catalogue import AXES, SCORES, Axis
from fada.data.scores.measure import Scores
from fada.data.scores.thresholds import Thresholds

if TYPE_CHECKING:
    from rich.table import Table

AXIS_OF_FLAW: dict[str, Axis] = {
    "short": "source",
    "upscaled": "source",
    "blur": "image",
    "noise": "image",
    "shifted_audio": "sync",
    "frozen_mouth": "sync",
    "changing_background": "background",
    "camera_jitter": "movement",
    "restless_head": "movement",
    "passing_hand": "movement",
}
ALSO: dict[str, tuple[Axis, ...]] = {
    "short": ("sync",),
    "upscaled": ("image",),
    "camera_jitter": ("background", "image"),
    "restless_head": ("background",),
    "passing_hand": ("background", "image"),
}
"""Axes that a flaw may rightly touch besides its own (a picture moved by parts of a pixel is softer): there such clips
count neither as good nor as bad."""


@dataclass(frozen=True)
class Finding:
    """How one axis did."""

    axis: Axis
    flawed: int
    clean: int
    found: int
    """Flawed clips that a threshold of this axis refuses."""
    wrongly: int
    """Clean clips that it refuses."""

    @property
    def precision(self) -> float:
        """Share of the refused that are flawed."""
        refused = self.found + self.wrongly
        return self.found / refused if refused else float("nan")

    @property
    def recall(self) -> float:
        """Share of the flawed that are refused."""
        return self.found / self.flawed if self.flawed else float("nan")


def judge(scores: Mapping[str, Scores], flaws: Mapping[str, list[str]], thresholds: Thresholds) -> list[Finding]:
    """Precision and recall of every axis.

    Args:
        scores: by clip.
        flaws: kinds of the flaws of each clip; a clip without any is clean.
    """
    refused = {
        key: {SCORES[name].axis for name in thresholds.failed(values)} for key, values in scores.items() if key in flaws
    }
    findings = []
    for axis in AXES:
        flawed, clean = _sides(flaws, axis, refused)
        found, wrongly = (sum(axis in refused[key] for key in side) for side in (flawed, clean))
        findings.append(Finding(axis, len(flawed), len(clean), found, wrongly))
    return findings


@dataclass(frozen=True)
class Curve:
    """How well one score alone tells one flaw from clean clips, over all thresholds."""

    score: str
    flaw: str
    area: float
    """Under the ROC curve: 0.5 is chance."""
    recall_at_1_percent: float
    """Share of the flawed that is found when 1 % of the clean clips is refused."""


def curves(scores: Mapping[str, Scores], flaws: Mapping[str, list[str]], least_area: float = 0.75) -> list[Curve]:
    """For every flaw the scores of its axis that tell it, best first."""
    found = []
    for flaw, axis in AXIS_OF_FLAW.items():
        own = []
        for score in SCORES.values():
            if score.axis != axis:
                continue
            flawed = _values(scores, [key for key, kinds in flaws.items() if flaw in kinds], score.name)
            clean = _values(scores, _sides(flaws, axis, scores)[1], score.name)
            if len(flawed) and len(clean):
                own.append(_curve(score.name, flaw, flawed, clean))
        found += sorted((each for each in own if each.area >= least_area), key=lambda each: -each.area)
    return found


def truth_tables(scores: Mapping[str, Scores], flaws: Mapping[str, list[str]], strict: Thresholds) -> list[Table]:
    """For the terminal: precision and recall of each axis, and the curves."""
    from rich.table import Table

    axes = Table(title=f"known flaws: what {strict.name} finds", title_justify="left")
    for column in ("axis", "flawed", "clean", "found", "wrongly", "precision", "recall"):
        axes.add_column(column, justify="left" if column == "axis" else "right")
    for each in judge(scores, flaws, strict):
        counts = (str(each.flawed), str(each.clean), str(each.found), str(each.wrongly))
        axes.add_row(each.axis, *counts, f"{each.precision:.3f}", f"{each.recall:.3f}")
    single = Table(title="single scores against single flaws (ROC)", title_justify="left")
    for column in ("flaw", "score", "area", "found at 1 % wrong"):
        single.add_column(column, justify="left" if column in ("flaw", "score") else "right")
    for curve in curves(scores, flaws):
        single.add_row(curve.flaw, curve.score, f"{curve.area:.3f}", f"{curve.recall_at_1_percent:.2f}")
    return [axes, single]


def _sides(flaws: Mapping[str, list[str]], axis: Axis, known: Mapping[str, object]) -> tuple[list[str], list[str]]:
    """Clips with a flaw of this axis, and clips that have none that could touch it."""
    flawed, clean = [], []
    for key, kinds in flaws.items():
        if key not in known:
            continue
        if any(AXIS_OF_FLAW[kind] == axis for kind in kinds):
            flawed.append(key)
        elif not any(axis in ALSO.get(kind, ()) for kind in kinds):
            clean.append(key)
    return flawed, clean


def _values(scores: Mapping[str, Scores], keys: list[str], name: str) -> np.ndarray:
    found = [scores[key].get(name) for key in keys if key in scores]
    return np.array([value for value in found if value is not None], np.float64)


def _curve(score: str, flaw: str, flawed: np.ndarray, clean: np.ndarray) -> Curve:
    """In the direction that tells more; an offset is bad on both sides."""
    if score == "offset":
        flawed, clean = np.abs(flawed), np.abs(clean)
    above = (flawed[:, None] > clean[None, :]).mean() + 0.5 * (flawed[:, None] == clean[None, :]).mean()
    if above < 0.5:
        flawed, clean, above = -flawed, -clean, 1.0 - above
    return Curve(score, flaw, float(above), float((flawed > np.quantile(clean, 0.99)).mean()))
