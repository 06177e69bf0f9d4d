"""``fada directions``: what a codec's directions move."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fada.cli.say import say
from fada.files.output_file import check_output


def directions(
    model: Annotated[Path, typer.Option("--model", metavar="DIR", help="A model folder, or a run.")],
    image: Annotated[Path, typer.Option("--image", metavar="FILE", help="The portrait.")],
    out: Annotated[Path, typer.Option("--out", metavar="PNG", help="The sheet of pictures to write.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the sheet where it exists.")] = False,
) -> None:
    """Show what each direction of a FLOAT's codec moves: a row of pictures from -2 to +2.

    Their numbers are those of `fada generate --motion`.

    Examples:

      fada directions --model runs/float --image me.png --out directions.png
    """
    if out.suffix.lower() != ".png":
        raise typer.BadParameter(f"{out}: the sheet is a PNG; name a file that ends in .png")
    check_output(out, image, overwrite=overwrite)
    from fada.export.opening import open_model
    from fada.generation.directions import directions_sheet
    from fada.media.contact_sheet import write_png
    from fada.media.image import read_image

    portrait = read_image(image)
    pipeline = open_model(model)
    write_png(out, directions_sheet(pipeline, portrait))
    say(f"{out}: {pipeline.vae.directions} directions, from -2 to +2")
