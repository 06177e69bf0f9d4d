"""A run's folder is taken before anything is written, and held by one command at a time."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from fada import jobs
from fada.cli.app import run as fada
from fada.files.errors import FolderBusy, FolderFault
from fada.files.folders import kind_of
from fada.recipe.errors import RecipeError
from fada.recipe.schema import Recipe
from fada.run.folder import check_run, open_run, working_in

QUIET = Console(quiet=True)
HOLDER = """
import sys
from collections.abc import Callable
from pathlib import Path
from fada.files.folders import take_folder
from fada.files.locks import locked
with locked(Path(sys.argv[1]), "distilling"):
    take_folder(Path(sys.argv[1]), "run")
    print("held", flush=True)
    sys.stdin.readline()
print("went on", flush=True)
"""
"""A run without what is slow to start: torch."""


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("work", [jobs.distill, jobs.train_teacher, jobs.bench, jobs.prepare])
def test_a_folder_with_files_that_fada_did_not_make_is_refused_before_anything_is_written(
    smoke, tmp_path: Path, work
) -> None:
    clone = tmp_path / "clone"
    for name in ("teacher/model.py", "student/network.py", "recipes/tiny/smoke.yaml", "README.md"):
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).write_text("mine")
    before = tree(clone)
    with pytest.raises(FolderFault, match=r"clone: holds files that fada did not make \(README.md, recipes, student, "):
        work(smoke(clone), QUIET)
    assert tree(clone) == before


def test_a_run_of_an_earlier_version_is_known_by_its_recipe_and_environment(smoke, tmp_path: Path) -> None:
    open_run(smoke(tmp_path))
    (tmp_path / ".fada.json").unlink()
    with working_in(smoke(tmp_path), "distilling"):
        assert kind_of(tmp_path) == "run"
    (tmp_path / ".fada.json").unlink()
    (tmp_path / "environment.json").write_text("[]")
    with pytest.raises(FolderFault, match="holds files that fada did not make"):
        open_run(smoke(tmp_path))


def test_a_recipe_that_cannot_be_read_says_what_to_do(smoke, tmp_path: Path) -> None:
    open_run(smoke(tmp_path))
    (tmp_path / "recipe.yaml").write_text("")
    with pytest.raises(
        RecipeError, match=r"recipe.yaml: says what .* was begun with, and cannot be read .*move this f"
    ):
        check_run(smoke(tmp_path))
    (tmp_path / "recipe.yaml").unlink()
    open_run(smoke(tmp_path))
    assert check_run(smoke(tmp_path)) is not None


def test_a_link_in_a_run_is_not_written_through(smoke, tmp_path: Path) -> None:
    run, secret = tmp_path / "run", tmp_path / "keys"
    open_run(smoke(run))
    secret.write_text("mine")
    (run / "environment.json").unlink()
    (run / "environment.json").symlink_to(secret)
    (run / "environment.json.tmp").symlink_to(secret)
    open_run(smoke(run))
    assert secret.read_text() == "mine"
    (tmp_path / "elsewhere").mkdir()
    (run / "data").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FolderFault, match=r"run/data: is a link"):
        jobs.distill(smoke(run), QUIET)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_the_second_command_in_a_folder_is_refused_by_name_and_the_first_goes_on(smoke, tmp_path: Path, capfd) -> None:
    first = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert first.stdin is not None
    assert first.stdout is not None
    assert first.stdout.readline() == "held\n"
    before = tree(tmp_path)
    wanted = rf"{tmp_path}: is in use \(process {first.pid} on \S+, distilling, since .*\); wait until it has ended"
    for work in (jobs.distill, jobs.train_teacher, jobs.bench, jobs.prepare):
        with pytest.raises(FolderBusy, match=wanted):
            work(smoke(tmp_path), QUIET)
    assert fada(["distill", "tiny/smoke", f"output={tmp_path}"]) == 2
    assert f"is in use (process {first.pid} on " in capfd.readouterr().err
    assert tree(tmp_path) == before
    assert first.communicate("\n")[0] == "went on\n"
    assert first.returncode == 0
    with working_in(smoke(tmp_path), "distilling"):
        pass


def test_leftovers_of_a_kill_go_with_the_next_start_and_files_of_others_stay(smoke, tmp_path: Path) -> None:
    open_run(smoke(tmp_path))
    for place in (".", "students", "work/fast/targets"):
        (tmp_path / place / f".fada-{'0' * 16}.partial").mkdir(parents=True)
        (tmp_path / place / f".fada-{'1' * 16}.partial.safetensors").write_text("half")
        (tmp_path / place / ".partial-mine").write_text("mine")
    open_run(smoke(tmp_path))
    left = [name for name in os.listdir(tmp_path) + os.listdir(tmp_path / "students") if "partial" in name]
    assert left == [".partial-mine", ".partial-mine"]
    assert os.listdir(tmp_path / "work/fast/targets") == [".partial-mine"]


def test_a_report_removes_only_its_own_scalars_and_takes_no_folder_of_others(smoke, finished: Path, tmp_path) -> None:
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    mine = run / "report" / "events.out.tfevents.1700000000.desk.1.0"
    mine.write_bytes(b"mine")
    (ours,) = run.glob("report/events.out.tfevents.*.fada-report")
    jobs.bench(smoke(run), QUIET)
    assert mine.read_bytes() == b"mine"
    assert not ours.exists()
    assert len(list(run.glob("report/events.out.tfevents.*.fada-report"))) == 1
    # A report of an earlier version is known by its results.
    (run / "report" / ".fada.json").unlink()
    jobs.bench(smoke(run), QUIET)
    assert json.loads((run / "report" / ".fada.json").read_text()) == {"kind": "report"}
    shutil.rmtree(run / "report")
    (run / "report").mkdir()
    (run / "report" / "thesis.tex").write_text("mine")
    with pytest.raises(FolderFault, match=r"report: holds files that fada did not make \(thesis.tex\)"):
        jobs.bench(smoke(run), QUIET)


def test_a_dry_run_says_where_the_run_could_not_be(tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    (tmp_path / "teacher").mkdir()
    (tmp_path / "teacher" / "thesis.py").write_text("mine")
    with pytest.raises(FolderFault, match=r"teacher: holds files that fada did not make \(thesis.py\)"):
        jobs.dry_run(tiny(tmp_path / "teacher"))
    with working_in(tiny(tmp_path / "run"), "training"):
        pass
    lines = jobs.dry_run(tiny(tmp_path / "run", "seed=9")).lines
    assert any(line.startswith(f"note: {tmp_path / 'run'}: holds a run of another recipe (seed was") for line in lines)
    assert not any(line.startswith("note:") for line in jobs.dry_run(tiny(tmp_path / "run")).lines)
