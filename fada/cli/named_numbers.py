"""Options of the form ``NAME=NUMBER`` that may be given several times."""

from __future__ import annotations

from collections.abc import Sequence

import typer

LONGEST = 64
"""Characters of what was typed that a message shows."""


def named(option: str, text: str, form: str) -> tuple[str, str]:
    """Name and number, both as they were typed, of one text.

    Raises:
        typer.BadParameter: it has another form.
    """
    name, equals, number = text.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"{option}: not of the form {form}; got {text[:LONGEST]!r}")
    return name, number


def number_of(option: str, text: str) -> float:
    """The number that was typed.

    Raises:
        typer.BadParameter: it is none.
    """
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"{option}: must be a number, got {text[:LONGEST]!r}") from None


def named_numbers(option: str, given: Sequence[str], form: str) -> dict[str, float]:
    """Numbers by name, of the texts of an option.

    Args:
        option: as it was typed, with its dashes.
        form: what it looks like, for messages: `NAME=SHARE, as in happy=0.8`.

    Raises:
        typer.BadParameter: a text has another form, or a name is there twice.
    """
    found: dict[str, float] = {}
    for text in given:
        name, number = named(option, text, form)
        if name in found:
            raise typer.BadParameter(f"{option} {name[:LONGEST]}: is given twice; give it once")
        found[name] = number_of(f"{option} {name[:LONGEST]}", number)
    return found


def asked_shares(given: Sequence[str]) -> dict[str, float]:
    """Shares of emotions by name, of the texts of ``--emotion``.

    Raises:
        typer.BadParameter: as `named_numbers`; or a name is no emotion's, or shares are over 1 together.
    """
    from fada.data.clips.emotion import emotion_of

    found = named_numbers("--emotion", given, "NAME=SHARE, as in happy=0.8")
    try:
        emotion_of(found)
    except ValueError as error:
        raise typer.BadParameter(f"--{error}") from None
    return found


def asked_motion(given: Sequence[str]) -> dict[int, float]:
    """Amounts by number of a direction, of the texts of ``--motion``.

    Raises:
        typer.BadParameter: as `named_numbers`; or a name is no whole number.
    """
    found = named_numbers("--motion", given, "DIRECTION=AMOUNT, as in 3=+0.5")
    for name in found:
        if not name.isdecimal():
            raise typer.BadParameter(f"--motion {name[:LONGEST]}: directions are counted, from 0")
    return {int(name): amount for name, amount in found.items()}
