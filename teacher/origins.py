"""Where weights come from, as their folders tell: the front matter of a card, or what an import wrote down."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

IMPORT = "import.json"
"""What an import leaves in the folder that it makes: source, licence, settings."""


def front_matter(folder: Path) -> dict[str, Any]:
    """What the card of a folder says at its head, as on model hubs; empty without one."""
    card = folder / "README.md"
    match = re.match(r"---\n(.*?\n)---\n", card.read_text(encoding="utf-8"), re.DOTALL) if card.is_file() else None
    front = yaml.safe_load(match[1]) if match else None
    return front if isinstance(front, dict) else {}


def licence_in(front: dict[str, Any]) -> str | None:
    """The licence that a front matter names; of `other` its own name."""
    licence = front.get("license")
    return as_text(front.get("license_name", licence) if licence == "other" else licence)


def as_text(value: Any) -> str | None:
    """A card's value as one text; of a list the first."""
    value = value[0] if isinstance(value, list) and value else value
    return str(value) if value else None


def write_import(folder: Path, source: Path, licence: str | None, **settings: Any) -> None:
    """Write down what was imported; without a licence, that of the card beside the source or in the folder above."""
    beside = source if source.is_dir() else source.parent
    known = licence or licence_in(front_matter(beside)) or licence_in(front_matter(beside.parent))
    told = {"source": source.name, **({"license": known} if known else {}), **settings}
    (folder / IMPORT).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
