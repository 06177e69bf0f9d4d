"""A finished run of the smoke recipe, made once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from fada import build
from fada.recipe import load_recipe
from fada.recipe.schema import Recipe

QUIET = Console(quiet=True)


Smoke = Callable[..., Recipe]


@pytest.fixture(scope="session")
def smoke() -> Smoke:
    """``smoke(folder, "key=value", …)``: the smoke recipe with another output, and overrides."""
    return lambda folder, *overrides: load_recipe("tiny/smoke", [f"output={folder}", *overrides])


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, smoke: Smoke) -> Path:
    """A finished run of the smoke recipe."""
    folder = tmp_path_factory.mktemp("run") / "smoke"
    build.distill(smoke(folder), QUIET)
    build.bench(smoke(folder), QUIET)
    return folder
