"""Pages of recipes: every field, from the schema that checks them, and the shipped recipes as they stand."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from fada.recipe import recipe_json_schema
from fada.recipe.shipped import purpose, shipped_recipes

FOLDER = "reference/recipes"
_LIMITS = {
    "ge": "≥",
    "gt": ">",
    "le": "≤",
    "lt": "<",
    "minimum": "≥",
    "exclusiveMinimum": ">",
    "maximum": "≤",
    "exclusiveMaximum": "<",
}
Schema = dict[str, Any]


def fields() -> str:
    """A section for each of a recipe, with a row for each field."""
    schema = recipe_json_schema()
    known: dict[str, Schema] = schema["$defs"]
    text = [*_section("recipe", "", schema, known)]
    # Named by the way to it: `Network_float` is what stands under teacher.network.
    seen = {"recipe"}
    queue = list(_inner(schema, ""))
    while queue:
        name, where = queue.pop(0)
        if name in seen:
            continue
        seen.add(name)
        text += _section(name, where, known[name], known)
        queue += _inner(known[name], where)
    return "\n".join(text)


def _inner(schema: Schema, where: str) -> Iterator[tuple[str, str]]:
    """Sections that the fields of one lead to: name, and the key that leads there."""
    for key, field in schema.get("properties", {}).items():
        for name, marks in _referred(field):
            yield name, f"{where}.{key}{marks}".lstrip(".")


def _referred(field: Schema, marks: str = "") -> Iterator[tuple[str, str]]:
    if "$ref" in field:
        yield field["$ref"].rpartition("/")[2], marks
    for each in field.get("anyOf", ()):
        yield from _referred(each, marks)
    if "items" in field:
        yield from _referred(field["items"], marks + "[]")
    if isinstance(field.get("additionalProperties"), dict):
        yield from _referred(field["additionalProperties"], marks + ".NAME")


def _section(name: str, where: str, schema: Schema, known: Mapping[str, Schema]) -> Iterator[str]:
    title = f"`{where}`" if where else "A recipe"
    # Several families have a section at one key: each says whose it is.
    kind, _, family = name.partition("_")
    if family:
        title += f", {family.replace('_', ' ')}"
    yield f"\n## {title} {{#{name.lower()}}}\n"
    yield _line(schema.get("description", kind)) + "\n"
    yield "| key | value | default | |"
    yield "| --- | --- | --- | --- |"
    needed = schema.get("required", ())
    for key, field in schema.get("properties", {}).items():
        default = "**needed**" if key in needed else _default(field)
        yield f"| `{key}` | {_cell(_kind(field))} | {default} | {_cell(_purpose(field, known))} |"


def _purpose(field: Schema, known: Mapping[str, Schema]) -> str:
    """What a field is for; the schema leaves out what its section says in the same words."""
    inner = [known[name].get("description", "") for name, _ in _referred(field)]
    return _line(field.get("description") or "".join(inner[:1]))


def _kind(field: Schema) -> str:
    """What may stand there, in words."""
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return f"[{name.partition('_')[2].replace('_', ' ') or name}](#{name.lower()})"
    if "enum" in field:
        return ", ".join(f"`{_value(each)}`" for each in field["enum"])
    if "const" in field:
        return f"`{_value(field['const'])}`"
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(_kind(each) for each in field["anyOf"]))
    kind = field.get("type", "anything")
    if kind == "array":
        items = field.get("items") or {}
        return f"list of {_kind(items)}" if items else "list"
    if kind == "object":
        inner = field.get("additionalProperties")
        return f"by name: {_kind(inner)}" if isinstance(inner, dict) else "mapping"
    limits = " ".join(f"{sign} {field[key]:,}".replace(",", " ") for key, sign in _LIMITS.items() if key in field)
    words = {
        "integer": "whole number",
        "number": "number",
        "boolean": "`true`, `false`",
        "string": "text",
        "null": "`null`",
    }
    word = "path" if field.get("format") == "path" else words.get(kind, kind)
    return f"{word} {limits}".strip()


def _default(field: Schema) -> str:
    if "default" not in field:
        return ""
    shown = _value(field["default"])
    # A section's own defaults stand in its table.
    return f"`{shown}`" if len(shown) <= 40 else "see there"


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _line(text: str) -> str:
    return " ".join(text.split())


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def anchor(name: str) -> str:
    """The place of a recipe in its page."""
    return name.replace("/", "-")


def page_of(name: str) -> str:
    """The page of a recipe, or of a folder of recipes."""
    return f"{FOLDER}/{name.partition('/')[0]}.md"


def shipped_pages() -> dict[str, str]:
    """Page → its text, a page for each folder of recipes."""
    found: dict[str, str] = {}
    for name, path in shipped_recipes().items():
        page = page_of(name)
        folder = name.partition("/")[0]
        found.setdefault(page, f"---\ntitle: {folder}\n---\n\n# Recipes: {folder}\n")
        source = path.read_text(encoding="utf-8")
        found[page] += f"\n## {name} {{#{anchor(name)}}}\n\n{purpose(path)}\n\n```yaml\n{source}```\n"
    return found
