"""What every test runs under: no network, fixed seeds, few threads, no windows."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ["MPLBACKEND"] = "Agg"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["DS_ACCELERATOR"] = os.environ.get("DS_ACCELERATOR", "cpu")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def project_root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections leave the machine in no test; processes of one test may still talk to each other."""
    connect = socket.socket.connect

    def refuse_remote(self: socket.socket, address: object) -> None:
        host = address[0] if isinstance(address, tuple) else "localhost"
        if host not in ("localhost", "127.0.0.1", "::1") and self.family != socket.AF_UNIX:
            raise AssertionError(f"a test tried to reach {host}: tests need no network")
        connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", refuse_remote)


@pytest.fixture(autouse=True)
def _fixed_seeds() -> None:
    """Tests that forget their generator are still the same every time."""
    import random
    import sys

    random.seed(0)
    # Only where a test has loaded them already: importing torch costs seconds.
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)
