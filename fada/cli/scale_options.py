"""Guidance scales of the command line: ``--scale NAME=NUMBER``, and short forms of names that many families have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import typer

from fada.cli.named_numbers import LONGEST, named, number_of
from fada.pretrained.ranges import SCALE


@dataclass(frozen=True)
class AskedScale:
    """A scale, and the option that gave it."""

    value: float
    option: str


def asked_scales(given: Sequence[str], short: Mapping[str, float | None]) -> dict[str, AskedScale]:
    """Scales by name, before the model and its names are known.

    Args:
        given: texts of ``--scale``.
        short: by name, what `--NAME-scale` gave.

    Raises:
        typer.BadParameter: a text has another form, a number is out of its range, or a name is given twice.
    """
    found: dict[str, AskedScale] = {}
    for text in given:
        name, number = named("--scale", text, "NAME=NUMBER, as in audio=6.5")
        option = f"--scale {name[:LONGEST]!r}" if not name.isidentifier() else f"--scale {name[:LONGEST]}"
        _add(found, name, number_of(option, number), option)
    for name, value in short.items():
        if value is not None:
            _add(found, name, value, f"--{name}-scale")
    return found


def check_names(asked: Mapping[str, AskedScale], known: Sequence[str]) -> None:
    """Know that the model has scales of these names, in the order of its branches.

    Raises:
        typer.BadParameter: it has none such.
    """
    for name, each in asked.items():
        if name not in known:
            what = (
                f"choose from {', '.join(known)}, as in --scale {known[-1]}={each.value:g}" if known else "leave it out"
            )
            raise typer.BadParameter(f"{each.option}: this model has no guidance scale of that name; {what}")


def _add(found: dict[str, AskedScale], name: str, value: float, option: str) -> None:
    if name in found:
        other = found[name].option
        what = "is given twice" if other == option else f"{other} gives it too"
        raise typer.BadParameter(f"{option}: {what}; give it once")
    try:
        SCALE.check(option, value)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    found[name] = AskedScale(value, option)
