"""LibYAML reads what PyYAML's own reader reads, as it reads it, and has no words of its own."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from fada.files import plain_yaml
from fada.files.plain_yaml import YAMLFault, parse_yaml, quick_loader
from fada.recipe import reading
from fada.recipe.errors import RecipeError
from fada.recipe.reading import read_yaml

MEAN = (
    "a: {\tb: 1}\n",
    "a: {b?: 1}\n",
    "#c\n\ufeffa: 1\n",
    "? k\n: v\n\ufeff",
    "a: >-#\n  z\n",
    "a: |\n  x\n y: 1\n",
    "a: b\x85c: d\n",
    "a: b\u2028c: d\n",
    "a: 1\r\nb: 2\r",
    "a: \ud800\n",
    "a: \x07\n",
    "a: [\n",
    "a: &x 1\na: *x\n",
    "a: !!int 3\n",
    "",
)
"""Texts that the two readers take differently, and some that neither takes."""
GROUND = (
    "a: &x {b: 1}\nc: *x\n",
    "a: 'it''s'\nb: \"\\n\\u263a\"\n",
    "- a\n- - b\n  - c\n",
    "%YAML 1.1\n---\na: 1\n...\n",
    "a: {b: [1, x, {c: d}], e: }\n",
    "#c\na: 1 # d\n",
    "a:\n- 1\n-  2\nb: x\n",
)
SIGNS = ":-?[]{},&*!|>'\"%@`#~ \t\n\r\x85\u2028\x00\x07\ufeff\U0001f600\ud800<=/\\.019eE_"
PARTS = (*SIGNS, "\n  ", "\n- ", ": ", "? ", "---\n", "...\n", "&a ", "*a", "<<: ", "!!x ", "\\x", "# ", "|\n", ">\n  ")


def damaged(number: int) -> str:
    """A text with a few characters put in, taken out or doubled."""
    choose = random.Random(number)
    text = choose.choice(GROUND)
    for _ in range(choose.choice((1, 1, 1, 2, 3))):
        place, other = choose.randrange(len(text) + 1), choose.randrange(len(text) + 1)
        put = choose.choice((choose.choice(PARTS), text[other : other + 10], ""))
        text = text[:place] + put + text[place + (0 if put else choose.randrange(1, 4)) :]
    return text


def recipe(text: str) -> Any:
    try:
        return read_yaml(text, "mine.yaml")
    except RecipeError as error:
        return str(error)


def foreign(text: str) -> Any:
    try:
        return parse_yaml(text)
    except YAMLFault as error:
        return str(error)


@pytest.mark.skipif(not yaml.__with_libyaml__, reason="PyYAML was built without LibYAML")
def test_whoever_reads_says_the_same(project_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = [path.read_text(encoding="utf-8") for path in sorted(project_root.glob("recipes/**/*.yaml"))]
    texts = [*MEAN, *(damaged(number) for number in range(1500)), *shipped]
    assert sum(quick_loader(text) is not None for text in texts) > 700
    read = [(recipe(text), foreign(text)) for text in texts]
    monkeypatch.setattr(reading, "quick_loader", lambda text: None)
    monkeypatch.setattr(plain_yaml, "quick_loader", lambda text: None)
    for text, (as_recipe, as_foreign) in zip(texts, read, strict=True):
        assert repr(as_recipe) == repr(recipe(text)), repr(text)
        assert repr(as_foreign) == repr(foreign(text)), repr(text)


@pytest.mark.skipif(not yaml.__with_libyaml__, reason="PyYAML was built without LibYAML")
def test_shipped_recipes_are_read_quickly(project_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (project_root / "recipes" / "tiny" / "smoke.yaml").read_text(encoding="utf-8")
    monkeypatch.setattr(yaml, "SafeLoader", None)
    assert read_yaml(text, "smoke.yaml")[0]["name"] == "smoke"


def test_without_libyaml_pythons_reader_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    assert read_yaml("a: [1, x]\n", "x")[0] == {"a": [1, "x"]}
    assert parse_yaml("a: [1, x]\n") == {"a": [1, "x"]}


def test_nothing_deep_is_given_to_a_reader_without_a_watched_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    load = yaml.load
    monkeypatch.setattr(yaml, "load", lambda text, Loader: given.append(Loader) or load(text, Loader))
    for depth in (32, 33):
        assert parse_yaml("[" * depth + "]" * depth)
    assert [issubclass(each, yaml.SafeLoader) for each in given] == [not yaml.__with_libyaml__, True]
