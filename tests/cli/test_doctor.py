"""``fada doctor``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fada.cli import doctor
from fada.cli.doctor import find_models


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    (tmp_path / "mediapipe").mkdir()
    (tmp_path / "mediapipe" / "face_landmarker.task").touch()
    (tmp_path / "rgb_imagenet.pt").touch()
    for name, config in {
        "wav2vec2": {"model_type": "wav2vec2"},
        "tiny": {"model_type": "whisper"},
        "vae": {"_class_name": "AutoencoderKL"},
        "other": {"model_type": "bert"},
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (tmp_path / "other" / "more").mkdir()
    (tmp_path / "other" / "more" / "config.json").write_text("not json", encoding="utf-8")
    return tmp_path


def test_models_are_known_by_their_config(weights: Path) -> None:
    assert find_models([weights]) == {
        "wav2vec2": [weights / "wav2vec2"],
        "whisper": [weights / "tiny"],
        "VAE": [weights / "vae"],
    }


def test_a_weights_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert find_models([tmp_path / "no"]) == {}


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


def test_from_a_folder_that_is_not_installed_doctor_says_that_extras_are_unknown(
    cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: None if name == "fada" else known(name))
    outcome = cli("doctor")
    assert outcome.code == 0
    line = next(line for line in outcome.out.splitlines() if line.startswith("data "))
    assert "unknown: fada is not installed" in line


def test_doctor_says_of_each_metrics_weights_whether_they_are_there_refused_or_missing(cli, weights: Path) -> None:
    shown = cli("doctor", "--weights", str(weights)).out
    states = {line.split()[0]: line.split()[1] for line in shown.splitlines() if len(line.split()) > 1}
    assert states["face-landmarker"] == "refused"
    assert states["syncnet"] == "missing"
    assert states["i3d"] not in ("refused", "missing")
    flowing = " ".join(shown.split())
    assert "Sync-C, Sync-D, Sync offset; fada data filter --syncnet" in flowing
    assert "face-landmarker: face_landmarker.task was refused: its SHA-256 begins e3b0c442" in flowing
    assert "syncnet: no syncnet_v2.model in the weights folders; 55 MB" in flowing


def test_the_extra_hallo_says_what_it_switches_off(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_distributions", lambda extra: ["onnxruntime"] if extra == "hallo" else [])
    known = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: None if name == "onnxruntime" else known(name))
    line = next(line for line in cli("doctor").out.splitlines() if line.startswith("hallo "))
    assert "missing: onnxruntime" in line
    assert "fada data shard --face-embedder; Hallo as a teacher" in line


def test_every_extra_is_named(project_root: Path) -> None:
    import tomllib

    from fada.cli.doctor import EXTRAS

    project = tomllib.loads((project_root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(EXTRAS) == set(project["optional-dependencies"])
