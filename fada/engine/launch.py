"""Starting the processes of a run with torch's launcher, and finding out whether somebody else has."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psutil
import torch

from fada.engine.failures import TrainingFailed
from fada.engine.loop import Interrupted
from fada.engine.signals import STARTED_HERE, on_stop
from fada.media.processors import usable_processors
from fada.media.threads import inherited


def is_started_here() -> bool:
    """Whether this process was started by `start_processes`."""
    return STARTED_HERE in os.environ


def processes_to_start(wanted: int | None) -> int:
    """How many processes this one should start; 1 where it is to do the work itself, or a launcher started it.

    Args:
        wanted: the recipe's number; None is one per GPU, or one.
    """
    adopt_slurm()
    if "RANK" in os.environ:
        return 1
    return wanted or max(1, torch.cuda.device_count())


def adopt_slurm() -> None:
    """Take rank and world from SLURM, where `srun` started several tasks and no launcher stands between."""
    environ = os.environ
    if "RANK" in environ or "SLURM_STEP_ID" not in environ or int(environ.get("SLURM_STEP_NUM_TASKS", "1")) < 2:
        return
    environ["RANK"] = environ["SLURM_PROCID"]
    environ["LOCAL_RANK"] = environ["SLURM_LOCALID"]
    environ["WORLD_SIZE"] = environ["SLURM_STEP_NUM_TASKS"]
    environ.setdefault("MASTER_ADDR", _first_node(environ["SLURM_STEP_NODELIST"]))
    environ.setdefault("MASTER_PORT", str(20000 + int(environ["SLURM_JOB_ID"]) % 20000))


def start_processes(count: int, arguments: Sequence[str]) -> None:
    """Run `fada ARGUMENTS` in so many processes on this machine, and wait for them.

    SIGINT and SIGTERM are passed on once, as a wish to stop: the processes save a checkpoint first. A second one kills.

    Raises:
        Interrupted: they stopped because they were asked to.
        TrainingFailed: one of them failed; its own message was printed.
    """
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # Its messages repeat ours, with tracebacks of its own inside.
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=0,
        monitor_interval=0.2,
        signals_to_handle="SIGQUIT",
    )
    threads = str(max(1, usable_processors() // count))
    ours = {STARTED_HERE: "1", "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads)}
    with inherited(ours), _passing_signals_on() as asked:
        try:
            elastic_launch(config, sys.executable)("-m", "fada", *arguments)
        except ChildFailedError as error:
            if not asked:
                rank, code = _cause({rank: failure.exitcode for rank, failure in error.failures.items()})
                raise TrainingFailed(_what_happened(rank, count, code)) from error
    if asked:
        raise Interrupted("stopped after a checkpoint; the same command resumes")


def _cause(codes: dict[int, int]) -> tuple[int, int]:
    """The process that failed on its own account: one that a signal ended took the others with it.

    SIGTERM is what the launcher itself sends to those that are left.
    """
    killed = [(rank, code) for rank, code in codes.items() if code < 0 and code != -signal.SIGTERM]
    failed = [(rank, code) for rank, code in codes.items() if code > 0]
    return min(killed or failed or list(codes.items()))


def _what_happened(rank: int, count: int, code: int) -> str:
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    why = " (often the system's answer to memory running out)" if code == -signal.SIGKILL else ""
    return (
        f"process {rank} of {count} {how}{why}; its message, if it had one, stands above. "
        "The same command goes on from the last checkpoint"
    )


@contextmanager
def _passing_signals_on() -> Iterator[list[int]]:
    """Within the block signals go to the processes below this one; yields those that came."""
    came: list[int] = []

    def pass_on(number: int) -> None:
        came.append(number)
        for child in psutil.Process().children(recursive=True):
            child.send_signal(signal.SIGTERM if len(came) == 1 else signal.SIGKILL)

    with on_stop(pass_on):
        yield came


def _first_node(nodes: str) -> str:
    """The first host of SLURM's compressed list."""
    try:
        listed = subprocess.run(["scontrol", "show", "hostnames", nodes], capture_output=True, text=True, check=True)
        return listed.stdout.split()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        # Without scontrol: node[03-07,09] begins with node03.
        stem, _, rest = nodes.partition("[")
        return stem + rest.split("]")[0].split(",")[0].split("-")[0] if rest else nodes.split(",")[0]
