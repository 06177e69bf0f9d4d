"""Stopping runs as Ctrl-C does, and nobody else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fada.files.folders import MARK
from fada.ui.running import STARTED_HERE, CannotRun, Runner

TRAINS = """
import os, signal, sys, time
from pathlib import Path
from fada.files.locks import locked
came = []
signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
run = next(Path(each).parent for each in sys.argv if each.endswith("recipe.yaml"))
print("arguments:", *sys.argv[1:], flush=True)
print("session:", os.getsid(0) == os.getpid(), flush=True)
with locked(run, "distilling"):
    (run / "begun").write_text("")
    while not came:
        time.sleep(0.02)
    time.sleep(0.3)
    (run / "stopped").write_text(str(len(came)))
sys.exit(130)
"""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "a run"
    folder.mkdir()
    (folder / MARK).write_text(json.dumps({"kind": "run"}))
    (folder / "recipe.yaml").write_text("name: x")
    (folder / "environment.json").write_text(json.dumps({"command": "fada distill"}))
    return folder


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    (tmp_path / "studio").mkdir()
    made = Runner(tmp_path / "studio", (sys.executable, "-c", TRAINS))
    yield made
    for started in made._started.values():
        started.process.kill()
        started.process.wait()


def until(is_so: Callable[[], object]) -> None:
    end = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_run_is_resumed_stopped_once_and_resumed_again(
    runner: Runner, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []
    send = os.kill
    monkeypatch.setattr(os, "kill", lambda process, number: sent.append(number) or send(process, number))
    runner.resume(run)
    assert runner.is_running(run)
    with pytest.raises(CannotRun, match="is running; stop it first"):
        runner.resume(run)
    until((run / "begun").exists)
    assert runner.can_stop(run)
    runner.stop(run)
    assert runner.is_stopping(run)
    assert not runner.can_stop(run)
    # A second signal would break it off before its checkpoint.
    runner.stop(run)
    assert sent == [signal.SIGINT]
    until(lambda: not runner.is_running(run))
    assert (run / "stopped").read_text() == "1"
    assert not runner.is_stopping(run)
    said = runner.said(run)
    assert f"arguments: distill {run}/recipe.yaml output={json.dumps(str(run))}" in said
    assert "session: True" in said
    runner.resume(run)
    assert not runner.is_stopping(run)


def test_the_verb_is_the_one_that_began_the_run(runner: Runner, run: Path) -> None:
    (run / "environment.json").write_text(json.dumps({"command": "fada teacher train float.yaml"}))
    runner.resume(run)
    until(lambda: "arguments:" in runner.said(run))
    assert "arguments: teacher train " in runner.said(run)


def test_a_run_that_was_started_elsewhere_is_stopped_by_its_lock(runner: Runner, run: Path) -> None:
    command = [sys.executable, "-c", TRAINS, str(run / "recipe.yaml")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as elsewhere:
        until((run / "begun").exists)
        assert runner.can_stop(run)
        assert runner.said(run) == ""
        runner.stop(run)
        runner.stop(run)
        assert elsewhere.wait(30) == 130
    assert (run / "stopped").read_text() == "1"


def test_of_processes_that_share_a_run_the_one_that_started_them_is_asked(runner: Runner, run: Path) -> None:
    parent = (
        "import os, signal, subprocess, sys\n"
        "came = []\nsignal.signal(signal.SIGINT, lambda *_: came.append(1))\n"
        f"child = subprocess.Popen([sys.executable, '-c', {TRAINS!r}, sys.argv[1]], env={{**os.environ, "
        f"{STARTED_HERE!r}: '1'}})\n"
        "signal.pause()\nchild.send_signal(signal.SIGINT)\nchild.wait()\nprint('asked', len(came))\n"
    )
    command = [sys.executable, "-c", parent, str(run / "recipe.yaml")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as launcher:
        until((run / "begun").exists)
        runner.stop(run)
        said = launcher.communicate(timeout=30)[0]
    assert said.endswith("asked 1\n")
    assert (run / "stopped").read_text() == "1"


def test_where_nobody_is_at_work_nobody_is_stopped(runner: Runner, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("somebody was stopped"))
    (run / ".fada.lock").write_text(json.dumps({"pid": os.getppid()}))
    with pytest.raises(CannotRun, match="no process of this machine is at work there"):
        runner.stop(run)


def test_what_is_no_run_is_not_started(runner: Runner, run: Path, tmp_path: Path) -> None:
    (run / "recipe.yaml").rename(tmp_path / "recipe.yaml")
    with pytest.raises(CannotRun, match=r"no run with a recipe.yaml"):
        runner.resume(run)
    (run / "recipe.yaml").symlink_to(tmp_path / "recipe.yaml")
    with pytest.raises(CannotRun, match=r"no run with a recipe.yaml"):
        runner.resume(run)
    (run / "recipe.yaml").unlink()
    (tmp_path / "recipe.yaml").rename(run / "recipe.yaml")
    (run / MARK).unlink()
    with pytest.raises(CannotRun, match=r"no run with a recipe.yaml"):
        runner.resume(run)


def test_the_mark_of_started_processes_is_that_of_the_launcher() -> None:
    from fada.engine import launch
    from fada.engine.signals import STOPPING

    assert STARTED_HERE == launch.STARTED_HERE
    assert signal.SIGINT in STOPPING
