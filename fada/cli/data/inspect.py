"""``fada data inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fada.cli.options import Overwrite


def inspect(
    place: Annotated[
        Path, typer.Argument(metavar="SHARDS|DIR", help="A folder of shards; with --page a folder of scored clips.")
    ],
    sheet: Annotated[Path | None, typer.Option(metavar="PNG", help="Write a contact sheet of frames here.")] = None,
    rows: Annotated[int, typer.Option(min=1, help="Clips on the contact sheet.")] = 8,
    page: Annotated[
        Path | None, typer.Option(metavar="HTML", help="Write a page of scored clips here, to set thresholds on.")
    ] = None,
    strict: Annotated[
        str, typer.Option(metavar="YAML", help="Thresholds of set A on the page: a file, or a shipped one.")
    ] = "strict",
    lenient: Annotated[str, typer.Option(metavar="YAML", help="Thresholds of set B on the page.")] = "lenient",
    most: Annotated[
        int, typer.Option(min=1, help="Clips on the page at most: of more some are drawn, always the same.")
    ] = 5000,
    overwrite: Overwrite = False,
) -> None:
    """What is in there: shards as a table and a contact sheet, scored clips as a page.

    Examples:

      fada data inspect data/shards
      fada data inspect data/shards --sheet sheet.png
      fada data inspect data/clips --page data/clips/inspect.html
      fada data inspect data/clips --page inspect.html --strict my-strict.yaml --lenient my-lenient.yaml
    """
    from fada.files.outputs import check_report
    from fada.terminal import SafeConsole

    console = SafeConsole()
    for out in (page, sheet):
        if out is not None:
            check_report(out, place, overwrite=overwrite)
    if page is not None:
        from fada.cli.progress import progress_bar
        from fada.data.inspection import write_scored_page

        with progress_bar("drawing") as progress:
            shown, clips = write_scored_page(place, page, {"strict": strict, "lenient": lenient}, most, progress)
        console.print(f"{page}: {shown if shown == clips else f'{shown} of {clips}'} clips", soft_wrap=True)
        return
    from fada.cli.inspection import contact_sheet_of, summary
    from fada.data.clips.clip import list_clips

    if place.is_dir() and list_clips(place):
        raise typer.BadParameter(f"{place}: clips, not shards; add --page inspect.html, or pack them: fada data shard")
    console.print(*summary(place), sep="\n")
    if sheet is not None:
        from fada.media.image import write_png

        write_png(sheet, contact_sheet_of(place, rows))
        console.print(f"contact sheet: {sheet}")
