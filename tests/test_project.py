"""Facts about the repository itself: links, packaging, wording."""

from __future__ import annotations

import ast
import gc
import importlib
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

LINKED = ("teacher", "student", "eval", "recipes")


@pytest.mark.parametrize("name", LINKED)
def test_the_top_level_folder_is_linked_into_the_package(project_root: Path, name: str) -> None:
    link = project_root / "fada" / name
    assert link.is_symlink()
    assert link.readlink() == Path("..") / name
    assert link.resolve() == project_root / name


@pytest.mark.parametrize("name", ["teacher", "student", "eval"])
def test_the_linked_folders_are_imported_as_parts_of_fada(name: str) -> None:
    assert importlib.import_module(f"fada.{name}").__name__ == f"fada.{name}"


def test_every_folder_with_python_in_it_is_a_package(project_root: Path) -> None:
    folders = {path.parent for top in ("fada", *LINKED[:3]) for path in (project_root / top).rglob("*.py")}
    assert [str(folder) for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []


def test_the_locks_name_no_index_and_no_place(project_root: Path) -> None:
    for lock in project_root.glob("requirements*.lock"):
        lines = lock.read_text(encoding="utf-8").splitlines()
        assert not any(line.startswith("-") or "://" in line or " /" in line for line in lines), lock


def test_ci_calls_check_and_test(project_root: Path) -> None:
    script = project_root / ".ci" / "run"
    assert "make check test" in script.read_text(encoding="utf-8")
    assert script.stat().st_mode & 0o111


def test_tests_that_share_a_fixture_go_to_one_process_and_the_longest_first(
    project_root: Path, pytestconfig: pytest.Config
) -> None:
    shared_out = pytestconfig.pluginmanager.get_plugin(str(project_root / "tests" / "conftest.py"))
    assert shared_out is not None
    named = [*(file for files in shared_out.TOGETHER for file in files), *shared_out.LONGEST]
    assert [name for name in named if not (project_root / name).exists()] == []
    # A group goes by its first file: only that can say how early it is begun.
    late = {file for files in shared_out.TOGETHER for file in files[1:]}
    assert late.isdisjoint(shared_out.LONGEST)
    group = shared_out.group_of
    assert group("tests/runs/test_processes.py::test_one[a::b]") == group("tests/runs/test_run.py::test_other")
    assert group("tests/media/test_audio.py::test_one[a::b]") == "tests/media/test_audio.py"


@pytest.mark.parametrize("collects", [True, False])
def test_the_collector_rests_while_packages_are_loaded_and_is_left_as_it_was(
    collects: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fada import jobs

    seen: list[bool] = []

    class Loaded(types.ModuleType):
        def __getattr__(self, name: str) -> None:
            seen.append(gc.isenabled())

    monkeypatch.setitem(sys.modules, "fada.run.replay", Loaded("fada.run.replay"))
    try:
        (gc.enable if collects else gc.disable)()
        importlib.reload(jobs)
        assert seen
        assert not any(seen)
        assert gc.isenabled() is collects
    finally:
        gc.enable()
        monkeypatch.undo()
        importlib.reload(jobs)


def test_processes_of_tests_keep_what_they_compile(
    project_root: Path, pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared_out = pytestconfig.pluginmanager.get_plugin(str(project_root / "tests" / "conftest.py"))
    assert shared_out is not None
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    shared_out.pytest_xdist_setupnodes()
    assert "PYTHONDONTWRITEBYTECODE" not in os.environ


def test_the_rate_of_sound_stands_in_one_place(project_root: Path) -> None:
    found = []
    for path in [path for top in ("fada", *LINKED[:3]) for path in (project_root / top).rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            given = node.args.defaults if isinstance(node, ast.FunctionDef) else [getattr(node, "value", None)]
            is_named = isinstance(node, (ast.FunctionDef, ast.Assign, ast.AnnAssign))
            if is_named and any(isinstance(each, ast.Constant) and each.value == 16000 for each in given):
                found.append(path.relative_to(project_root).as_posix())
    # A feature extractor's config, which comes from outside, may say nothing else.
    assert set(found) - {"fada/generation/avatar_pipeline.py"} == {
        "fada/media/sample_rate.py",
        "fada/pretrained/settings.py",
    }


def test_make_alone_lists_its_targets(project_root: Path) -> None:
    listed = subprocess.run(["make"], cwd=project_root, capture_output=True, text=True, check=True).stdout
    assert all(f"\n{target} " in f"\n{listed}" for target in ("env", "demo", "test", "check", "bench"))


def test_links_in_the_documents_lead_somewhere(project_root: Path) -> None:
    import re

    dead = []
    for page in [*project_root.glob("*.md"), *project_root.glob("docs/**/*.md")]:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
            if "://" not in target and not (page.parent / target).exists():
                dead.append(f"{page.relative_to(project_root)}: {target}")
    assert dead == []


def make_targets(project_root: Path) -> dict[str, str]:
    """Target of the Makefile → its commands."""
    import re

    text = (project_root / "Makefile").read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z-]+):.*\n((?:\t.*\n)*)", text, re.MULTILINE))


def test_the_workflow_runs_targets_and_verbs_that_exist(project_root: Path) -> None:
    import yaml

    from fada.cli.app import app
    from tests.cli.test_app import verbs

    workflow = yaml.safe_load((project_root / ".github" / "workflows" / "checks.yml").read_text(encoding="utf-8"))
    lines = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    made = {target for line in lines if line.startswith("make ") for target in line.split()[1:]}
    assert made >= {"check", "test", "docs", "wheel"}
    assert made <= set(make_targets(project_root))
    called = {part.split()[1] for line in lines for part in line.split(" && ") if part.startswith("fada ")}
    assert called - {"--version", "--help"} <= {verb[0] for verb in verbs(app)}


def test_commits_are_checked_by_the_tools_of_make_check(project_root: Path) -> None:
    import yaml

    settings = yaml.safe_load((project_root / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    (local,) = settings["repos"]
    entries = {hook["id"]: hook["entry"] for hook in local["hooks"]}
    assert local["repo"] == "local"
    # Each tool by its name and its verb; `make check` only asks whether the form is the common one.
    asked = {line.split("/")[1].split()[0] for line in make_targets(project_root)["check"].splitlines()}
    assert {entry.removeprefix(".venv/bin/").split()[0] for entry in entries.values()} == asked | {"fada"}
    assert all(entry.startswith(".venv/bin/") for entry in entries.values())


def test_the_citation_names_the_licence_of_the_package(project_root: Path) -> None:
    import tomllib

    import yaml

    citation = yaml.safe_load((project_root / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((project_root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert citation["license"] == project["license"]
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
