"""``fada data inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def inspect(
    shards: Annotated[Path, typer.Argument(metavar="SHARDS", help="A folder of shards.")],
    sheet: Annotated[Path | None, typer.Option(metavar="PNG", help="Write a contact sheet of frames here.")] = None,
    rows: Annotated[int, typer.Option(min=1, help="Clips on the contact sheet.")] = 8,
) -> None:
    """What is in there: counts, lengths, qualities, flaws, as a table and a contact sheet.

    Examples:

      fada data inspect data/shards
      fada data inspect data/shards --sheet sheet.png
    """
    from rich.console import Console

    from fada.cli.inspection import contact_sheet_of, summary

    console = Console()
    console.print(*summary(shards), sep="\n")
    if sheet is not None:
        from fada.media.image import write_png

        write_png(sheet, contact_sheet_of(shards, rows))
        console.print(f"contact sheet: {sheet}")
