"""Seconds by stage over many clips, and how many clips an hour does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table


def add_up(parts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Seconds by stage over many clips or sources."""
    total: dict[str, float] = {}
    for part in parts:
        for name, seconds in part.items():
            total[name] = total.get(name, 0.0) + seconds
    return total


def throughput(seconds: Mapping[str, float], clips: int) -> Table:
    """For the terminal: seconds, share, and how many clips an hour of one core would do of each stage."""
    from rich.table import Table

    table = Table(title="where the time went", title_justify="left")
    for column in ("stage", "seconds", "share", "clips per core and hour"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    whole = sum(seconds.values())
    for name, spent in [*sorted(seconds.items(), key=lambda pair: -pair[1]), ("all", whole)]:
        rate = f"{3600 * clips / spent:,.0f}" if spent > 0 and clips else ""
        table.add_row(name, f"{spent:.1f}", f"{spent / whole:.0%}" if whole else "", rate)
    return table
