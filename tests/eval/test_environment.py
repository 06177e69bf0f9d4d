"""What a report says about where it was measured."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from fada.eval.bench import environment


def test_the_environment_can_be_written_and_names_no_place() -> None:
    text = json.dumps(environment.environment())
    assert str(Path(environment.__file__).resolve().parents[2]) not in text


def test_the_commit_is_that_of_the_source_tree() -> None:
    commit = environment.source_commit()
    if not (Path(environment.__file__).resolve().parents[2] / ".git").exists():
        assert commit is None
    else:
        assert re.fullmatch(r"[0-9a-f]{12}(-dirty)?", str(commit))


def test_an_installed_package_has_no_commit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(environment, "__file__", str(tmp_path / "site-packages" / "eval" / "bench" / "environment.py"))
    assert environment.source_commit() is None
    (tmp_path / "site-packages" / ".git").mkdir(parents=True)
    assert environment.source_commit() is None
