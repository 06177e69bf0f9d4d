"""Work in several processes: what dies is tried again or named, the rest goes on, and nothing outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import mortal_work
import psutil
import pytest

from fada.data.sampling.pool import in_processes
from fada.data.workers.crew import Lost
from fada.data.workers.process_crew import ProcessCrew, ProcessWorker
from fada.media.processors import usable_processors
from tests.seen_gpus import start_seeing

SCRIPT = """
import signal
import sys
# A shell's background jobs are born deaf to Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
from fada.data.sampling.pool import in_processes
from fada.data.workers.process_crew import ProcessCrew, ProcessWorker
import mortal_work
if __name__ == "__main__":
    list(in_processes(mortal_work.wait_for_ever, [sys.argv[1]] * 2, 2))
"""


def test_items_come_with_their_results() -> None:
    assert sorted(in_processes(mortal_work.work, ["a", "b", "c"], 2)) == [("a", "A"), ("b", "B"), ("c", "C")]
    assert list(in_processes(mortal_work.nothing, ["a"], 1)) == [("a", None)]
    assert list(in_processes(mortal_work.work, [], 2)) == []


def test_an_item_whose_process_dies_once_is_tried_again(tmp_path: Path) -> None:
    once = str(tmp_path / "died")
    found = dict(in_processes(mortal_work.work, ["a", once, "b"], 2))
    assert found == {"a": "A", "b": "B", once: once.upper()}


def test_an_item_that_kills_every_process_is_lost_and_the_others_are_not() -> None:
    found = dict(in_processes(mortal_work.work, ["a", "dies", "b", "c"], 2))
    assert found.pop("dies") == Lost("died", 2, "exit code -9")
    assert found == {"a": "A", "b": "B", "c": "C"}


def test_what_the_work_raises_is_raised_here() -> None:
    with pytest.raises(ValueError, match="raises: not to be had"):
        list(in_processes(mortal_work.work, ["raises"], 1))


def test_processes_share_the_processors_and_wait_without_spinning(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(mortal_work.PREFIXES):
            monkeypatch.delenv(name)
    workers = 2 * usable_processors()
    for _, found in in_processes(mortal_work.threads, ["x"] * workers, workers):
        assert {found[name] for name in ("torch", "OpenCV", "decoders", "OMP_NUM_THREADS")} == {"1"}
        assert (found["OMP_WAIT_POLICY"], found["KMP_BLOCKTIME"]) == ("PASSIVE", "0")
    assert "OMP_WAIT_POLICY" not in os.environ


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_no_worker_outlives_the_process_that_started_it(tmp_path: Path, how: signal.Signals) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    paths = [str(Path(__file__).parent), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    process = subprocess.Popen([sys.executable, script, tmp_path], env=environment, stderr=subprocess.DEVNULL)
    wait_until(lambda: len(list(tmp_path.glob("worker-*"))) == 2)
    workers = [int(file.name.removeprefix("worker-")) for file in tmp_path.glob("worker-*")]
    process.send_signal(how)
    process.wait(60)
    wait_until(lambda: not any(map(is_alive, workers)))


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until(condition) -> None:
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("nothing happened for a minute")


def test_every_process_sees_one_gpu_and_a_dead_ones_is_free_again() -> None:
    crew = ProcessCrew(3, start_seeing, gpus=("3", "5"))
    workers = [crew.hire() for _ in range(3)]
    try:
        assert [_said(crew, worker) for worker in workers] == ["3", "5", "3"]
        workers[1].kill()
        workers.append(crew.hire())
        assert _said(crew, workers[-1]) == "5"
    finally:
        for worker in workers:
            worker.kill()


def _said(crew: ProcessCrew, worker: ProcessWorker) -> str:
    """What a worker answers to a task, once it is ready."""
    assert crew.wait([worker], 60) == [worker]
    worker.take()
    worker.give("gpu")
    assert crew.wait([worker], 60) == [worker]
    return str(worker.take())
