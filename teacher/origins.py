"""Where weights come from, as their folders tell: the front matter of a card, or what an import wrote down."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from fada.files.plain_yaml import YAMLFault, parse_yaml
from fada.files.shareable import shareable
from fada.terminal import printable

IMPORT = "import.json"
"""What an import leaves in the folder that it makes: source, licence, settings."""
LARGEST_CARD = 2**20
"""Letters of a card that are read."""
LONGEST = 200
"""Letters of a licence's or a model's name."""


def front_matter(folder: Path) -> dict[str, Any]:
    """What the card of a folder says at its head, as on model hubs; empty without one."""
    card = folder / "README.md"
    if not card.is_file():
        return {}
    with card.open(encoding="utf-8", errors="replace") as opened:
        match = re.match(r"---\n(.*?\n)---\n", opened.read(LARGEST_CARD), re.DOTALL)
    try:
        front = parse_yaml(match[1]) if match else None
    except YAMLFault:
        # What a card cannot be read of, it does not say.
        return {}
    return front if isinstance(front, dict) else {}


def licence_in(front: dict[str, Any]) -> str | None:
    """The licence that a front matter names; of `other` its own name."""
    licence = front.get("license")
    return as_text(front.get("license_name", licence) if licence == "other" else licence)


def as_text(value: Any) -> str | None:
    """A card's value as one short text; of a list the first. Tables and what is longer are no such value."""
    value = value[0] if isinstance(value, list) and value else value
    if not isinstance(value, str | int | float) or not value:
        return None
    return printable(str(value), LONGEST)


def write_import(folder: Path, source: Path, licence: str | None, **settings: Any) -> None:
    """Write down what was imported; without a licence, that of the card beside the source or in the folder above."""
    beside = source if source.is_dir() else source.parent
    known = licence or licence_in(front_matter(beside)) or licence_in(front_matter(beside.parent))
    told = {"source": source.name, **({"license": known} if known else {}), **settings}
    (folder / IMPORT).write_text(json.dumps(shareable(told), indent=2) + "\n", encoding="utf-8")
