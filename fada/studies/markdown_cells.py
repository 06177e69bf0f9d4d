"""Cells and lines of a Markdown table: means with intervals, and differences with their sign."""

from __future__ import annotations

from collections.abc import Sequence

from fada.eval.statistics.intervals import Interval


def row_text(cells: Sequence[str]) -> str:
    """One line of a table."""
    return "| " + " | ".join(cells) + " |"


def interval_text(found: Interval | None) -> str:
    """A mean and half its interval."""
    if found is None:
        return "–"
    half = "" if found.half_width is None else f" ± {found.half_width:.4f}"
    return f"{found.mean:.4f}{half}"


def signed_text(found: Interval | None) -> str:
    """The same of a difference, with its sign."""
    if found is None:
        return "–"
    half = "" if found.half_width is None else f" ± {found.half_width:.4f}"
    return f"{'+' if found.mean >= 0 else '−'}{abs(found.mean):.4f}{half}"
