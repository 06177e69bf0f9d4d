"""Experiment trackers beside TensorBoard, by Accelerate's classes: Weights & Biases, MLflow, Trackio.

Each phase of a run is a run of the tracker's; its id stays in the folder, so that one that is resumed goes on there.
Nothing leaves this machine unless the user's environment says so (WANDB_MODE, MLFLOW_TRACKING_URI, TRACKIO_SPACE_ID),
and of the recipe only numbers and plain words are told: no place, no address.
"""

from __future__ import annotations

import importlib.util
import io
import os
import re
import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import numpy as np
from accelerate.tracking import LOGGER_TYPE_TO_CLASS

from fada.engine.tensorboard import TensorBoard
from fada.files.strict_json import read_table
from fada.files.whole import write_json
from fada.recipe.sections.running import TrackerName

IDS = "ids.json"
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_WORD = re.compile(r"[A-Za-z0-9_.+-]{1,64}")
"""A text that names a choice, and no place."""
QUANTILES = (0.05, 0.5, 0.95)
"""In place of a histogram, where a tracker has none."""


class Tracker(Protocol):
    """What takes in a phase's figures; any call may raise whatever the tracker raises."""

    name: str

    def resume(self, step: int) -> None:
        """The phase goes on behind this step; comes before everything else."""

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Figures by name."""

    def histogram(self, name: str, values: np.ndarray, step: int) -> None:
        """How values (N,), finite, are distributed."""

    def image(self, name: str, pixels: np.ndarray, step: int) -> None:
        """A picture uint8 (H, W, 3)."""

    def video(self, name: str, gif: bytes, size: tuple[int, int], step: int) -> None:
        """An animation of (height, width) pixels, as a GIF."""

    def flush(self) -> None:
        """What was taken in may now be looked at."""

    def close(self) -> None:
        """Finish; nothing comes after it."""


@dataclass(frozen=True)
class TrackedPhase:
    """What trackers are told of a phase.

    folder: of the run's trackers: their ids, and what they keep on this machine.
    project: they group runs by it; name: of the phase; facts: JSON-like, of its recipe.
    """

    folder: Path
    project: str
    name: str
    facts: Mapping[str, Any] = field(default_factory=dict)


def check_trackers(names: Sequence[TrackerName]) -> None:
    """Know that the packages of trackers are installed.

    Raises:
        ValueError: one is not.
    """
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise ValueError(
                f"engine.trackers: {name} is not installed here; run: pip install {name} (or 'fada[trackers]'), or "
                "leave it out"
            )


def open_trackers(names: Sequence[TrackerName], logs: Path, phase: TrackedPhase) -> list[Tracker]:
    """Trackers by name; nothing is started or written before there are figures.

    Args:
        logs: where TensorBoard's files go.
    """
    return [TensorBoard(logs) if name == "tensorboard" else _KINDS[name](phase) for name in names]


class _Accelerates:
    """A tracker of Accelerate's: started when the first figures come, in the run that the folder names."""

    name: str

    def __init__(self, phase: TrackedPhase) -> None:
        self.phase = phase
        # What each of them takes as the name of a group; MLflow looks for it between quotes.
        self.project = re.sub(r"[^\w. -]", "-", phase.project)
        self._started: Any = None

    def options(self, run: str | None) -> dict[str, Any]:
        """How the tracker's class is made; `run` is the id of the run that goes on."""
        raise NotImplementedError

    def run_id(self) -> str:
        """Of the run that was started."""
        raise NotImplementedError

    @property
    def started(self) -> Any:
        """Accelerate's tracker."""
        if self._started is None:
            file = self.phase.folder / IDS
            known = read_table(file) if file.is_file() else {}
            own = known.get(self.name)
            ids = own if isinstance(own, dict) else {}
            run = ids.get(self.phase.name)
            run = run if isinstance(run, str) and _ID.fullmatch(run) else None
            self.phase.folder.mkdir(parents=True, exist_ok=True)
            made = LOGGER_TYPE_TO_CLASS[self.name](self.project, **self.options(run))
            made.start()
            self._started = made
            if run is None:
                write_json(file, {**known, self.name: {**ids, self.phase.name: self.run_id()}})
                made.store_init_configuration(dict(told_of(self.phase.facts)))
        return self._started

    def resume(self, step: int) -> None:
        """Steps that are done again are told again: the numbers are the same ones."""

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        self.started.log(dict(values), step=step)

    def flush(self) -> None:
        """They see to it themselves."""

    def close(self) -> None:
        if self._started is not None:
            self._started.finish()


