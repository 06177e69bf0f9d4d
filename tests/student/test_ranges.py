"""Numbers that a pipeline refuses, of its config and of a call."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fada.generation.pipelines import open_pipeline
from fada.generation.ranges import PipelineConfigError, check_call, check_config, check_portrait
from fada.pretrained.errors import ModelFolderError

GOOD = {"frames": 12, "motion_frames": 2, "context": 2, "fps": 25.0, "size": 64, "steps": 6, "audio_scale": 6.5,
        "reference_scale": 2.5, "is_student": True, "gamma": None, "guidance": "auto"}  # fmt: skip


def test_what_recipes_make_is_good() -> None:
    check_config(GOOD)
    check_config(GOOD | {"gamma": 0.3, "fps": 30, "motion_frames": 0, "context": 0, "audio_scale": 0})


HOSTILE = [
    ("frames", 0, "frames: must be a whole number from 1 to 512, got 0"),
    ("frames", -1, "frames: must be a whole number"),
    ("frames", 10**9, "frames: must be a whole number"),
    ("frames", 12.5, "frames: must be a whole number"),
    ("frames", True, "frames: must be a whole number"),
    ("frames", "12", "frames: must be a whole number"),
    ("frames", None, "frames: must be a whole number"),
    ("motion_frames", -1, "motion_frames: must be a whole number from 0"),
    ("motion_frames", 13, "motion_frames: at most the 12 frames of a clip can precede the next, got 13"),
    ("context", -1, "context: must be a whole number from 0"),
    ("context", 10**9, "context: must be a whole number from 0"),
    ("fps", math.nan, "fps: must be a number from 1 to 240, got nan"),
    ("fps", math.inf, "fps: must be a number"),
    ("fps", 0, "fps: must be a number"),
    ("fps", [25], "fps: must be a number"),
    ("size", 0, "size: must be a whole number from 8 to 4096, got 0"),
    ("size", 10**6, "size: must be a whole number"),
    ("steps", 10**9, "steps: must be a whole number from 1 to 1000, got 1000000000"),
    ("steps", 0, "steps: must be a whole number"),
    ("audio_scale", math.nan, "audio_scale: must be a number from 0 to 100, got nan"),
    ("reference_scale", -math.inf, "reference_scale: must be a number"),
    ("gamma", 2.0, "gamma: must be a number from 0 to 1, got 2.0"),
    ("gamma", math.nan, "gamma: must be a number"),
    ("is_student", "yes", "is_student: must be true or false, got 'yes'"),
    ("guidance", "mine", "guidance: got 'mine'; choose from auto, ladder, embedded, none"),
]


@pytest.mark.parametrize(("name", "value", "message"), HOSTILE)
def test_a_hostile_config_is_refused(name: str, value: Any, message: str) -> None:
    with pytest.raises(PipelineConfigError) as caught:
        check_config(GOOD | {name: value})
    assert f"the model's config: {message}" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("frames", 0, r"model_index\.json: frames: .* greater than or equal to 1, got 0"),
        ("steps", 10**9, r"model_index\.json: steps: .* less than or equal to 1000, got 1000000000"),
        ("fps", math.nan, r"model_index\.json: holds NaN, numbers must be finite"),
    ],
)
def test_a_folder_with_a_hostile_config_is_refused_when_it_is_opened(
    student_run: Path, tmp_path: Path, name: str, value: Any, message: str
) -> None:
    shutil.copytree(student_run / "students" / "fast", tmp_path / "m")
    index = tmp_path / "m" / "model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {name: value}))
    with pytest.raises(ModelFolderError, match=message):
        open_pipeline(tmp_path / "m")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("num_windows", 10**9, "count must be at most 1000, got 1000000000"),
        ("num_windows", 2.5, "count must be at least 1, got 2.5"),
        ("num_train_timesteps", 10**9, "num_train_timesteps must be at most 100000"),
        ("beta_end", math.nan, "beta_end must be a number from 0 up to 1, got nan"),
        ("timestep_offset", 10**9, "timestep_offset must be 0 or -1"),
    ],
)
def test_a_hostile_scheduler_is_refused(student_run: Path, name: str, value: Any, message: str) -> None:
    from fada.diffusion.scheduler import PeRFlowScheduler

    config = json.loads((student_run / "students" / "fast" / "scheduler" / "scheduler_config.json").read_text())
    with pytest.raises(ValueError, match=message):
        PeRFlowScheduler.from_config(config | {name: value})


CALL: dict[str, Any] = {"steps": None, "seed": 0, "max_frames": None}


@pytest.mark.parametrize(
    ("name", "value"),
    [("steps", 0), ("steps", 10**9), ("steps", 2.0), ("seed", 2**64), ("seed", None), ("seed", 1.5),
     ("max_frames", 0), ("look_ahead", math.nan), ("look_ahead", -0.1)],
)  # fmt: skip
def test_a_call_that_cannot_be_meant_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{name}: must be a (whole )?number from"):
        check_call(**CALL | {name: value})


def test_a_usual_call_is_good() -> None:
    check_call(**CALL | {"steps": np.int64(6), "seed": -1, "look_ahead": 0.5})


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8), np.zeros((4, 0, 3), np.uint8), [[1, 2, 3]], None]
)
def test_what_is_no_picture_is_refused(image: Any) -> None:
    with pytest.raises(ValueError, match=r"image: must be pixels uint8 \(H, W, 3\)"):
        check_portrait(image)
