"""Cells and heads that several tables share: means with intervals, names of metrics."""

from __future__ import annotations

from fada.eval.bench.qualities import QUALITY_ERROR
from fada.eval.metrics.catalogue import CATALOGUE
from fada.eval.report.table import Cell
from fada.eval.statistics.intervals import Interval

NULL = Cell("null")


def interval_cell(interval: Interval | None, metric: str, signed: bool = False) -> Cell:
    """``mean ± half`` in the metric's digits."""
    if interval is None:
        return NULL
    digits = CATALOGUE[metric].digits
    text = f"{interval.mean:+.{digits}f}" if signed else f"{interval.mean:.{digits}f}"
    if interval.half_width is not None:
        text += f" ± {interval.half_width:.{digits}f}"
    return Cell(text, interval.mean)


def metric_head(metric: str) -> str:
    """A column's head: label, unit, which way is better, and whether it belongs to the drawn world."""
    entry = CATALOGUE[metric]
    arrow = {"higher": "↑", "lower": "↓", "one": "→1", "zero": "→0"}[entry.better]
    synthetic = "-synth" if metric.endswith("_synth") else ""
    unit = f", {entry.unit}" if entry.unit else ""
    return f"{entry.label}{synthetic}{unit} {arrow}"


DISTANCE_LABELS = {
    "fid": "FID",
    "kid": "KID",
    "fvd_r": "FVD-R",
    "fvd_i3d": "FVD-I3D",
    "efid": "E-FID",
    "efid_blendshape": "E-FID-blendshape",
    "fd_mobileface": "FD-MobileFace",
}


def distance_label(name: str) -> str:
    """``fvd_r`` -> ``FVD-R``, ``fd_latent_synth`` -> ``FD-latent-synth``."""
    kind, _, rest = name.partition("_")
    return DISTANCE_LABELS.get(name) or "-".join([kind.upper(), *rest.split("_")]).rstrip("-")


def measure_head(name: str) -> str:
    """The head of a metric of clips, of a distance over all of them, or of the quality error."""
    if name == QUALITY_ERROR:
        return "quality error, log ↓ (decides)"
    return metric_head(name) if name in CATALOGUE else f"{distance_label(name)} ↓"


def signed_cell(interval: Interval | None, name: str) -> Cell:
    """`interval_cell` with a sign, also of a distance over all clips."""
    if interval is None or name in CATALOGUE:
        return interval_cell(interval, name, signed=True)
    half = "" if interval.half_width is None else f" ± {interval.half_width:.3g}"
    return Cell(f"{interval.mean:+.3g}{half}", interval.mean)