class _Wandb(_Accelerates):
    """Weights & Biases; offline, in the run's folder, unless WANDB_MODE says otherwise; `wandb sync` sends it later."""

    name = "wandb"

    def options(self, run: str | None) -> dict[str, Any]:
        import wandb

        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        self._run = run or secrets.token_hex(8)
        # Neither the console nor what it finds of code, machine and user: those are nobody's business.
        wanted = {"console": "off", "silent": True, "disable_code": True, "disable_git": True, "x_disable_meta": True,
                  "x_disable_machine_info": True, "x_save_requirements": False}  # fmt: skip
        known = getattr(wandb.Settings, "model_fields", {})
        return {
            "id": self._run,
            "name": self.phase.name,
            "resume": "allow",
            "dir": str(self.phase.folder),
            "mode": os.environ.get("WANDB_MODE", "offline"),
            "settings": wandb.Settings(**{name: value for name, value in wanted.items() if name in known}),
        }

    def run_id(self) -> str:
        return self._run

    def histogram(self, name: str, values: np.ndarray, step: int) -> None:
        import wandb

        self.started.log({name: wandb.Histogram(np_histogram=np.histogram(values, bins=64))}, step=step)

    def image(self, name: str, pixels: np.ndarray, step: int) -> None:
        self.started.log_images({name: [pixels]}, step=step)

    def video(self, name: str, gif: bytes, size: tuple[int, int], step: int) -> None:
        import wandb

        self.started.log({name: wandb.Video(io.BytesIO(gif), format="gif")}, step=step)


class _Mlflow(_Accelerates):
    """MLflow; a database in the run's folder unless MLFLOW_TRACKING_URI, or the caller, names a server."""

    name = "mlflow"
    _ours: str | None = None

    def options(self, run: str | None) -> dict[str, Any]:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        import mlflow

        # Of an earlier run of this process: mlflow keeps one address for all.
        if mlflow.is_tracking_uri_set() and mlflow.get_tracking_uri() != _Mlflow._ours:
            return {"run_id": run, "run_name": self.phase.name}
        folder = self.phase.folder.resolve()
        _Mlflow._ours = f"sqlite:///{folder / 'mlflow.db'}"
        mlflow.set_tracking_uri(_Mlflow._ours)
        return {"run_id": run, "run_name": self.phase.name, "logging_dir": (folder / "mlruns").as_uri()}

    def run_id(self) -> str:
        return str(self.started.tracker.info.run_id)

    def histogram(self, name: str, values: np.ndarray, step: int) -> None:
        found = np.quantile(values, QUANTILES)
        self.scalars({f"{name}/{share:g}": float(each) for share, each in zip(QUANTILES, found, strict=True)}, step)

    def image(self, name: str, pixels: np.ndarray, step: int) -> None:
        import mlflow

        assert self.started
        mlflow.log_image(pixels, artifact_file=f"{name}-{step:06d}.png")

    def video(self, name: str, gif: bytes, size: tuple[int, int], step: int) -> None:
        # The name may be one in folders.
        at = PurePosixPath(f"{name}-{step:06d}.gif")
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / at.name
            file.write_bytes(gif)
            self.started.log_artifact(str(file), None if str(at.parent) == "." else str(at.parent))


class _Trackio(_Accelerates):
    """Trackio, Hugging Face's, in its own folder on this machine unless TRACKIO_SPACE_ID names a Space."""

    name = "trackio"

    def options(self, run: str | None) -> dict[str, Any]:
        # Trackio knows runs by their names alone.
        self._run = run or f"{self.phase.name}-{secrets.token_hex(4)}"
        return {"name": self._run, "resume": "allow", "embed": False, "auto_log_gpu": False, "auto_log_cpu": False}

    def run_id(self) -> str:
        return self._run

    def histogram(self, name: str, values: np.ndarray, step: int) -> None:
        import trackio

        self.started.log({name: trackio.Histogram(values, num_bins=64)}, step=step)

    def image(self, name: str, pixels: np.ndarray, step: int) -> None:
        import trackio

        self.started.log({name: trackio.Image(pixels)}, step=step)

    def video(self, name: str, gif: bytes, size: tuple[int, int], step: int) -> None:
        import trackio

        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "video.gif"
            file.write_bytes(gif)
            self.started.log({name: trackio.Video(str(file), format="gif")}, step=step)


_KINDS: Mapping[str, Callable[[TrackedPhase], Tracker]] = {"wandb": _Wandb, "mlflow": _Mlflow, "trackio": _Trackio}


def told_of(facts: Any, name: str = "") -> Iterator[tuple[str, float | str]]:
    """Of JSON-like facts the numbers, truth values and plain words, by their dotted keys; places are left out."""
    if isinstance(facts, Mapping):
        for key, value in facts.items():
            yield from told_of(value, f"{name}.{key}" if name else str(key))
    elif isinstance(facts, list | tuple):
        for index, value in enumerate(facts):
            yield from told_of(value, f"{name}.{index}")
    elif isinstance(facts, bool | int | float) or (isinstance(facts, str) and _WORD.fullmatch(facts)):
        yield name, facts
