"""Work on items that ends its process for some of them; importable in worker processes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

PREFIXES = ("OMP_", "OPENBLAS_", "MKL_", "KMP_", "OPENCV_")


def work(item: str) -> str:
    """Dies always of "dies", once of a path that is not there yet; raises for "raises"; else says its item."""
    if item == "raises":
        raise ValueError("raises: not to be had")
    path = Path(item)
    if item == "dies" or (path.is_absolute() and not path.exists()):
        if path.is_absolute():
            path.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return item.upper()


def nothing(item: str) -> None:
    """Has no result."""


def threads(item: str) -> dict[str, str]:
    """The environment's words about threads, and how many a decoder may start."""
    import cv2
    import torch

    from fada.media.threads import thread_limit

    found = {name: value for name, value in os.environ.items() if name.startswith(PREFIXES)}
    pools = {"torch": torch.get_num_threads(), "OpenCV": cv2.getNumThreads(), "decoders": thread_limit()}
    return {**found, **{name: str(count) for name, count in pools.items()}}


def wait_for_ever(item: str) -> None:
    """Leaves its process number in a folder, then hangs."""
    (Path(item) / f"worker-{os.getpid()}").touch()
    time.sleep(1000)
