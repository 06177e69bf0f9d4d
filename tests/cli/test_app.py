"""The command as a whole: help, errors, exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib

import pytest
import typer

from fada import __version__
from fada.cli import app as app_module
from fada.cli.app import app, main
from fada.cli.failures import expected_message
from fada.recipe import RecipeError


def verbs(group: typer.Typer, prefix: tuple[str, ...] = ()) -> list[list[str]]:
    """Every command of the program."""
    found = [[*prefix, command.name or command.callback.__name__] for command in group.registered_commands]
    for inner in group.registered_groups:
        found += verbs(inner.typer_instance, (*prefix, str(inner.name)))
    return found


VERBS = [verb for verb in verbs(app) if verb != ["recipe", "list"]]
"""All but the one that takes nothing."""


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_every_verb_has_help_with_an_example(cli, verb: list[str]) -> None:
    outcome = cli(*verb, "--help")
    assert outcome.code == 0
    assert "Example" in outcome.out
    assert f"fada {' '.join(verb)}" in outcome.out


def test_help_imports_no_heavy_package() -> None:
    code = (
        "import sys; from fada.cli.app import run; run(['--help']); "
        "print(sorted({'torch', 'numpy', 'diffusers', 'transformers', 'av', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")


def test_module_and_script_are_the_same_command() -> None:
    done = subprocess.run([sys.executable, "-m", "fada", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"fada {__version__}"


def test_the_version_stands_in_one_place(project_root) -> None:
    settings = tomllib.loads((project_root / "pyproject.toml").read_text(encoding="utf-8"))
    assert "version" in settings["project"]["dynamic"]
    assert settings["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "fada.__version__"}


def test_a_wrong_recipe_is_one_line_and_exit_code_2(cli) -> None:
    outcome = cli("recipe", "show", "tiny/dmo")
    assert outcome.code == 2
    assert outcome.err.startswith("error: tiny/dmo: no such file; did you mean 'tiny/demo'?")
    assert "Traceback" not in outcome.err


def test_brackets_in_a_message_are_printed_as_they_are(cli) -> None:
    assert "['a[1]" in cli("recipe", "show", "tiny/smoke", "seed=['a[1]']").err


@pytest.mark.parametrize("arguments", [("--debug", "recipe", "show", "no"), ("recipe", "show", "no", "--debug")])
def test_debug_shows_the_error_itself(cli, arguments: tuple[str, ...]) -> None:
    with pytest.raises(RecipeError):
        cli(*arguments)


def test_the_rank_that_deepspeeds_launcher_adds_is_no_option(cli) -> None:
    done = cli("--local_rank=1", "recipe", "list")
    assert done.code == 0, done.err


def test_debug_can_be_an_environment_variable(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FADA_DEBUG", "1")
    with pytest.raises(RecipeError):
        cli("recipe", "show", "no")


def test_a_wrong_option_is_exit_code_2(cli) -> None:
    assert cli("world", "make", "out", "--clips", "0").code == 2


def test_an_unknown_verb_is_exit_code_2(cli) -> None:
    assert cli("destill").code == 2


def test_ctrl_c_is_exit_code_130(cli, calls, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(recipe: object, console: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["fada.jobs"], "distill", interrupted)
    assert cli("distill", "tiny/smoke").code == 130


def test_a_run_that_stopped_cleanly_says_how_to_go_on(cli, calls, monkeypatch: pytest.MonkeyPatch) -> None:
    from fada.engine.loop import Interrupted

    def stopped(recipe: object, console: object) -> None:
        raise Interrupted("stopped at step 3 of 9; the same command resumes")

    monkeypatch.setattr(sys.modules["fada.jobs"], "distill", stopped)
    outcome = cli("distill", "tiny/smoke")
    assert outcome.code == 130
    assert outcome.err == "stopped at step 3 of 9; the same command resumes\n"


def test_our_own_faults_keep_their_traceback(cli, calls, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(recipe: object, console: object) -> None:
        raise KeyError("a fault in the program")

    monkeypatch.setattr(sys.modules["fada.jobs"], "distill", broken)
    with pytest.raises(KeyError):
        cli("distill", "tiny/smoke")


def _raised_by(code: str, module: str) -> Exception:
    try:
        exec(compile(code, "somewhere", "exec"), {"__name__": module})
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def test_a_value_error_of_our_own_code_is_expected() -> None:
    assert expected_message(_raised_by("raise ValueError('frames must be positive')", "fada.data.x")) is not None


def test_a_value_error_of_another_package_is_not() -> None:
    assert expected_message(_raised_by("raise ValueError('shape mismatch')", "numpy")) is None


def test_a_missing_file_is_named() -> None:
    assert expected_message(_raised_by("open('/no/such/file')", "json")) == "/no/such/file: No such file or directory"


def test_a_missing_extra_says_how_to_install_it() -> None:
    error = ModuleNotFoundError("No module named 'mediapipe'", name="mediapipe")
    assert expected_message(error) == "mediapipe is not installed; run: pip install 'fada[data]'"


def test_a_missing_module_of_the_base_is_our_fault() -> None:
    assert expected_message(ModuleNotFoundError("No module named 'fada.x'", name="fada.x")) is None


def test_main_exits_with_the_code_of_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["fada", "--version"])
    with pytest.raises(SystemExit) as stop:
        app_module.main()
    assert stop.value.code == 0


@pytest.mark.parametrize(("given", "found"), [(None, "passive"), ("active", "active")])
def test_threads_wait_passively_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, given: str | None, found: str
) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", given or "")
    if given is None:
        monkeypatch.delenv("OMP_WAIT_POLICY")
    monkeypatch.setattr("sys.argv", ["fada", "--version"])
    with pytest.raises(SystemExit):
        main()
    assert os.environ["OMP_WAIT_POLICY"] == found


def test_the_verbs_are_made_once_for_all_command_lines_of_a_process(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[typer.Typer] = []
    get_command = typer.main.get_command
    monkeypatch.setattr("typer.main.get_command", lambda each: made.append(each) or get_command(each))
    app_module._command.cache_clear()
    assert [cli("--version").code for _ in range(3)] == [0, 0, 0]
    assert made == [app]
