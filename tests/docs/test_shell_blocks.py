"""Every command of every document: fada's parse, with recipes that exist and overrides that fit; cheap ones run."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from fada.cli import app as app_module
from fada.cli.doctor import EXTRAS
from fada.recipe import load_recipe
from tests.docs.shell_blocks import ROOT, Command, blocks, commands

BLOCKS = blocks("sh")
COMMANDS = [command for place, text in BLOCKS for command in commands(place, text)]
OURS = [command for command in COMMANDS if command.fada is not None]
STAND_INS = {
    "RECIPE": "real/small",
    "mine.yaml": "tiny/demo",
    "runs/my/recipe.yaml": "real/small",
    "runs/real-small/recipe.yaml": "real/small",
}
"""Recipes that a reader has, and one that is like them."""
OTHERS = {"hf", "source", "tensorboard", "ray", "ffplay", "cp", "echo", "mkdir", "pre-commit", "uv", "npm"}
"""Programs of others, whose options nobody here can check."""


def recorder(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Lets every verb note what it is given, in place of doing it."""
    given: list[dict[str, Any]] = []

    def record(**options: Any) -> None:
        given.append(options)

    def note(command: Any) -> None:
        inner = getattr(command, "commands", {})
        for each in inner.values():
            note(each)
        if not inner:
            monkeypatch.setattr(command, "callback", record)

    note(app_module._command())
    return given


def test_documents_have_blocks_of_commands() -> None:
    assert len(BLOCKS) > 70
    assert len(OURS) > 130


@pytest.mark.parametrize("command", OURS, ids=lambda command: f"{command.place} {' '.join(command.fada[:3])}")
def test_a_command_parses_and_its_recipe_takes_its_overrides(
    cli, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    given = recorder(monkeypatch)
    assert command.fada is not None
    outcome = cli(*command.fada)
    assert outcome.code == 0, f"{command.place}: {' '.join(command.words)}\n{outcome.err}"
    if not given:
        assert set(command.fada) & {"--help", "--version"}
        return
    (options,) = given
    for recipe in [options["recipe"]] if "recipe" in options else options.get("recipes", ()):
        named = STAND_INS.get(recipe, recipe)
        files = sorted(ROOT.glob(named)) if "*" in named else [named]
        assert files
        for file in files:
            load_recipe(file, options.get("overrides") or ())


def others(name: str) -> list[Any]:
    found = [command for command in COMMANDS if command.fada is None and command.words[0] == name]
    return [pytest.param(command, id=f"{command.place} {' '.join(command.words[:3])}") for command in found]


def test_every_program_is_known_here() -> None:
    known = {"make", "pip", "python", "pytest", *OTHERS}
    assert {command.words[0] for command in COMMANDS if command.fada is None} - known == set()


@pytest.mark.parametrize("command", others("make"))
def test_a_target_of_make_exists(command: Command) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert {word for word in command.words[1:] if "=" not in word} <= targets


@pytest.mark.parametrize("command", others("pip"))
def test_an_extra_that_is_installed_exists(command: Command) -> None:
    asked = re.findall(r"\[([\w,]+)\]", " ".join(command.words))
    assert {extra for each in asked for extra in each.split(",")} <= set(EXTRAS)


@pytest.mark.parametrize("command", others("python") + others("pytest"))
def test_what_python_runs_exists(command: Command) -> None:
    target = next(word for word in command.words[1:] if not word.startswith("-") or word == "-")
    if target == "-":
        compile(command.told, command.place, "exec")
    elif command.words[1] == "-m":
        assert importlib.util.find_spec(target) is not None
    elif command.words[1] != "-c":
        assert (ROOT / target).exists()


@pytest.mark.parametrize(("place", "text"), blocks("python"), ids=lambda value: value if ":" in value[:60] else "")
def test_a_block_of_python_compiles_and_imports_what_exists(place: str, text: str) -> None:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "fada":
            module = importlib.import_module(node.module or "")
            assert [name.name for name in node.names if not hasattr(module, name.name)] == [], place


CHEAP = [
    command
    for command in OURS
    if command.fada[:1] in (("doctor",), ("recipe",))
    or command.fada[:2] in (("world", "make"), ("ablate", "--orders"))
    or (command.fada[:2] == ("bench", "seeds") and command.fada[2].startswith("docs/"))
]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what commands of the documents read: in it one after the other runs, as a reader would run them."""
    folder = tmp_path_factory.mktemp("reader")
    shutil.copytree(ROOT / "recipes", folder / "recipes")
    results = folder / "docs" / "results"
    shutil.copytree(ROOT / "docs" / "results" / "open", results / "open")
    for name in ("exact.json", "ablations.json", "orders.md"):
        shutil.copy(ROOT / "docs" / "results" / name, results / name)
    return folder


def test_some_commands_are_cheap_enough_to_run() -> None:
    assert {command.fada[:2] for command in CHEAP} >= {("recipe", "list"), ("recipe", "check"), ("bench", "seeds")}


@pytest.mark.parametrize("command", CHEAP, ids=lambda command: f"{command.place} {' '.join(command.fada[:3])}")
def test_a_cheap_command_runs(cli, here: Path, monkeypatch: pytest.MonkeyPatch, command: Command) -> None:
    monkeypatch.chdir(here)
    words = []
    for word in command.fada:
        words += [str(path) for path in sorted(here.glob(word))] if "*" in word else [STAND_INS.get(word, word)]
    if "--clips" in words:
        words[words.index("--clips") + 1] = "1"
    outcome = cli(*[word for word in words if "recipes/data/" not in word])
    assert outcome.code == 0, outcome.err
    if command.into is not None:
        (here / command.into).write_text(outcome.out, encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    {command.fada: command for command in OURS if "--dry-run" in command.fada}.values(),
    ids=lambda command: f"{command.place} {' '.join(command.fada[:3])}",
)
def test_a_dry_run_prices_its_recipe(cli, here: Path, monkeypatch: pytest.MonkeyPatch, command: Command) -> None:
    monkeypatch.chdir(here)
    outcome = cli(*[STAND_INS.get(word, word) for word in command.fada])
    assert outcome.code == 0, outcome.err
    assert "TFLOP" in outcome.out or "GFLOP" in outcome.out
