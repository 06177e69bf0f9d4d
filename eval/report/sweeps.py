"""How quality moves with one setting (audio scale, reference scale, windows), as in the paper's figures 3 and 4."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fada.eval.bench.results import BenchResults
from fada.eval.metrics.catalogue import CATALOGUE
from fada.eval.report.canvas import COLOURS, MARKERS, new_figure, save_figure
from fada.eval.report.cells import distance_label, interval_cell, measure_head
from fada.eval.report.table import Cell, Table
from fada.eval.statistics.intervals import t_interval


@dataclass(frozen=True)
class Sweep:
    """One setting tried at several values.

    Args:
        name: file name, for example ``audio-scale``.
        label: of the horizontal axis.
        lines: by line label (a system), by metric name, by the setting's value: one number per video.
        caption: what was held fixed, for example ``reference scale 2.0``.
    """

    name: str
    label: str
    lines: Mapping[str, Mapping[str, Mapping[float, Sequence[float]]]]
    caption: str = ""
    metrics: Sequence[str] = (
        "fvd_r", "sync_d", "efid_blendshape", "lip_sound_correlation", "mouth_correlation_synth",
        "aperture_velocity_ratio_synth", "emotion_strength_synth", "identity_error_synth", "latent_mse_truth",
    )  # fmt: skip
    """The first two are the paper's, the next two stand in for them on real footage without weights, and `*_synth` in
    the drawn world; those that were not measured are left out."""


@dataclass(frozen=True)
class Following:
    """How a line goes with another one over a setting's values.

    correlation: Pearson's r of the two curves of means over videos, None where one of them does not move.
    slope: change of the line for a change of 1 of the other, by least squares: 1 is as much, 0 nothing at all.
    span: from the lowest to the highest mean of the other; where that is little, the two above say little.
    values: how many.
    """

    correlation: float | None
    slope: float
    span: float
    values: int


LEAST_VALUES = 3
"""Of a setting: two points always lie on a line."""


def followings(sweep: Sweep) -> dict[str, dict[str, Following]]:
    """By line and metric, how every line but the first (the teacher) follows the first one.

    Over the values that both were measured at; metrics with fewer than three of them, or of which the first line does
    not move, are left out.
    """
    found: dict[str, dict[str, Following]] = {}
    for label, line in list(sweep.lines.items())[1:]:
        for metric in measured_metrics(sweep):
            leading, own = next(iter(sweep.lines.values())).get(metric, {}), line.get(metric, {})
            shared = [value for value in sorted(leading) if len(leading[value]) and len(own.get(value, ()))]
            leads, follows = (np.array([np.mean(curve[value]) for value in shared]) for curve in (leading, own))
            if len(shared) >= LEAST_VALUES and (span := float(np.ptp(leads))) > 0:
                covariance = np.cov(leads, follows)
                spread = float(np.sqrt(covariance[0, 0] * covariance[1, 1]))
                correlation = float(covariance[0, 1]) / spread if spread > 0 else None
                slope = float(covariance[0, 1] / covariance[0, 0])
                found.setdefault(label, {})[metric] = Following(correlation, slope, span, len(shared))
    return found


def sweep_from_results(results: BenchResults, note: str, label: str, caption: str = "", line: str = "line") -> Sweep:
    """A sweep out of a benchmark whose systems carry the setting in ``notes[note]``.

    Systems with the same ``notes[line]`` form one line; without it they all form one.

    Raises:
        ValueError: no system carries the note.
    """
    lines: dict[str, dict[str, dict[float, list[float]]]] = {}
    for system in results.systems:
        if note not in system["notes"]:
            continue
        by_metric = lines.setdefault(str(system["notes"].get(line, "all")), {})
        for row in results.rows_of(system["name"]):
            for metric, value in row["metrics"].items():
                if value is not None:
                    by_metric.setdefault(metric, {}).setdefault(float(system["notes"][note]), []).append(value)
    if not lines:
        known = sorted({key for system in results.systems for key in system["notes"]})
        raise ValueError(f"no system has a note {note!r}; notes found: {', '.join(known) or 'none'}")
    found = {metric for by_metric in lines.values() for metric in by_metric}
    wanted = [metric for metric in CATALOGUE if metric in found and metric in Sweep.metrics]
    return Sweep(note.replace("_", "-"), label, lines, caption, wanted or sorted(found)[:4])


def measured_metrics(sweep: Sweep) -> list[str]:
    """Those of the sweep's metrics that some line has values of."""
    return [metric for metric in sweep.metrics if any(line.get(metric) for line in sweep.lines.values())]


