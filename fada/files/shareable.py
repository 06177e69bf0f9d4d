"""What leaves this machine in exports and reports: no absolute paths, no user or host names, no command lines."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

_WEB = re.compile(r"https?://[^/@\s]+(?:/|$)")
"""An address that anybody may have; one with a user or password in it is none."""
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/+")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_IN_TEXT = re.compile(
    r"""(?<![\w.:/<])                          # not the middle of a word, a fraction, a date or a tag
        (?:file:/+|~[\w-]*/|/|[A-Za-z]:\\)     # file:///…, ~/…, ~user/…, /…, C:\…
        (?:[^\s/\\'"`|<>()\[\],;]+[/\\]+)+     # folders
        ([^\s/\\'"`|<>()\[\],;]*)              # the last part""",
    re.VERBOSE,
)
_ADDRESS = re.compile(r"(?<![\w])(?!https?:)[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"`|<>()\[\],;]*/([^\s'\"`|<>()\[\],;/]*)/?")


def shareable_text(text: str) -> str:
    """A text in which every absolute path and every store's address is its last part alone."""
    return _IN_TEXT.sub(r"\1", _ADDRESS.sub(r"\1", text))


def shareable(value: Any) -> Any:
    """A JSON-like value in which every string that is a place outside, or on this machine, is its last part alone.

    Relative paths inside the working folder stay, so that a recipe goes on where it has its data; keys stay.
    """
    if isinstance(value, dict):
        return {key: shareable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [shareable(each) for each in value]
    if not isinstance(value, str):
        return value
    return last_part(value) if _is_place(value) else shareable_text(value)


def last_part(place: str) -> str:
    """The last part of a path or address: what names it without saying where it lies."""
    return PurePosixPath(place.replace("\\", "/").rstrip("/")).name


def shareable_command(arguments: Sequence[str]) -> str:
    """A command line as its verbs and its recipe: `fada distill fast.yaml`; options and places are left out."""
    words = []
    for argument in arguments[1:]:
        if argument.endswith((".yaml", ".yml")):
            words.append(last_part(argument))
            break
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", argument):
            break
        words.append(argument)
    return " ".join(["fada", *words])


def _is_place(text: str) -> bool:
    if "\n" in text or _WEB.match(text):
        return False
    return (
        text.startswith(("/", "~"))
        or ".." in text.replace("\\", "/").split("/")
        or _DRIVE.match(text) is not None
        or _URL.match(text) is not None
    )
