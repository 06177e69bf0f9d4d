"""The page of a folder of scored clips: its table, thresholds from files, and the page that shows both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from fada.data.inspection.page import write_page
from fada.data.scores import count_scores, draw_scores, load_thresholds

THRESHOLDS = {"strict": "strict", "lenient": "lenient"}
"""The shipped thresholds of each set."""
MOST = 5000
"""Clips on a page at most: of more some are drawn."""


def write_scored_page(
    folder: Path,
    page: Path,
    thresholds: Mapping[str, str] = THRESHOLDS,
    most: int = MOST,
    on_progress: Callable[[int, int], None] | None = None,
    videos: str | None = None,
) -> tuple[int, int]:
    """Write the page of a folder that `fada data filter` has scored; how many clips are on it, and how many there are.

    Args:
        page: the file to write.
        thresholds: by set, a file or the name of a shipped one.
        most: clips on the page; of more some are drawn, always the same.
        on_progress: called with (posters made, in all).
        videos: as of `write_page`.

    Raises:
        ScoresError: there is no table of scores, or it cannot be read.
        RecipeError: thresholds are not there, or say what no score has.
    """
    loaded = {name: load_thresholds(file) for name, file in thresholds.items()}
    rows, clips = draw_scores(folder, most), count_scores(folder)
    limits = {name: each.limits for name, each in loaded.items()}
    fails = {
        name: [score for score, limit in each.by_score.items() if limit.unmeasured == "fail"]
        for name, each in loaded.items()
    }
    write_page(folder, rows, limits, page, fails, on_progress, clips, videos)
    return len(rows), clips
