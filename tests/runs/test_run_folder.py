"""What may change between two starts of a run, and what may not."""

import json
from pathlib import Path

import pytest

from fada.eval.bench.environment import environment
from fada.recipe import load_recipe
from fada.recipe.errors import RecipeError
from fada.run import folder as run_folder
from fada.run.folder import check_run, open_run

BATCHES = ("distill.phases.balanced.batch={0}", "distill.phases.fast.batch={0}")


def batches(size: int) -> list[str]:
    return [
        *(each.format(size) for each in BATCHES),
        *(f"teacher.stages.{n}.batch={size}" for n in ("images", "clips")),
    ]


def test_processes_batch_and_accumulation_may_change_while_a_step_has_as_many_samples(smoke, tmp_path: Path) -> None:
    open_run(smoke(tmp_path, *batches(4)), processes=1)
    open_run(smoke(tmp_path, *batches(2)), processes=2)
    open_run(smoke(tmp_path, *batches(1), "engine.accumulate=2"), processes=2)
    refused = r"phases.0.samples_per_step was 4, is 8"
    with pytest.raises(RecipeError, match=refused):
        open_run(smoke(tmp_path, *batches(4)), processes=2)


def test_where_and_by_whom_clips_are_read_may_change(smoke, tmp_path: Path) -> None:
    open_run(smoke(tmp_path), processes=1)
    open_run(smoke(tmp_path, f"data.cache={{path: {tmp_path / 'c'}, gib: 2}}", "engine.data_workers=3"), processes=1)
    open_run(smoke(tmp_path), processes=1)


def test_stages_of_a_finished_teacher_are_not_compared(smoke, tmp_path: Path) -> None:
    given = ["teacher.path=elsewhere", *(each.format(2) for each in BATCHES)]
    open_run(smoke(tmp_path, *given), processes=1)
    open_run(smoke(tmp_path, *given, "teacher.stages.clips.batch=7"), processes=1)


def test_a_report_asks_for_no_processes_and_leaves_those_that_trained(smoke, tmp_path: Path) -> None:
    open_run(smoke(tmp_path, *batches(2)), processes=2)
    open_run(smoke(tmp_path, *batches(4)))
    assert load_recipe(tmp_path / "recipe.yaml").engine.processes == 2
    with pytest.raises(RecipeError, match=r"seed was 0, is 1"):
        open_run(smoke(tmp_path, "seed=1"))


def test_checking_writes_nothing(smoke, tmp_path: Path) -> None:
    check_run(smoke(tmp_path / "run"), processes=1)
    assert not (tmp_path / "run").exists()


def test_a_run_says_of_its_machine_what_its_report_says(smoke, tmp_path: Path) -> None:
    open_run(smoke(tmp_path))
    told = json.loads((tmp_path / "environment.json").read_text())
    assert run_folder.environment is environment
    assert {name: told[name] for name in environment()} == environment()
    assert told["packages"]["torch"] == environment()["torch"]
    assert set(told) == {*environment(), "platform", "packages", "command"}
