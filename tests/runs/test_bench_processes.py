"""`fada bench --processes`: clips shared by real processes give the rows of one, and are found again."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from fada import jobs
from fada.eval.bench.results import BenchResults

QUIET = Console(quiet=True)


def quality(folder: Path) -> list[dict[str, Any]]:
    """What was measured of every clip; names, marks and seeds included, times left out."""
    rows = BenchResults.load(folder / "report" / "results.json").rows
    kept = ("system", "clip", "seed", "nfe", "fingerprint", "metrics", "reasons")
    return [{key: row.get(key) for key in kept} for row in rows]


@pytest.mark.slow
def test_two_processes_measure_what_one_does(finished: Path, smoke, tmp_path: Path) -> None:
    for name in ("one", "two"):
        shutil.copytree(finished, tmp_path / name)
        shutil.rmtree(tmp_path / name / "report")
    jobs.bench(smoke(tmp_path / "one", "bench.clips=2"), QUIET)
    words = ["bench", "tiny/smoke", f"output={tmp_path / 'two'}", "bench.clips=2", "--processes", "2"]
    done = subprocess.run([sys.executable, "-m", "fada", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {f"process {rank}" for rank in (0, 1)} <= {line.split(":")[0] for line in done.stdout.splitlines()}
    assert quality(tmp_path / "two") == quality(tmp_path / "one")
    assert (tmp_path / "two" / "report" / "index.html").is_file()
