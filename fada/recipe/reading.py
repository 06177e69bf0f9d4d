"""YAML text to plain data, with the line of every key.

PyYAML's safe loader with two repairs: ``1e-4`` is a number, and a key given twice is an error.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from fada.recipe.errors import KeyPath, RecipeError, dotted


class RecipeLoader(yaml.SafeLoader):
    """YAML 1.1 as PyYAML reads it, with YAML 1.2's floats."""


# YAML 1.1 wants a dot and a sign in floats with an exponent, so that PyYAML reads 1e-4 as a string.
RecipeLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def read_yaml(text: str, file: str) -> tuple[Any, dict[KeyPath, str]]:
    """The data in ``text`` and, for every key path, its place as ``file:line``.

    Raises:
        RecipeError: the text is not YAML, gives a key twice, or contains itself.
    """
    loader = RecipeLoader(text)
    places: dict[KeyPath, str] = {}
    try:
        node = loader.get_single_node()
        if node is None:
            return None, places
        _note_places(node, (), file, places, frozenset())
        return loader.construct_document(node), places
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f":{mark.line + 1}" if mark is not None else ""
        raise RecipeError(f"{file}{line}: not YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise RecipeError(f"{file}: not YAML: {error}") from error
    finally:
        loader.dispose()


def parse_value(text: str) -> Any:
    """The value of an override, read as a recipe's YAML."""
    return yaml.load(text, Loader=RecipeLoader)


def _note_places(node: yaml.Node, path: KeyPath, file: str, places: dict[KeyPath, str], above: frozenset[int]) -> None:
    if id(node) in above:
        raise RecipeError(f"{file}:{node.start_mark.line + 1}: {dotted(path)}: an alias contains itself")
    above = above | {id(node)}
    if isinstance(node, yaml.SequenceNode):
        for index, entry in enumerate(node.value):
            places[(*path, index)] = f"{file}:{entry.start_mark.line + 1}"
            _note_places(entry, (*path, index), file, places, above)
    elif isinstance(node, yaml.MappingNode):
        seen: set[KeyPath] = set()
        for key_node, value_node in node.value:
            inner = (*path, str(key_node.value))
            if inner in seen and key_node.tag != "tag:yaml.org,2002:merge":
                first = places[inner].rsplit(":", 1)[1]
                line = key_node.start_mark.line + 1
                raise RecipeError(f"{file}:{line}: {dotted(inner)}: given twice (first in line {first})")
            seen.add(inner)
            places[inner] = f"{file}:{key_node.start_mark.line + 1}"
            _note_places(value_node, inner, file, places, above)
