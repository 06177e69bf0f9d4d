"""The examples run as they are told to, in a process of their own, and do what they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

NAMES = ("image_model", "family_of_your_own", "metric_of_your_own", "plain_diffusers")


def run(project_root: Path, name: str, folder: Path) -> str:
    """What an example prints, run outside of the project: of it only the file is there."""
    made = subprocess.run(
        [sys.executable, str(project_root / "examples" / f"{name}.py"), str(folder)],
        cwd=folder,
        env={**os.environ, "PYTHONWARNINGS": "error::UserWarning:fada"},
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    return made.stdout


def test_every_example_has_its_test_and_is_named_in_the_guide(project_root: Path) -> None:
    guide = (project_root / "docs" / "guides" / "own-model.md").read_text(encoding="utf-8")
    assert {path.stem for path in (project_root / "examples").glob("*.py")} == set(NAMES)
    assert [name for name in NAMES if f"examples/{name}.py" not in guide] == []


def test_an_image_model_is_distilled_in_forty_lines_and_beats_as_many_evaluations(
    project_root: Path, tmp_path: Path
) -> None:
    text = (project_root / "examples" / "image_model.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 40
    found = re.search(r"undistilled: ([\d.]+), of 4 distilled: ([\d.]+)", run(project_root, "image_model", tmp_path))
    assert found is not None
    undistilled, distilled = map(float, found.groups())
    assert distilled < 0.8 * undistilled


def test_a_family_in_one_file_goes_from_its_teacher_to_a_video(project_root: Path, tmp_path: Path) -> None:
    printed = run(project_root, "family_of_your_own", tmp_path)
    # A second of sound at 25 frames per second, by clips of four: a fast student's six steps are six evaluations.
    assert "25 frames in 7 clips, 6 evaluations each" in printed
    assert (tmp_path / "video.mp4").stat().st_size > 0
    assert (tmp_path / "run" / "students" / "fast" / "model_index.json").is_file()


def test_a_metric_of_your_own_stands_in_the_report(project_root: Path, tmp_path: Path) -> None:
    printed = run(project_root, "metric_of_your_own", tmp_path)
    # Smoothing over n pixels makes of a step of one n steps of 1/n: the squares sum to 1/n.
    assert "teacher-75: sharpness 1.000\nteacher-2x3: sharpness 0.250\nfast-6: sharpness 0.500" in printed
    assert "sharpness →1" in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_plain_diffusers_opens_and_samples_a_student(project_root: Path, tmp_path: Path) -> None:
    assert "PeRFlowScheduler, 4 windows: (2, 16, 16, 3)" in run(project_root, "plain_diffusers", tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_an_example_says_how_it_is_run(project_root: Path, name: str) -> None:
    assert f"`python examples/{name}.py" in (project_root / "examples" / f"{name}.py").read_text(encoding="utf-8")