def sweep_table(sweep: Sweep) -> Table:
    """One row per line and value of the setting: mean ± half the 95 % t-interval over videos, and how many."""
    metrics = measured_metrics(sweep)
    rows = []
    for label, by_metric in sweep.lines.items():
        for value in sorted({value for metric in metrics for value in by_metric.get(metric, {})}):
            numbers = {metric: by_metric.get(metric, {}).get(value, ()) for metric in metrics}
            videos = max(map(len, numbers.values()))
            cells = [_cell(numbers[metric], metric) for metric in metrics]
            rows.append([Cell(label), Cell(f"{value:g}", value), *cells, Cell(str(videos), videos)])
    heads = [measure_head(metric) for metric in metrics]
    notes = [f"{sweep.caption[0].upper()}{sweep.caption[1:]}."] if sweep.caption else []
    notes += [_following_note(sweep, label, found) for label, found in followings(sweep).items()]
    return Table(f"Sweep of {sweep.label}", ("system", sweep.label, *heads, "N"), rows, tuple(notes))


def _following_note(sweep: Sweep, label: str, found: Mapping[str, Following]) -> str:
    """How a line follows the first one, in words."""
    words = []
    for metric, each in found.items():
        name = CATALOGUE[metric].label if metric in CATALOGUE else distance_label(metric)
        correlation = "–" if each.correlation is None else f"{each.correlation:.2f}"
        words.append(f"{name} {correlation} and {each.slope:.2f} ({each.span:.2g})")
    first = next(iter(sweep.lines))
    return (
        f"How {label} follows {first} over the {sweep.label}, Pearson's r of both curves of means and its change for a "
        f"change of 1 (how far {first}'s means are apart): {', '.join(words)}."
    )


def _cell(values: Sequence[float], metric: str) -> Cell:
    interval = t_interval(values)
    if interval is None or metric in CATALOGUE:
        return interval_cell(interval, metric)
    return Cell(f"{interval.mean:.4g}", interval.mean)


def plot_sweep(sweep: Sweep, path: Path) -> Path:
    """One panel per metric, one line per system, bars for the 95 % t-interval over videos; PNG and SVG.

    Raises:
        ValueError: the sweep holds none of its metrics.
    """
    metrics = measured_metrics(sweep)
    if not metrics:
        raise ValueError(f"sweep {sweep.name}: none of {', '.join(sweep.metrics)} was measured; name other metrics")
    figure, axes = new_figure(len(metrics))
    for axis, metric in zip(axes, metrics, strict=True):
        for place, (label, by_metric) in enumerate(sweep.lines.items()):
            values = by_metric.get(metric, {})
            intervals = [(value, t_interval(values[value])) for value in sorted(values)]
            known = [(value, interval) for value, interval in intervals if interval is not None]
            heights = [interval.mean for _, interval in known]
            halves = [interval.half_width or 0.0 for _, interval in known]
            style: dict[str, Any] = {
                "color": COLOURS[place % len(COLOURS)],
                "marker": MARKERS[place % len(MARKERS)],
                "capsize": 3,
            }
            axis.errorbar([value for value, _ in known], heights, yerr=halves, label=label, **style)
        entry = CATALOGUE.get(metric)
        title = f"{distance_label(metric)}, lower" if entry is None else f"{entry.label}, {entry.better}"
        axis.set_title(f"{title} is better", fontsize=9)
        axis.set_xlabel(f"{sweep.label}{f' ({sweep.caption})' if sweep.caption else ''}", fontsize=8)
    if len(sweep.lines) > 1:
        axes[0].legend(fontsize=8, frameon=False)
    return save_figure(figure, path)
