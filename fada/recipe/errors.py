"""What is wrong with a recipe, said so that it can be mended.

Knows the schema (to name the nearest key), not how files are read.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError, create_model

from fada.family import families
from fada.recipe.earlier import new_words
from fada.recipe.schema import Recipe
from fada.recipe.sections.section import Section
from fada.recipe.sections.teacher import AnyCodec, AnyNetwork

KeyPath = tuple[str | int, ...]


class RecipeError(ValueError):
    """A recipe cannot be used: the message names file, line, key path, what was got and what is allowed."""


def dotted(path: Iterable[str | int]) -> str:
    """The key path as it is typed in an override."""
    return ".".join(part if isinstance(part, str) and _is_shown_plain(part) else shown(part) for part in path)


def _is_shown_plain(key: str) -> bool:
    return key.isprintable() and len(key) <= 64


def did_you_mean(got: object, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the nearest known word, or nothing."""
    near = difflib.get_close_matches(str(got), list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def section_of(annotation: Any) -> type[Section] | None:
    """The section class inside an annotation such as ``World | None`` or ``tuple[Stage, ...]``."""
    if annotation in (AnyNetwork, AnyCodec):
        return any_of(annotation)
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    for argument in get_args(annotation):
        found = section_of(argument)
        if found is not None:
            return found
    return None


def any_of(annotation: type[Section]) -> type[Section]:
    """A section with the keys of every family's networks, or codec: which of them a recipe has, its kind decides."""
    name = "section" if annotation is AnyNetwork else "codec_section"
    sections = [section for family in families().values() if (section := getattr(family, name)) is not None]
    fields: dict[str, Any] = {
        name: (each.annotation, each) for section in sections for name, each in section.model_fields.items()
    }
    return create_model(annotation.__name__.removeprefix("Any"), __base__=Section, **fields)


def is_list(annotation: Any) -> bool:
    """Whether a field holds entries (``tuple[Stage, ...]``), or may, rather than one value."""
    return _is_made_with(annotation, tuple)


def is_named(annotation: Any) -> bool:
    """Whether a field is a mapping whose keys are names (``dict[str, ScaleRange]``), and no section's."""
    return _is_made_with(annotation, dict)


def _is_made_with(annotation: Any, kind: type) -> bool:
    origin = get_origin(annotation)
    # What a list or mapping holds is below it.
    if origin in (tuple, dict):
        return origin is kind
    return any(_is_made_with(each, kind) for each in get_args(annotation) if get_origin(each) is not None)


def section_at(path: Iterable[str | int]) -> type[Section] | None:
    """The section class that a key path leads to; entries of lists and of mappings by name are passed over."""
    section: type[Section] = Recipe
    is_entry = False
    for part in path:
        if is_entry:  # the index or name after the key of a list or mapping
            is_entry = False
            continue
        field = section.model_fields.get(str(part))
        inner = section_of(field.annotation) if field is not None else None
        if field is None or inner is None:
            return None
        is_entry = is_list(field.annotation) or is_named(field.annotation)
        section = inner
    return section


def field_at(path: Sequence[str | int]) -> Any:
    """The annotation of the field that a key path leads to; None where it leads to none."""
    section = section_at(path[:-1])
    field = section.model_fields.get(str(path[-1])) if section is not None else None
    return None if field is None else field.annotation


def places_of(key: str, section: type[Section] = Recipe, prefix: KeyPath = ()) -> list[str]:
    """Dotted paths of every field with this very name, anywhere in the schema."""
    found = []
    for name, field in section.model_fields.items():
        if name == key:
            found.append(dotted((*prefix, name)))
        inner = section_of(field.annotation)
        if inner is not None:
            entry: KeyPath = (0,) if is_list(field.annotation) else ("NAME",) if is_named(field.annotation) else ()
            found += places_of(key, inner, (*prefix, name, *entry))
    return found


def unknown_key(path: KeyPath, family: object = None) -> str:
    """What to say of a key that the schema does not have.

    Args:
        family: the recipe's `teacher.kind`, whose networks (or codec) are meant where a key is one of
            `teacher.network` (`teacher.codec`).
    """
    *parents, key = path
    section: type[BaseModel] | None = section_at(parents)
    if isinstance(family, str) and family in families():
        own: dict[KeyPath, type[BaseModel] | None] = {
            ("teacher", "network"): families()[family].section,
            ("teacher", "codec"): families()[family].codec_section,
        }
        section = own.get(tuple(parents), section)
    known = list(section.model_fields) if section is not None else []
    hint = did_you_mean(key, known)
    if not hint:
        elsewhere = places_of(str(key))
        hint = f"; there is {', '.join(elsewhere)}" if elsewhere else ""
    allowed = f" (keys here: {', '.join(known)})" if known else ""
    return f"unknown key{hint}{allowed}"


def explain(
    error: ValidationError, where: Mapping[KeyPath, str], file: str, family: object = "dual_unet"
) -> RecipeError:
    """One RecipeError for everything pydantic found.

    Args:
        error: what validation raised.
        where: for known key paths, the place to blame (``file:line`` or an override).
        file: blamed for paths that stand nowhere.
        family: the recipe's `teacher.kind`.
    """
    lines = []
    for item in error.errors(include_url=False):
        path: KeyPath = tuple(item["loc"])
        said = _message(dict(item), path, family)
        lines.append(": ".join(part for part in (_place(path, where, file), dotted(path), said) if part))
    return RecipeError("\n".join(lines))


def _place(path: KeyPath, where: Mapping[KeyPath, str], file: str) -> str:
    for length in range(len(path), 0, -1):
        if path[:length] in where:
            return where[path[:length]]
    return file


def _message(item: Mapping[str, Any], path: KeyPath, family: object) -> str:
    kind, got = item["type"], item.get("input")
    if kind == "extra_forbidden":
        words = new_words(path, got)
        return unknown_key(path, family) if words is None else f"write {words}"
    if kind == "missing":
        return "missing; it has no default"
    if kind == "literal_error":
        allowed = str(item["ctx"]["expected"]).replace("'", "").replace(" or ", ", ").split(", ")
        # Truth values as YAML writes them.
        allowed = [each.lower() if each in ("True", "False") else each for each in allowed]
        return f"got {shown(got)}; choose from {', '.join(allowed)}{did_you_mean(got, allowed)}"
    if kind == "path_type":
        return f"is no path, got {shown(got)}; write one, as in runs/NAME"
    message = str(item["msg"]).removeprefix("Value error, ")
    if kind == "value_error" or isinstance(got, dict | list):
        return message
    return f"{message[:1].lower()}{message[1:]}, got {shown(got)}"


def shown(value: object) -> str:
    """A value as it stands in a message: short, and as Python writes it: nothing in it reaches a terminal raw."""
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
