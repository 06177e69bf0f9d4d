"""YAML text to plain data, with the line of every key; what YAML could mean twice, or what could swell, is refused.

A recipe's YAML is what all YAML versions read alike: texts, decimal numbers, true, false, null, lists and mappings.
PyYAML reads YAML 1.1, where `no` is false, `010` is 8 and `1:30` is 90; such values are errors that say what to write.
Nothing of the text is built before its size, depth and expansion are known, as aliases can name each other.
"""

from __future__ import annotations

import math
import re
from typing import Any, Protocol

import yaml

from fada.files.plain_yaml import quick_loader
from fada.recipe.errors import KeyPath, RecipeError, dotted, shown

MOST_BYTES = 2**20
"""Of a recipe, or of an override."""
MOST_NODES = 10_000
"""Values and keys, each alias counted with all that it stands for; the largest shipped recipe has 300."""
DEEPEST = 32
"""Lists and mappings within each other."""
MOST_DIGITS = 18
"""Of a whole number."""

_DIGITS = r"[0-9]+(_[0-9]+)*"
_INTEGER = re.compile(rf"[-+]?(0|(?!0){_DIGITS})")
_FLOAT = re.compile(rf"[-+]?(\.[0-9]+|{_DIGITS}(\.({_DIGITS})?)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, Any] = {
    **{word: value for text, value in (("true", True), ("false", False), ("null", None)) for word in
       (text, text.capitalize(), text.upper())},
    **{"": None, "~": None},
}  # fmt: skip
_SAID_TWICE = re.compile(r"yes|no|on|off|y|n", re.IGNORECASE)
_NOT_FINITE = re.compile(r"[-+]?\.inf|\.nan", re.IGNORECASE)
_OTHER_BASE = re.compile(r"[-+]?0([xX][0-9a-fA-F_]+|[oO]?[0-7_]+|[bB][01_]+|[0-9_]+)")
_SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt \t].*)?")


class _Mark(Protocol):
    """Where something stands."""

    line: int


def read_yaml(text: str, file: str) -> tuple[Any, dict[KeyPath, str]]:
    """The data in ``text`` and, for every key path, its place as ``file:line``.

    Raises:
        RecipeError: the text is not YAML, gives a key twice, contains itself, holds a value that could be read in two
            ways, or is larger than any recipe.
    """
    return _Reader(file).read(text)


def parse_value(text: str, override: str) -> Any:
    """The value of an override, read as a recipe's YAML.

    Args:
        override: blamed for what is wrong with it.

    Raises:
        RecipeError: as `read_yaml`.
    """
    return _Reader(override, has_lines=False).read(text)[0]


