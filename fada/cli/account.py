"""The account of an import as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from fada.teacher.released import Row


def account_table(rows: Sequence[Row]) -> Table:
    """Keys and numbers of every part, and of all."""
    from rich.table import Table

    table = Table(title="tensors", box=None, pad_edge=False)
    table.add_column("part")
    table.add_column("keys", justify="right")
    table.add_column("numbers", justify="right")
    for row in rows:
        table.add_row(row.part, str(row.keys), f"{row.parameters / 1e6:.1f} M")
    table.add_row("all", str(sum(row.keys for row in rows)), f"{sum(row.parameters for row in rows) / 1e6:.1f} M")
    return table
