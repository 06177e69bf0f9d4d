"""A command line that runs in this process, and a stand-in for what the training verbs call."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest

import fada
from fada.cli.app import run


@dataclass
class Outcome:
    """What a command line left behind."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """``cli("recipe", "list")`` runs ``fada recipe list``, on a terminal wide enough not to break words."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERMINAL_WIDTH", "200")
    monkeypatch.delenv("FADA_DEBUG", raising=False)

    def call(*arguments: str) -> Outcome:
        code = run(arguments)
        out, err = capfd.readouterr()
        return Outcome(code, out, err)

    return call


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Puts a recorder in the place of ``fada.jobs``; the list fills with (function, first argument)."""
    recorded: list[tuple[str, Any]] = []
    module = ModuleType("fada.jobs")

    class Priced:
        def print(self, console: Any) -> None:
            console.print("the price")

    def record(name: str) -> Callable[..., None]:
        return lambda argument, console=None: recorded.append((name, argument))

    for name in ("distill", "train_teacher", "bench", "prepare"):
        setattr(module, name, record(name))
    module.dry_run = lambda recipe: recorded.append(("dry_run", recipe)) or Priced()  # type: ignore[attr-defined]
    module.replay = lambda recipe, *_: recorded.append(("replay", recipe)) or Priced()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "fada.jobs", module)
    monkeypatch.setattr(fada, "jobs", module, raising=False)
    return recorded
