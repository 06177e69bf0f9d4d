"""The programs that make the site's pages, and the documents' shell blocks."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

from tests.cli.conftest import cli

__all__ = ["cli"]


@pytest.fixture
def assemble(project_root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """docs/site/assemble.py, which lies in no package."""
    monkeypatch.syspath_prepend(str(project_root / "docs" / "site"))
    return importlib.import_module("assemble")
