"""Histograms of scores with their thresholds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from fada.data.scores.catalogue import SCORES
from fada.data.scores.measure import Scores
from fada.data.scores.thresholds import Thresholds
from fada.files.whole import whole_file

_COLUMNS = 4


def plot_scores(path: Path, scores: Mapping[str, Scores], strict: Thresholds, lenient: Thresholds) -> None:
    """One histogram per measured score; lines are what the sets refuse from, strict solid, lenient dashed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    measured = {name: [value for each in scores.values() if (value := each.get(name)) is not None] for name in SCORES}
    shown = [name for name, values in measured.items() if values]
    rows = max(1, math.ceil(len(shown) / _COLUMNS))
    figure = Figure(figsize=(3.2 * _COLUMNS, 2.3 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    for number, name in enumerate(shown, 1):
        axes = figure.add_subplot(rows, _COLUMNS, number)
        axes.hist(measured[name], bins=40, color="#6b8fb5")
        for thresholds, style in ((lenient, "--"), (strict, "-")):
            for limit in thresholds.limits.get(name, ()):
                if limit is not None:
                    axes.axvline(limit, color="#b5453c", linestyle=style, linewidth=1.2)
        # A few bad clips among thousands of good ones must show.
        axes.set_yscale("log")
        score = SCORES[name]
        axes.set_title(f"{score.axis}: {name}" + (f" ({score.unit})" if score.unit else ""), fontsize=9)
        axes.tick_params(labelsize=7)
    with whole_file(path) as partial:
        figure.savefig(partial, dpi=110)
