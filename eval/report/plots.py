"""Quality against evaluations and against latency, and where a clip's time goes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fada.eval.bench.controls import TRUTH
from fada.eval.bench.results import BenchResults
from fada.eval.bench.summary import counted_nfe, mean_of, set_value, system_names
from fada.eval.bench.timing import timing_summary
from fada.eval.metrics.catalogue import CATALOGUE, Metric
from fada.eval.report.canvas import COLOURS, MARKERS, new_figure, save_figure
from fada.eval.report.cells import distance_label
from fada.eval.statistics.intervals import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PLOTTED = (
    "latent_mse_reference",
    "fvd_r",
    "sync_d",
    "latent_mse_truth",
    "mouth_correlation_synth",
    "lip_correlation",
    "identity_error_synth",
    "identity_similarity",
    "still_colour_error",
)
"""Candidates for panels; the first four that were measured are drawn."""


def plot_quality_by_nfe(results: BenchResults, path: Path) -> Path | None:
    """Quality against counted evaluations, error bars over videos; None if nothing was measured."""
    points = {name: float(max(counted_nfe(results, name))) for name in system_names(results)}
    return _quality_plot(results, path, points, {}, "denoiser evaluations per clip (NFE-D)")


def plot_quality_by_latency(results: BenchResults, path: Path) -> Path | None:
    """Quality against p50 seconds per clip (bar to p90), with the Pareto front; None without timing."""
    summaries = {name: timing_summary(results, name) for name in system_names(results)}
    points = {name: summary["seconds"]["p50"] for name, summary in summaries.items() if summary}
    spread = {name: summary["seconds"]["p90"] - points[name] for name, summary in summaries.items() if summary}
    if not points:
        return None
    return _quality_plot(results, path, points, spread, "seconds per clip, p50 (bar to p90)")


def plot_stages(results: BenchResults, path: Path) -> Path | None:
    """Stacked bars of median seconds per stage; None without timing."""
    summaries = {name: timing_summary(results, name) for name in system_names(results)}
    timed = {name: summary for name, summary in summaries.items() if summary}
    if not timed:
        return None
    stages = list(dict.fromkeys(stage for summary in timed.values() for stage in summary["stages"]))
    figure, (axis,) = new_figure(1, width=8.0, height=0.55 * len(timed) + 1.4)
    names = list(timed)[::-1]
    left = [0.0] * len(names)
    for place, stage in enumerate(stages):
        widths = [timed[name]["stages"].get(stage, {"p50": 0.0})["p50"] for name in names]
        axis.barh(names, widths, left=left, label=stage, color=COLOURS[place % len(COLOURS)], height=0.6)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    for row, total in enumerate(left):
        axis.annotate(
            f"{total:.3g} s", (total, row), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8
        )
    axis.margins(x=0.12)
    axis.set_xlabel("seconds per clip, p50")
    axis.legend(fontsize=8, frameon=False, ncols=len(stages), loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return save_figure(figure, path)


def _quality_plot(
    results: BenchResults, path: Path, points: dict[str, float], spread: dict[str, float], label: str
) -> Path | None:
    metrics = [metric for metric in PLOTTED if any(_figure(results, name, metric) is not None for name in points)][:4]
    if not metrics:
        return None
    figure, axes = new_figure(len(metrics))
    for axis, metric in zip(axes, metrics, strict=True):
        _panel(axis, results, metric, points, spread)
        axis.set_xlabel(label, fontsize=8)
    figure.legend(*axes[-1].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return save_figure(figure, path)


def _panel(axis: Axes, results: BenchResults, metric: str, points: dict[str, float], spread: dict[str, float]) -> None:
    entry = CATALOGUE.get(metric) or Metric(metric, distance_label(metric), "", "lower", "")
    drawn: list[tuple[float, float]] = []
    shown = beside_each_other(points)
    for place, (name, cost) in enumerate(points.items()):
        mean = _figure(results, name, metric)
        # The reference's distance to itself is no measurement, but it is where the front ends.
        is_origin = metric == "latent_mse_reference" and name == results.reference
        height = 0.0 if is_origin else None if mean is None else mean.mean
        half = None if mean is None else mean.half_width
        colour, marker = COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]
        filled = "none" if results.system(name)["is_alternative"] else colour
        style: dict[str, Any] = {
            "color": colour,
            "marker": marker,
            "markerfacecolor": filled,
            "capsize": 3,
            "linestyle": "none",
        }
        if height is None:
            # An empty entry keeps the legend complete in every panel.
            axis.errorbar([], [], label=name, **style)
            continue
        right = [[0.0], [spread[name]]] if name in spread else None
        axis.errorbar([shown[name]], [height], yerr=half, xerr=right, label=name, **style)
        drawn.append((cost, height))
    front = pareto_front(drawn, entry.badness)
    axis.plot(*zip(*front, strict=True), color="#999999", linewidth=1, zorder=1)
    truth = _figure(results, TRUTH, metric)
    if truth is not None and metric != "latent_mse_truth":
        axis.axhline(truth.mean, color="#555555", linewidth=1, linestyle=":", label="the true video")
    axis.set_xscale("log")
    costs = readable_ticks(list(points.values()))
    axis.set_xticks(costs, [f"{cost:.3g}" for cost in costs])
    axis.tick_params(labelsize=8)
    axis.minorticks_off()
    axis.margins(x=0.12, y=0.15)
    axis.set_title(
        f"{entry.label}{' (synth)' if metric.endswith('_synth') else ''}, {entry.better} is better", fontsize=9
    )


def _figure(results: BenchResults, name: str, metric: str) -> Interval | None:
    """A metric's mean over videos, or its one value over all of them, which has no error bar here."""
    if metric in CATALOGUE:
        return mean_of(results, name, metric)
    value = set_value(results, name, metric)
    return None if value is None else Interval(value, None, None, 1)


def readable_ticks(values: list[float], apart: float = 0.1) -> list[float]:
    """The values in rising order, without those nearer to the one before than a share of the (logarithmic) axis."""
    factor = max(1.12, (max(values) / min(values)) ** apart)
    ticks: list[float] = []
    for value in sorted(values):
        if not ticks or value > factor * ticks[-1]:
            ticks.append(value)
    return ticks


def beside_each_other(points: dict[str, float], apart: float = 0.025) -> dict[str, float]:
    """Where to draw each system: those of equal cost a small share of the (logarithmic) axis apart, around it."""
    step = max(1.12, max(points.values()) / min(points.values())) ** apart
    shown: dict[str, float] = {}
    for cost in set(points.values()):
        names = [name for name, own in points.items() if own == cost]
        shown |= {name: cost * step ** (place - (len(names) - 1) / 2) for place, name in enumerate(names)}
    return shown


def pareto_front(points: list[tuple[float, float]], badness: Callable[[float], float]) -> list[tuple[float, float]]:
    """The points (cost, quality) that no other beats in both, by rising cost."""
    front: list[tuple[float, float]] = []
    for cost, quality in sorted(points, key=lambda point: (point[0], badness(point[1]))):
        if not front or badness(quality) < badness(front[-1][1]):
            front.append((cost, quality))
    return front
