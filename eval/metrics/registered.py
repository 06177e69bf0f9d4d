"""Metrics of your own: registered in a process, they stand in its reports beside those of the package."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fada.eval.metrics.catalogue import CATALOGUE, Better, Metric

if TYPE_CHECKING:
    import numpy as np

    from fada.eval.bench.systems import BenchClip

MeasureVideo = Callable[["BenchClip", "np.ndarray"], float]
"""Of a held-out clip and a video made of it, uint8 (F, H, W, 3); raises NotMeasurable where there is no value."""

REGISTERED: dict[str, MeasureVideo] = {}
"""By name, in the order of the catalogue."""


def register_metric(
    name: str,
    measure: MeasureVideo,
    *,
    better: Better,
    label: str = "",
    unit: str = "",
    meaning: str = "",
    digits: int = 3,
) -> Metric:
    """Measure every video that this process benchmarks with a metric of your own, too.

    Args:
        name: its key in `results.json`. What was stored under this name is not measured again: give a changed metric
            another name.
        measure: called with the clip (portrait, sound, the true video where there is one) and the generated video,
            uint8 (F, H, W, 3); returns a number, or raises `NotMeasurable` with the reason why there is none.
        better: which way is better: `higher`, `lower`, `one` or `zero` (the nearer, the better).
        label: column head of tables; default: the name.
        unit: of the value; meaning: one line for the report; digits: after the decimal point.

    Returns:
        The catalogue's entry.

    Raises:
        ValueError: the name is no plain word, or that of a metric of the package.
    """
    if not name.replace("_", "").isalnum() or not name.isascii():
        raise ValueError(f"metric: a name is made of letters, digits and _, got {name!r}")
    if name in CATALOGUE and name not in REGISTERED:
        raise ValueError(f"metric {name}: the package has one of that name; give another")
    if better not in ("higher", "lower", "one", "zero"):
        raise ValueError(f"metric {name}: better: got {better!r}; choose from higher, lower, one, zero")
    CATALOGUE[name] = Metric(name, label or name, unit, better, meaning, digits)
    REGISTERED[name] = measure
    return CATALOGUE[name]
