"""Real processes under a launcher."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

WORKER = Path(__file__).parent / "worker.py"
LAUNCHER = Path(__file__).parent / "launcher.py"
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="session")
def start() -> Start:
    """``start(2, [order, …])`` starts two processes that train what the orders say, and returns their launcher."""

    def start(processes: int, orders: list[dict[str, Any]]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(LAUNCHER), str(processes), str(WORKER), json.dumps(orders, default=str)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"},
        )

    return start


@pytest.fixture(scope="session")
def finish(start: Start) -> Callable[..., str]:
    """The same, waited for; what they said. Fails with it where they fail."""

    def finish(processes: int, orders: list[dict[str, Any]]) -> str:
        launcher = start(processes, orders)
        said, _ = launcher.communicate(timeout=240)
        assert launcher.returncode == 0, said[-4000:]
        return said

    return finish
