"""Which model of a run is meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from fada.export.opening import find_model, find_teacher


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with a teacher and one student."""
    for model in ("teacher", "students/fast"):
        (tmp_path / model).mkdir(parents=True)
        (tmp_path / model / "model_index.json").write_text("{}")
    return tmp_path


def test_the_teacher_of_a_run_is_never_one_of_its_students(run: Path) -> None:
    assert find_model(run) == run / "students" / "fast"
    assert find_teacher(run) == run / "teacher"
    assert find_teacher(run / "teacher") == run / "teacher"


def test_a_model_that_is_named_is_that_one(run: Path) -> None:
    assert find_model(run, "teacher") == run / "teacher"
    with pytest.raises(ValueError, match="no model named 'slow'; choose from teacher, fast"):
        find_model(run, "slow")
