"""The look of every plot, and how it is saved: PNG for reading, SVG for papers, both the same on every run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fada.files.whole import whole_file

# Loaded where something is drawn: it takes half a second, and every process of a training begins here.
if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#1f6fb4", "#d9622b", "#2a8f5b", "#8a4fb0", "#b8860b", "#c2347a", "#4a6a7c", "#7a5230")
"""One per system, in the report's order; told apart on white by hue and by lightness."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


def new_figure(panels: int, width: float = 4.6, height: float = 3.6) -> tuple[Figure, list[Axes]]:
    """A figure of ``panels`` axes, at most two in a row, without any global state (no pyplot)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(2, panels)
    rows = -(-panels // columns)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for spare in axes[panels:]:
        spare.set_visible(False)
    for axis in axes[:panels]:
        axis.grid(True, color="#dddddd", linewidth=0.6)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes[:panels]


def save_figure(figure: Figure, path: Path) -> Path:
    """Writes ``path`` with the endings .png and .svg; returns the PNG's path."""
    from matplotlib import rc_context

    # Laid out once for both files: the layout costs as much as the drawing.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    with rc_context({"svg.hashsalt": "fada"}):
        with whole_file(path.with_suffix(".svg")) as temporary:
            figure.savefig(temporary, metadata={"Date": None})
        with whole_file(path.with_suffix(".png")) as temporary:
            figure.savefig(temporary, dpi=144, metadata={"Software": None})
    return path.with_suffix(".png")
