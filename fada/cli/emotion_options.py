"""Emotions of the command line: ``--emotion NAME=SHARE``."""

from __future__ import annotations

from collections.abc import Sequence

import typer

LONGEST = 64
"""Characters of what was typed that a message shows."""


def asked_shares(given: Sequence[str]) -> dict[str, float]:
    """Shares of emotions by name, of the texts of ``--emotion``.

    Raises:
        typer.BadParameter: a text has another form, names no emotion or one twice, or shares are over 1 together.
    """
    from fada.data.clips.emotion import emotion_of

    found: dict[str, float] = {}
    for text in given:
        name, equals, number = text.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"--emotion: not of the form NAME=SHARE, as in happy=0.8; got {text[:LONGEST]!r}")
        if name in found:
            raise typer.BadParameter(f"--emotion {name[:LONGEST]}: is given twice; give it once")
        try:
            found[name] = float(number)
        except ValueError:
            raise typer.BadParameter(
                f"--emotion {name[:LONGEST]}: must be a number, got {number[:LONGEST]!r}"
            ) from None
    try:
        emotion_of(found)
    except ValueError as error:
        raise typer.BadParameter(f"--{error}") from None
    return found
