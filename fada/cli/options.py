"""Arguments that several verbs share."""

from __future__ import annotations

from typing import Annotated

import typer

RecipePath = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A YAML file, or the name of a shipped recipe (`fada recipe list`).")
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="key=value", help="Overrides, as in engine.precision=fp32 or distill.phases.fast.steps=500."
    ),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Check everything, print size, passes per step, memory and hours; train nothing."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what an earlier call wrote there.")]
Licence = Annotated[
    str | None,
    typer.Option(
        "--license",
        metavar="ID_OR_TEXT",
        help="Of the weights, for the cards of students; default: what their own card says.",
    ),
]
