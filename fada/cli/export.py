"""``fada export``: a run as a folder that diffusers loads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run's folder.")],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Where the model goes; must not exist or be empty.")
    ],
    student: Annotated[
        str | None, typer.Option("--student", help="Which student, by its phase's name; default: the last one.")
    ] = None,
) -> None:
    """Export a run's student as a diffusers folder with a model card.

    Safetensors only; it loads with FadaPipeline.from_pretrained and in `fada generate`.

    Examples:

      fada export runs/demo --out models/demo-fast
      fada export runs/demo --out models/demo-balanced --student balanced
    """
    from fada.student.export import export_run

    export_run(run, out, student=student)
    typer.echo(f"exported to {out}")
