import os
import signal

import pytest

from fada.engine import launch


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment without any launcher's variables, given back afterwards."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "MASTER_"))}
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", launch.STARTED_HERE):
        clean.pop(name, None)
    monkeypatch.setattr(os, "environ", clean)
    return clean


def test_the_recipe_says_how_many(environ) -> None:
    assert launch.processes_to_start(3) == 3
    assert launch.processes_to_start(None) >= 1


def test_a_launchers_process_starts_none(environ) -> None:
    environ["RANK"] = "1"
    assert launch.processes_to_start(3) == 1


def test_slurms_tasks_are_ranks(environ) -> None:
    environ.update(
        SLURM_STEP_ID="0", SLURM_STEP_NUM_TASKS="4", SLURM_PROCID="3", SLURM_LOCALID="1", SLURM_JOB_ID="123456",
        SLURM_STEP_NODELIST="gpu[07-08,12]", PATH="",
    )  # fmt: skip
    assert launch.processes_to_start(8) == 1
    assert [environ[name] for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR")] == ["3", "1", "4", "gpu07"]
    assert 20000 <= int(environ["MASTER_PORT"]) < 40000


def test_a_batch_script_of_slurm_is_not_a_task(environ) -> None:
    environ.update(SLURM_PROCID="0", SLURM_NTASKS="4", SLURM_JOB_ID="1")
    assert launch.processes_to_start(2) == 2


@pytest.mark.parametrize(
    ("codes", "cause"),
    [
        ({0: 2, 1: -signal.SIGKILL}, (1, -signal.SIGKILL)),
        ({0: -signal.SIGTERM, 1: 2}, (1, 2)),
        ({0: -signal.SIGTERM}, (0, -signal.SIGTERM)),
    ],
)
def test_the_cause_is_not_who_was_taken_along(codes: dict[int, int], cause: tuple[int, int]) -> None:
    assert launch._cause(codes) == cause
