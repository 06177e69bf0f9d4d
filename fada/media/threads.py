"""How many threads the libraries of one process may start, and how these wait.

A pool of threads per worker process, each as large as the machine, is 25 to 50 times slower than one thread each: they
take the processors from one another and spin while they wait. Imports nothing heavy; libraries that are not imported
yet are told by the environment.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from fada.media.processors import usable_processors

_limit: int | None = None


def thread_variables(count: int) -> dict[str, str]:
    """What the environment of a process must say so that its libraries start ``count`` threads that sleep when idle.

    What the user has set holds.
    """
    pools = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")
    wanted = {**dict.fromkeys(pools, str(count)), "OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
    return {name: os.environ.get(name, value) for name, value in wanted.items()}


def limit_threads(count: int) -> None:
    """Let this process use ``count`` threads: decoders from now on, torch and OpenCV where they are imported."""
    global _limit
    _limit = count
    os.environ.update(thread_variables(count))
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(count)
    if (opencv := sys.modules.get("cv2")) is not None:
        opencv.setNumThreads(count)


def thread_limit() -> int:
    """Threads that one library of this process may start: what was set, or one for each usable processor."""
    return usable_processors() if _limit is None else _limit


@contextmanager
def inherited(variables: dict[str, str]) -> Iterator[None]:
    """Variables that a process started in this block inherits: libraries read them while they are imported."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
