"""The trackers' own packages, offline: two starts of a phase are one run, and their files have what was told.

Run by `make test-extras`, in an environment with the extra of that name.
"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from fada.engine.objective import StepLoss
from fada.engine.parallel import ParallelSettings, new_accelerator
from fada.engine.run_log import RunLog
from fada.engine.trackers import TrackedPhase, check_trackers, open_trackers
from fada.files.strict_json import read_table

pytestmark = [pytest.mark.trackers, pytest.mark.filterwarnings("default")]
PIXELS = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
FACTS = {"seed": 3, "data": {"train": "s3://me:hunter2@host/clips"}}


def train(folder: Path, name: Any, first: int) -> tuple[RunLog, str]:
    """Three steps, two lines, a picture and a video; and the id of the run."""
    new_accelerator(ParallelSettings(precision="fp32"), batch=1)
    check_trackers((name,))
    phase = TrackedPhase(folder / "trackers", "demo's", "fast", FACTS)
    log = RunLog(folder / "work", "fast", Console(quiet=True), trackers=open_trackers((name,), folder / "work", phase))
    log.resume(first)
    for step in range(first + 1, first + 4):
        log.collect([StepLoss(torch.tensor(0.0), {}, {"x": torch.arange(9.0)}, [])], 0.5 * step, 0.1, 1e-3, 0.01)
        if step != first + 2:
            log.flush(step)
    log.image("preview", PIXELS, first + 3)
    log.video("shown/talking", np.stack([PIXELS] * 3), first + 3, fps=25.0)
    log.close()
    # One that had failed would be gone.
    assert len(log._trackers) == 1
    return log, read_table(folder / "trackers" / "ids.json")[name]["fast"]


@pytest.fixture(autouse=True)
def _at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their own folders are those of this test, and nothing of the environment leads elsewhere."""
    for name in ("WANDB_MODE", "MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_NAME", "TRACKIO_SPACE_ID"):
        monkeypatch.delenv(name, raising=False)
    for name in ("WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR", "TRACKIO_DIR", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))


def test_wandb_has_both_starts_under_one_id(tmp_path: Path) -> None:
    _, first = train(tmp_path, "wandb", 0)
    _, again = train(tmp_path, "wandb", 3)
    assert first == again
    files = sorted((tmp_path / "trackers" / "wandb").glob(f"offline-run-*-{first}/run-{first}.wandb"))
    assert len(files) == 2
    for file in files:
        assert b"train/loss" in file.read_bytes()
        assert {path.suffix for path in file.parent.glob("files/media/**/*") if path.is_file()} == {".png", ".gif"}
    told = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"hunter2" not in told


def test_mlflow_has_both_starts_in_one_run(tmp_path: Path) -> None:
    _, first = train(tmp_path, "mlflow", 0)
    _, again = train(tmp_path, "mlflow", 3)
    assert first == again
    base = sqlite3.connect(tmp_path / "trackers" / "mlflow.db")
    assert base.execute("select run_uuid, name, status from runs").fetchall() == [(first, "fast", "FINISHED")]
    losses = base.execute("select step, value from metrics where key = 'train/loss' order by step").fetchall()
    # Each line is the mean since the line before: of step 1, of 2 and 3, of 4, of 5 and 6.
    assert losses == [(1, 0.5), (3, 1.25), (4, 2.0), (6, 2.75)]
    middle = base.execute("select value from metrics where key = 'train/x/0.5'").fetchall()
    assert {value for (value,) in middle} == {4.0}
    assert base.execute("select key, value from params").fetchall() == [("seed", "3")]
    base.close()
    kept = {path.name for path in (tmp_path / "trackers" / "mlruns").rglob("*-00000?.*")}
    assert kept == {
        f"{name}-{step:06d}.{kind}" for name, kind in (("preview", "png"), ("talking", "gif")) for step in (3, 6)
    }


def test_trackio_has_both_starts_in_one_run(tmp_path: Path) -> None:
    _, first = train(tmp_path, "trackio", 0)
    _, again = train(tmp_path, "trackio", 3)
    assert first == again
    base = sqlite3.connect(tmp_path / "home" / "demo-s.db")
    told = [(name, step, json.loads(line)) for name, step, line in base.execute(
        "select run_name, step, metrics from metrics order by id")]  # fmt: skip
    base.close()
    assert {name for name, *_ in told} == {first}
    losses = [(step, values["train/loss"]) for _, step, values in told if "train/loss" in values]
    assert losses == [(1, 0.5), (3, 1.25), (4, 2.0), (6, 2.75)]
    kinds = {name: value["_type"] for *_, values in told for name, value in values.items() if isinstance(value, dict)}
    assert kinds == {"train/x": "trackio.histogram", "preview": "trackio.image", "shown/talking": "trackio.video"}
