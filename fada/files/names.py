"""Names that become files and folders: one plain word each, whoever gave them."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

from fada.files.errors import NameFault

PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What a name from a recipe, an index or a list may be: no separators, no dots, nothing that a shell bends."""


def check_name(name: object, what: str) -> str:
    """The name itself, known to be one plain word.

    Args:
        what: where it stands, for the message: `distill.phases.0.name`.

    Raises:
        NameFault: it is empty, longer than 64 characters, or has other characters than letters, digits, `_` and `-`.
    """
    if not isinstance(name, str) or not PLAIN_NAME.fullmatch(name):
        shown = repr(name)
        shown = shown if len(shown) <= 80 else f"{shown[:77]}..."
        raise NameFault(
            f"{what}: {shown} cannot name a file or folder; give 1 to 64 letters, digits, '_' or '-', nothing else"
        )
    return name


def _checked(name: str) -> str:
    return check_name(name, "name")


PlainName = Annotated[str, AfterValidator(_checked)]
"""A field of a recipe that becomes the name of a file or folder."""
