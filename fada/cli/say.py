"""What verbs say in a line of their own."""

from __future__ import annotations

import typer


def say(text: str, *, err: bool = False, nl: bool = True) -> None:
    """A text, and a line's end, on standard output or standard error; what names in it hold is shown, never obeyed."""
    # Brings rich; `--help` is instant without it.
    from fada.terminal import printable

    typer.echo(printable(text, lines=True), err=err, nl=nl)
