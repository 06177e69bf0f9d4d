"""Experiment trackers: what they are told, in which run, and what becomes of a training whose tracker fails.

Weights & Biases is a stand-in here, so that nothing is installed; the packages themselves: test_trackers_installed.py.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from fada.engine import trackers
from fada.engine.objective import StepLoss
from fada.engine.parallel import ParallelSettings, new_accelerator
from fada.engine.run_log import RunLog
from fada.engine.trackers import TrackedPhase, check_trackers, open_trackers, told_of
from fada.files.whole import write_json
from fada.recipe.loading import load_recipe
from fada.run.folder import check_run, open_run

FACTS = {
    "engine": {"precision": "bf16", "lr": 1e-4, "is_on": True},
    "seed": 3,
    "data": {"train": "s3://me:hunter2@h/x"},
}
PIXELS = np.zeros((4, 6, 3), np.uint8)


@pytest.fixture(autouse=True)
def _accelerate_is_there() -> None:
    """As in every training: its trackers ask it which process this is."""
    new_accelerator(ParallelSettings(precision="fp32"), batch=1)


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The runs that a stand-in of wandb was asked for: how, and what was logged."""
    runs: list[dict[str, Any]] = []
    module: Any = ModuleType("wandb")

    def init(**options: Any) -> SimpleNamespace:
        runs.append({"asked": options, "logged": [], "is_finished": False})
        own = runs[-1]
        return SimpleNamespace(
            log=lambda values, step, **_: own["logged"].append((step, values)),
            finish=lambda: own.update(is_finished=True),
        )

    class Settings(SimpleNamespace):
        model_fields = ("console", "disable_git")

    module.init, module.Settings = init, Settings
    module.Image = lambda pixels: ("image", pixels.shape)
    module.Histogram = lambda np_histogram: ("histogram", np_histogram)
    module.Video = lambda stream, format: ("video", format, stream.getvalue()[:3])
    module.config = SimpleNamespace(update=lambda values, allow_val_change: runs[-1].update(config=values))
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    return runs


def log_of(home: Path, name: str = "fast", *more: Any, project: str = "demo") -> RunLog:
    made = open_trackers(("wandb",), home / "work" / name, TrackedPhase(home / "trackers", project, name, FACTS))
    return RunLog(home / "work" / name, name, Console(file=io.StringIO(), width=200), True, [*more, *made])


def take(log: RunLog, *steps: int) -> None:
    """Steps whose loss is their number, each with a line of its own."""
    for step in steps:
        losses = [StepLoss(torch.tensor(0.0), {"error": 0.5}, {"x": torch.tensor([0.0, 1.0, float("nan")])}, [])]
        log.collect(losses, float(step), 0.1, 1e-3, 0.01)
        log.flush(step)


def test_a_tracker_is_told_what_the_log_has(tmp_path: Path, wandb: list[dict[str, Any]]) -> None:
    log = log_of(tmp_path)
    take(log, 1, 2)
    log.image("preview", PIXELS, 2)
    log.video("talking", np.stack([PIXELS] * 3), 2, fps=25.0)
    log.close()
    (run,) = wandb
    lines = [json.loads(line) for line in (tmp_path / "work" / "fast" / "log.jsonl").read_text().splitlines()]
    scalars = [(step, values) for step, values in run["logged"] if "train/loss" in values]
    assert scalars == [(line.pop("step"), {f"train/{name}": value for name, value in line.items()}) for line in lines]
    (histogram, *_) = [values["train/x"] for _, values in run["logged"] if "train/x" in values]
    # Zero and one; what is not a number is left out.
    assert histogram[1][0].sum() == 2
    assert (2, {"preview": [("image", (4, 6, 3))]}) in run["logged"]
    assert (2, {"talking": ("video", "gif", b"GIF")}) in run["logged"]
    assert run["is_finished"]


def test_nothing_is_started_before_there_are_figures(tmp_path: Path, wandb: list[dict[str, Any]]) -> None:
    log_of(tmp_path).close()
    assert wandb == []
    assert not (tmp_path / "trackers").exists()


def test_a_phase_goes_on_in_its_run_and_another_has_its_own(tmp_path: Path, wandb: list[dict[str, Any]]) -> None:
    for name in ("fast", "balanced", "fast"):
        log = log_of(tmp_path, name, project="a/demo's")
        take(log, 1)
        log.close()
    first, other, again = (run["asked"] for run in wandb)
    assert first["id"] == again["id"] != other["id"]
    assert (first["resume"], first["name"], first["project"]) == ("allow", "fast", "a-demo-s")
    # What a run is made of is said once: it may not change.
    assert "config" in wandb[0]
    assert "config" not in wandb[2]


