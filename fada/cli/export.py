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
    checkpoint: Annotated[
        str | None,
        typer.Option(
            "--checkpoint", metavar="STEP", help="Of an unfinished student: the checkpoint of this step, or `newest`."
        ),
    ] = None,
) -> None:
    """Export a run's student as a diffusers folder with a model card.

    Safetensors only; it loads with FadaPipeline.from_pretrained and in `fada generate`.

    Examples:

      fada export runs/demo --out models/demo-fast
      fada export runs/demo --out models/demo-balanced --student balanced
      fada export runs/demo --out models/half --student fast --checkpoint newest
    """
    from fada.student.export import export_run

    if checkpoint is None:
        export_run(run, out, student=student)
    else:
        if student is None:
            raise typer.BadParameter("--checkpoint needs --student: which phase's checkpoint?")
        if checkpoint != "newest" and not checkpoint.isdigit():
            raise typer.BadParameter(f"--checkpoint: give a step or `newest`, got {checkpoint!r}")
        from rich.console import Console

        from fada import build

        step = None if checkpoint == "newest" else int(checkpoint)
        built = build.from_checkpoint(run, student, step, Console())
        export_run(run, out, student=student, built=built)
    typer.echo(f"exported to {out}")
