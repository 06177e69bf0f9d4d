"""The page of the command line: every verb with its help, arguments and options, as `fada VERB --help` has them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer

from fada.cli.app import app


def commands() -> str:
    """A section for each verb."""
    return "\n".join(_sections(typer.main.get_command(app), "fada"))


def _sections(command: Any, path: str) -> Iterator[str]:
    inner = getattr(command, "commands", {})
    # `fada bench RECIPE` is a verb of a group that may also be called by itself.
    if not inner:
        yield from _verb(command, path)
    for name, each in inner.items():
        yield from _sections(each, f"{path} {name}")


def _verb(command: Any, path: str) -> Iterator[str]:
    yield f"\n## {path} {{#{path.replace(' ', '-')}}}\n"
    said, _, examples = re.sub(r"\bExamples?:\n", "\0", command.help or "", count=1).partition("\0")
    yield said.strip() + "\n"
    if examples:
        lines = [line.strip() for line in examples.splitlines() if line.strip()]
        yield "\n".join(["```sh", *lines, "```", ""])
    context = command.context_class(command, info_name=path)
    records = [record for each in command.params if (record := each.get_help_record(context)) is not None]
    if records:
        yield "\n".join(
            ["| | |", "| --- | --- |", *(f"| {_code(name)} | {_cell(told)} |" for name, told in records), ""]
        )


def _code(text: str) -> str:
    return f"`{_cell(text)}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