def test_an_id_that_is_none_is_not_taken(tmp_path: Path, wandb: list[dict[str, Any]]) -> None:
    write_json(tmp_path / "trackers" / "ids.json", {"wandb": {"fast": "../../elsewhere"}, "mlflow": {"fast": "kept"}})
    take(log_of(tmp_path), 1)
    assert wandb[0]["asked"]["id"].isalnum()
    assert json.loads((tmp_path / "trackers" / "ids.json").read_text()) == {
        "mlflow": {"fast": "kept"},
        "wandb": {"fast": wandb[0]["asked"]["id"]},
    }


def test_it_is_offline_unless_the_environment_says_otherwise(
    tmp_path: Path, wandb: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    take(log_of(tmp_path / "a"), 1)
    monkeypatch.setenv("WANDB_MODE", "online")
    take(log_of(tmp_path / "b"), 1)
    assert [run["asked"]["mode"] for run in wandb] == ["offline", "online"]
    assert wandb[0]["asked"]["dir"] == str(tmp_path / "a" / "trackers")
    # Of what it may leave out it is asked for what this version knows.
    assert vars(wandb[0]["asked"]["settings"]) == {"console": "off", "disable_git": True}


def test_places_and_addresses_are_not_told(tmp_path: Path, wandb: list[dict[str, Any]]) -> None:
    take(log_of(tmp_path), 1)
    assert wandb[0]["config"] == {"engine.precision": "bf16", "engine.lr": 1e-4, "engine.is_on": True, "seed": 3}
    assert dict(told_of({"a": ["x", "/home/me", "C:\\me", "me@host", None, {"b": 2}]})) == {"a.0": "x", "a.5.b": 2}
    assert "hunter2" not in "".join(file.read_text() for file in tmp_path.rglob("*") if file.is_file())


class Fails:
    """A tracker whose disk is full from step 2 on."""

    name = "fails"

    def __init__(self) -> None:
        self.told: list[int] = []
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True
        raise OSError("no space left")

    def scalars(self, values: Any, step: int) -> None:
        self.told.append(step)
        if step == 2:
            raise OSError("no space left")

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


def test_a_tracker_that_fails_is_left_out_and_the_others_go_on(tmp_path: Path, wandb: list[dict[str, Any]]) -> None:
    fails = Fails()
    log = log_of(tmp_path, "fast", fails)
    take(log, 1, 2, 3)
    assert fails.told == [1, 2]
    assert fails.is_closed
    assert [step for step, values in wandb[0]["logged"] if "train/loss" in values] == [1, 2, 3]
    lines = (tmp_path / "work" / "fast" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3]
    said = log.console.file.getvalue()
    assert said.count("fails: OSError: no space left; the training goes on without this tracker") == 1


def test_without_trackers_the_log_alone_is_written(tmp_path: Path) -> None:
    log = RunLog(tmp_path, "fast", Console(quiet=True), trackers=[])
    take(log, 1)
    log.close()
    assert [path.name for path in tmp_path.iterdir()] == ["log.jsonl"]


def test_a_process_that_is_not_the_main_one_tells_nobody(tmp_path: Path, wandb: list[dict[str, Any]]) -> None:
    phase = TrackedPhase(tmp_path / "trackers", "demo", "fast")
    log = RunLog(tmp_path, "fast", Console(quiet=True), False, open_trackers(("wandb",), tmp_path, phase))
    log.resume(0)
    take(log, 1)
    log.image("preview", PIXELS, 1)
    assert wandb == []


@pytest.mark.parametrize("name", ["wandb", "mlflow", "trackio"])
def test_a_package_that_is_missing_is_named(name: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trackers.importlib.util, "find_spec", lambda each: None if each == name else each)
    words = rf"engine.trackers: {name} is not installed here; run: pip install {name} \(or 'fada\[trackers\]'\)"
    with pytest.raises(ValueError, match=words):
        check_trackers(("tensorboard", name))
    check_trackers(("tensorboard",))


def test_a_run_goes_on_with_other_trackers(tmp_path: Path) -> None:
    at = f"output={tmp_path / 'run'}"
    open_run(load_recipe("tiny/smoke", [at]), processes=1)
    assert check_run(load_recipe("tiny/smoke", [at, "engine.trackers=[tensorboard, wandb]"]), 1) is not None
