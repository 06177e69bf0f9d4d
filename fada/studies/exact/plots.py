"""The picture of the exact world's page: error over guidance scales, of the teacher and of both students."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fada.eval.report.canvas import COLOURS, MARKERS, new_figure, save_figure
from fada.eval.statistics.intervals import t_interval
from fada.studies.exact.summary import NAMES

LABELS = {"audio": "audio scale, reference 2.5", "reference": "reference scale, audio 6.5"}
SHOWN = {"error": "error at quiet sounds", "error_open": "error at quiet and loud sounds"}


def plot_sweeps(results: Mapping[str, Any], path: Path) -> Path | None:
    """Two measures over both axes, with intervals over seeds; None where nothing was swept."""
    if not results.get("sweeps"):
        return None
    axes_of = list(next(iter(results["sweeps"].values())))
    figure, panels = new_figure(len(SHOWN) * len(axes_of))
    for panel, (measure, axis) in zip(panels, [(each, axis) for each in SHOWN for axis in axes_of], strict=True):
        for place, (name, swept) in enumerate(results["sweeps"].items()):
            scales = [point["scales"][axis == "audio"] for point in swept[axis]]
            found = [t_interval(point["measures"][measure]) for point in swept[axis]]
            halves = [0.0 if each is None or each.half_width is None else each.half_width for each in found]
            means = [0.0 if each is None else each.mean for each in found]
            style: dict[str, Any] = {"color": COLOURS[place], "marker": MARKERS[place], "capsize": 3}
            panel.errorbar(scales, means, yerr=halves, label=NAMES.get(name, name), **style)
        panel.set_xlabel(LABELS[axis], fontsize=8)
        panel.set_title(f"{SHOWN[measure]}, lower is better", fontsize=9)
        panel.tick_params(labelsize=8)
        panel.set_ylim(bottom=0.0)
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8, frameon=False
    )
    return save_figure(figure, path)
