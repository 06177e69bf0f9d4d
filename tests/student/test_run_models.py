"""Which model of a run is meant: the recipe says so, and times of files mean nothing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import yaml

from fada.export.run_export import ExportError, export_run
from fada.export.run_models import ModelChoice, default_model, label_of, models_of


def put_model(folder: Path, steps: int, age: int) -> None:
    folder.mkdir(parents=True)
    index = folder / "model_index.json"
    index.write_text(f'{{"steps": {steps}}}')
    os.utime(index, (1_700_000_000 - age,) * 2)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run whose last student has the oldest files, as after a copy in another order."""
    folder = tmp_path / "run"
    put_model(folder / "teacher", 25, 0)
    put_model(folder / "students" / "balanced", 6, 10)
    put_model(folder / "students" / "fast", 6, 20)
    put_model(folder / "students" / "another", 9, 5)
    recipe = {"distill": {"phases": [{"name": "balanced"}, {"name": "fast"}]}}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return folder


def test_the_student_is_that_of_the_recipe_s_last_phase_whatever_the_times(run: Path, tmp_path: Path) -> None:
    assert list(models_of(run)) == ["teacher", "balanced", "fast", "another"]
    assert default_model(run) == run / "students" / "fast"
    copied = Path(shutil.copytree(run, tmp_path / "copy", copy_function=shutil.copyfile))
    assert default_model(copied) == copied / "students" / "fast"


def test_where_the_last_phase_is_not_finished_the_last_finished_one_is_meant(run: Path) -> None:
    shutil.rmtree(run / "students" / "fast")
    assert default_model(run) == run / "students" / "balanced"


@pytest.mark.parametrize("recipe", [None, "", "[", "distill: 3", "distill: {phases: [3]}", "name: a"])
def test_without_a_recipe_that_says_so_the_only_student_is_meant_and_several_are_refused(
    run: Path, recipe: str | None
) -> None:
    (run / "recipe.yaml").unlink()
    if recipe is not None:
        (run / "recipe.yaml").write_text(recipe)
    with pytest.raises(
        ModelChoice, match=r"run: holds another, balanced, fast, and no recipe.yaml .*name one with --st"
    ):
        default_model(run)
    shutil.rmtree(run / "students" / "balanced")
    shutil.rmtree(run / "students" / "another")
    assert default_model(run) == run / "students" / "fast"


def test_of_a_run_without_students_the_teacher_is_meant_and_of_an_empty_one_nothing(run: Path) -> None:
    shutil.rmtree(run / "students")
    assert default_model(run) == run / "teacher"
    shutil.rmtree(run / "teacher")
    with pytest.raises(ModelChoice, match="run: holds no model; finish the run first"):
        default_model(run)


def test_what_was_put_aside_or_is_being_written_is_no_student(run: Path) -> None:
    put_model(run / "students" / "fast.aside-1", 6, 0)
    put_model(run / "students" / ".fada-0123456789abcdef.partial", 6, 0)
    assert list(models_of(run)) == ["teacher", "balanced", "fast", "another"]


def test_a_label_says_where_a_model_lies_and_its_steps(run: Path) -> None:
    assert label_of(run / "students" / "fast") == "students/fast (6 steps)"
    assert label_of(run / "teacher") == "teacher (25 steps)"
    (run / "teacher" / "model_index.json").write_text("[]")
    assert label_of(run / "teacher") == "teacher"


def test_an_export_takes_the_recipe_s_last_student_and_a_run_without_one_is_refused(
    student_run: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(student_run, tmp_path / "run"))
    shutil.copytree(run / "students" / "fast", run / "students" / "slow")
    with pytest.raises(ValueError, match=r"holds fast, slow, and no recipe.yaml that says which is last"):
        export_run(run, tmp_path / "model")
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    (run / "recipe.yaml").write_text(yaml.safe_dump({**recipe, "distill": {"phases": [{"name": "fast"}]}}))
    assert (export_run(run, tmp_path / "model") / "model_index.json").is_file()
    shutil.rmtree(run / "students")
    with pytest.raises(ExportError, match="holds no finished student"):
        export_run(run, tmp_path / "other")
