"""``fada doctor``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fada.cli import doctor
from fada.cli.doctor import find_weights


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    (tmp_path / "mediapipe").mkdir()
    (tmp_path / "mediapipe" / "face_landmarker_v2.task").touch()
    for name, config in {
        "wav2vec2": {"model_type": "wav2vec2"},
        "vae": {"_class_name": "AutoencoderKL"},
        "other": {"model_type": "bert"},
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (tmp_path / "other" / "more").mkdir()
    (tmp_path / "other" / "more" / "config.json").write_text("not json", encoding="utf-8")
    return tmp_path


def test_weights_are_known_by_file_name_and_config(weights: Path) -> None:
    assert find_weights([weights]) == {
        "face landmarker": [weights / "mediapipe" / "face_landmarker_v2.task"],
        "wav2vec2": [weights / "wav2vec2"],
        "VAE": [weights / "vae"],
    }


def test_a_weights_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert find_weights([tmp_path / "no"]) == {}


def test_doctor_names_machine_packages_extras_and_weights(cli, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FADA_WEIGHTS", str(weights))
    outcome = cli("doctor")
    assert outcome.code == 0
    for word in ("python", "memory", "CUDA" if "cuda:0" not in outcome.out else "cuda:0", "diffusers", "metrics"):
        assert word in outcome.out
    assert str(weights / "vae") in outcome.out


def test_a_missing_extra_says_what_it_switches_off(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    known = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: None if name == "mediapipe" else known(name))
    line = next(line for line in cli("doctor").out.splitlines() if line.startswith("data "))
    assert "missing: mediapipe" in line
    assert "fada data prepare" in line