class _Reader:
    """Reads one text; knows how to name a place in it, and how much it has read."""

    def __init__(self, source: str, has_lines: bool = True) -> None:
        self._source, self._has_lines = source, has_lines
        self._nodes = 0
        self._places: dict[KeyPath, str] = {}

    def read(self, text: str) -> tuple[Any, dict[KeyPath, str]]:
        size = len(text.encode("utf-8", "surrogatepass"))
        if size > MOST_BYTES:
            raise RecipeError(f"{self._source}: {size} bytes are no recipe; at most {MOST_BYTES}")
        try:
            node = self._quickly_composed(text) or self._composed(text, yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            raise RecipeError(f"{self._at(error.problem_mark)}: {self._explained(error, text)}") from error
        except yaml.YAMLError as error:
            said = " ".join(str(error).split())
            raise RecipeError(f"{self._source}: not YAML: {said}; remove what is no text") from error
        return (None if node is None else self._value(node, (), frozenset())), self._places

    def _quickly_composed(self, text: str) -> yaml.Node | None:
        """The text by LibYAML; None where it is not there, or refuses what is for Python's reader to judge."""
        loader = quick_loader(text)
        try:
            return None if loader is None else self._composed(text, loader)
        except (yaml.YAMLError, UnicodeError, RecipeError):
            return None

    def _composed(self, text: str, loader: Any) -> yaml.Node | None:
        self._check_size(text, loader)
        return yaml.compose(text, Loader=loader)

    def _check_size(self, text: str, loader: Any) -> None:
        """Know that the text is no larger or deeper than a recipe before any of it is kept."""
        depth = 0
        for count, event in enumerate(yaml.parse(text, Loader=loader)):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > DEEPEST:
                raise RecipeError(f"{self._at(event.start_mark)}: more than {DEEPEST} lists or mappings in each other")
            if count > 2 * MOST_NODES:
                raise self._too_many(event.start_mark)
            tag = getattr(event, "tag", None)
            if tag is not None:
                shown = tag.replace("tag:yaml.org,2002:", "!!")
                raise RecipeError(
                    f"{self._at(event.start_mark)}: tags such as {shown[:40]!r} have no meaning in a recipe; write the "
                    "value alone"
                )

    def _value(self, node: yaml.Node, path: KeyPath, above: frozenset[int]) -> Any:
        self._nodes += 1
        if id(node) in above:
            raise RecipeError(f"{self._at(node.start_mark)}: {dotted(path)}: an alias contains itself")
        if self._nodes > MOST_NODES:
            raise self._too_many(node.start_mark)
        if isinstance(node, yaml.ScalarNode):
            return node.value if node.style else self._plain(node, path)
        above = above | {id(node)}
        if isinstance(node, yaml.SequenceNode):
            return [self._entry(entry, (*path, index), above) for index, entry in enumerate(node.value)]
        assert isinstance(node, yaml.MappingNode)
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node, path)
            inner = (*path, key)
            if key in found:
                first = f" (first in line {self._places[inner].rsplit(':', 1)[1]})" if self._has_lines else ""
                raise RecipeError(f"{self._at(key_node.start_mark)}: {dotted(inner)}: given twice{first}")
            self._places[inner] = self._at(key_node.start_mark)
            found[key] = self._value(value_node, inner, above)
        return found

    def _entry(self, node: yaml.Node, path: KeyPath, above: frozenset[int]) -> Any:
        self._places[path] = self._at(node.start_mark)
        return self._value(node, path, above)

    def _key(self, node: yaml.Node, path: KeyPath) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise RecipeError(f"{self._at(node.start_mark)}: {dotted(path) or 'recipe'}: a key must be one word")
        if not node.style and node.value == "<<":
            raise RecipeError(
                f"{self._at(node.start_mark)}: {dotted((*path, '<<'))}: keys are not merged in a recipe; write them out"
            )
        self._nodes += 1
        return str(node.value)

    def _plain(self, node: yaml.ScalarNode, path: KeyPath) -> Any:
        """The value of a scalar without quotes."""
        text = str(node.value)
        if text in _WORDS:
            return _WORDS[text]
        if _INTEGER.fullmatch(text):
            if len(text.replace("_", "")) > MOST_DIGITS:
                raise self._refused(node, path, f"a number of {len(text)} digits; give at most {MOST_DIGITS}")
            return int(text)
        fault = _ambiguity(text)
        if fault is not None:
            raise self._refused(node, path, fault)
        if _FLOAT.fullmatch(text):
            number = float(text) if len(text) <= 100 else math.inf
            if not math.isfinite(number):
                raise self._refused(node, path, "a number that is too large or too long; give a finite one")
            return number
        return text

    def _refused(self, node: yaml.Node, path: KeyPath, fault: str) -> RecipeError:
        where = f"{dotted(path)}: " if path else ""
        return RecipeError(f"{self._at(node.start_mark)}: {where}{fault}")

    def _too_many(self, mark: _Mark | None) -> RecipeError:
        return RecipeError(
            f"{self._at(mark)}: more than {MOST_NODES} values, aliases counted with what they stand for; no recipe is "
            "that large"
        )

    def _at(self, mark: _Mark | None) -> str:
        return f"{self._source}:{mark.line + 1}" if self._has_lines and mark is not None else self._source

    def _explained(self, error: yaml.MarkedYAMLError, text: str) -> str:
        said = str(error.problem or error.context)
        if "\\t" in said:
            return "not YAML: a tab stands where only spaces may; indent with spaces"
        if "expected a single document" in f"{error.context}":
            return "several documents in one text; a recipe is one, without '---' between"
        if self._has_lines:
            return f"not YAML: {said}"
        return f"the value {shown(text)} is not YAML ({said}); quote it if it is a text"


def _ambiguity(text: str) -> str | None:
    """What to say of a plain scalar that readers of YAML take for different things."""
    said, quoted = f"{text[:40]} is %s to some readers of YAML", f"or {text[:40]!r} in quotes if it is a text"
    if _SAID_TWICE.fullmatch(text):
        return f"{said % 'a truth value'}; write true or false, {quoted}"
    if _NOT_FINITE.fullmatch(text):
        return f"{text} is not finite; give a number"
    if _OTHER_BASE.fullmatch(text):
        return f"{said % 'not decimal'}; write it in decimal, without a zero before it, {quoted}"
    if _SEXAGESIMAL.fullmatch(text):
        return f"{said % 'a number in base 60'}; write it out, {quoted}"
    if _DATE.fullmatch(text):
        return f"{said % 'a date'}; write {quoted.removeprefix('or ')}"
    return None
