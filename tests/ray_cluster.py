"""A Ray cluster of this machine for tests; tests that want one are skipped where there can be none."""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


@contextmanager
def cluster_here(python_path: Path, gpus: int = 0) -> Iterator[None]:
    """A cluster of two processors, for this machine only.

    Args:
        python_path: where workers find the modules of the tests.
        gpus: that it takes itself to have.
    """
    ray = pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_AUTH_MODE", "disabled")
        if not _starts(ray, python_path, gpus):
            pytest.skip("Ray's processes did not start within the 30 seconds it gives them: this machine is too busy")
        yield
        ray.shutdown()


def _starts(ray: Any, python_path: Path, gpus: int) -> bool:
    """Start it; whether Ray's processes came up in time."""
    # Before what is there: it may say which fada is tested.
    paths = [str(python_path), os.environ.get("PYTHONPATH", "")]
    try:
        ray.init(
            address="local",
            num_cpus=2,
            num_gpus=gpus,
            include_dashboard=False,
            object_store_memory=100 * 2**20,
            log_to_driver=False,
            logging_level="ERROR",
            _node_ip_address="127.0.0.1",
            # Before what is there: it may say which fada is tested.
            runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join(filter(None, paths))}},
        )
        return True
    except Exception as error:
        ray.shutdown()
        if "timed out during startup" not in str(error):
            raise
    with warnings.catch_warnings():
        # Ray forgets the processes it started.
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    return False
