"""``key.path=value`` from the command line, put into a recipe's data before it is checked.

Entries of lists are named by index (``distill.phases.1.steps=10``) or by name (``distill.phases.fast.steps=10``), those
of mappings by their own names (``bench.scales.audio=3``), which the recipe checks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fada.recipe.earlier import now_at
from fada.recipe.errors import (
    KeyPath,
    RecipeError,
    did_you_mean,
    dotted,
    field_at,
    is_list,
    is_named,
    section_at,
    shown,
    unknown_key,
)
from fada.recipe.reading import parse_value


def apply_overrides(data: dict[str, Any], overrides: Sequence[str]) -> dict[KeyPath, str]:
    """Change ``data`` in place; returns, for every path that was set or made on the way, the override to blame.

    Raises:
        RecipeError: an override is not ``key.path=value``, or its path leads nowhere.
    """
    places: dict[KeyPath, str] = {}
    for override in overrides:
        path, value = split_override(override)
        set_now = dict.fromkeys(_set(data, path, value, override), f"override {shown(override)}")
        places = replaced(places, set_now)
    return places


def replaced(places: Mapping[KeyPath, str], newer: Mapping[KeyPath, str]) -> dict[KeyPath, str]:
    """Both together; what lay below a path that is set anew is gone."""
    kept = {path: place for path, place in places.items() if not any(path[: len(each)] == each for each in newer)}
    return kept | {**newer}


def split_override(override: str) -> tuple[list[str], Any]:
    """Key path and value; the value is read as YAML."""
    key, equals, text = override.partition("=")
    path = key.strip().split(".")
    if not equals or not all(path):
        raise RecipeError(f"override {shown(override)}: not of the form key.path=value, as in engine.precision=fp32")
    return path, parse_value(text, f"override {shown(override)}")


def _set(data: dict[str, Any], path: list[str], value: Any, override: str) -> list[KeyPath]:
    here: Any = data
    walked: list[str | int] = []
    made: list[KeyPath] = []
    for position, part in enumerate(path):
        is_last = position == len(path) - 1
        step = _step(here, part, walked, override)
        walked.append(step)
        if is_last:
            here[step] = value
        elif isinstance(here, dict) and here.get(step) is None:
            if not _holds_keys(walked):
                raise RecipeError(f"override {shown(override)}: {dotted(walked)} has no entries in this recipe")
            here[step] = {}
            made.append(tuple(walked))
        here = here[step]
    return [*made, tuple(walked)]


def _step(here: Any, part: str, walked: list[str | int], override: str) -> str | int:
    """The key or index that ``part`` means inside ``here``."""
    if isinstance(here, dict):
        if walked and is_named(field_at(walked)):
            return part
        section = section_at(walked)
        _refuse_earlier([*walked, part], override)
        if section is None or part not in section.model_fields:
            raise RecipeError(f"override {shown(override)}: {dotted((*walked, part))}: {unknown_key((*walked, part))}")
        return part
    if isinstance(here, list):
        return _entry(here, part, walked, override)
    where = f"override {shown(override)}: {dotted(walked)}"
    raise RecipeError(f"{where} is {shown(here)}, which has no {shown(part)} inside")


def _entry(entries: list[Any], part: str, walked: list[str | int], override: str) -> int:
    names = [entry.get("name") for entry in entries if isinstance(entry, dict)]
    if part in names:
        return names.index(part)
    if part.isdigit() and int(part) < len(entries):
        return int(part)
    known = [str(name) for name in names if name is not None]
    listed = f" named {', '.join(known)}" if known else ""
    raise RecipeError(
        f"override {shown(override)}: {dotted(walked)} has no entry {shown(part)}{did_you_mean(part, known)} "
        f"({len(entries)} entries{listed})"
    )


def _holds_keys(path: list[str | int]) -> bool:
    """Whether what is missing at this path is made by setting something in it: a section, or a mapping by name."""
    annotation = field_at(path)
    return is_named(annotation) or (section_at(path) is not None and not is_list(annotation))


def _refuse_earlier(walked: list[str | int], override: str) -> None:
    """Raises RecipeError for a key of an earlier version, with the override as it is written now."""
    place = now_at(walked)
    if place is not None:
        key, _, value = override.partition("=")
        rest = key.strip().split(".")[len(walked) :]
        now = ".".join([*key.strip().split(".")[: len(walked) - 1], *place, *rest])
        raise RecipeError(f"override {shown(override)}: {dotted(walked)}: write {shown(f'{now}={value}')}")
