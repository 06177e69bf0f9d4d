"""Each network against its public code: layout and answers on the pattern's weights, recorded by record_original.py."""

from __future__ import annotations

import json
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fada.eval.metrics.networks.face_coefficients import FaceCoefficients, load_face_coefficients
from fada.eval.metrics.networks.i3d import InceptionI3d, i3d_input, load_i3d
from fada.eval.metrics.networks.inception import FidInception, load_fid_inception, resize_as_tensorflow_1
from fada.eval.metrics.networks.loading import WeightsError, load_network
from fada.eval.metrics.networks.lpips import AlexNetFeatures, Heads, load_lpips
from fada.eval.metrics.networks.resnet3d import ResNet3d, load_resnet3d, resnet3d_input
from fada.eval.metrics.networks.syncnet import SyncNet, load_syncnet

ORIGINAL: dict[str, Any] = json.loads((Path(__file__).parent / "original.json").read_text())


def assert_as_public(pattern: Any, name: str, state: dict[str, Tensor], answer: Tensor) -> None:
    found, expected = pattern.summary(answer), ORIGINAL[name]["answer"]
    scale = max(map(abs, expected["numbers"]))
    assert pattern.layout(state) == ORIGINAL[name]["layout"]
    assert found["numbers"] == pytest.approx(expected["numbers"], abs=1e-4 * scale)
    assert found["norms"] == pytest.approx(expected["norms"], rel=1e-4)


@torch.no_grad()
def test_inception_answers_as_torch_fidelitys(pattern, write) -> None:
    state, path = write(FidInception, {"fc.weight": (1008, 2048), "fc.bias": (1008,)})
    network = load_fid_inception(path)
    assert_as_public(pattern, "inception", state, network(pattern.picture(2, 3, 64, 64)))


@torch.no_grad()
def test_3d_resnet_answers_as_discos(pattern, write) -> None:
    def wrap(state: dict[str, Tensor]) -> dict[str, Any]:
        return {"epoch": 1, "arch": "resnet-50", "state_dict": {f"module.{name}": v for name, v in state.items()}}

    state, path = write(ResNet3d, {"fc.weight": (400, 2048), "fc.bias": (400,)}, wrap)
    frames = pattern.picture(1, 3, 16, 112, 112).permute(0, 2, 3, 4, 1)
    assert_as_public(pattern, "resnet3d", state, load_resnet3d(path)(resnet3d_input(frames)))


@torch.no_grad()
def test_i3d_answers_as_pytorch_i3ds(pattern, write) -> None:
    state, path = write(InceptionI3d)
    frames = pattern.picture(1, 3, 10, 224, 224).permute(0, 2, 3, 4, 1)
    assert_as_public(pattern, "i3d", state, load_i3d(path)(i3d_input(frames)))


@torch.no_grad()
def test_face_coefficients_answer_as_deep3dfacerecons(pattern, write) -> None:
    state, path = write(FaceCoefficients, wrap=lambda state: {"net_recon": OrderedDict(state)})
    network = load_face_coefficients(path)
    assert_as_public(pattern, "face_coefficients", state, network(pattern.picture(1, 3, 224, 224) / 255))


@torch.no_grad()
def test_syncnet_answers_as_the_public_one(pattern, write) -> None:
    state, path = write(SyncNet)
    network = load_syncnet(path)
    assert_as_public(pattern, "syncnet_lips", state, network.lips(pattern.picture(1, 3, 5, 224, 224)))
    assert_as_public(pattern, "syncnet_sound", state, network.sound(pattern.picture(3, 1, 13, 20) / 20))


@torch.no_grad()
def test_lpips_answers_as_the_public_one(pattern, tmp_path: Path) -> None:
    backbone, heads = AlexNetFeatures().state_dict(), Heads().state_dict()
    backbone = pattern.weights(backbone)
    heads = {name: value.abs() for name, value in pattern.weights(heads).items()}
    torch.save(backbone | {"classifier.1.weight": torch.zeros(2, 2)}, tmp_path / "backbone.pth")
    torch.save(heads, tmp_path / "heads.pth")
    network = load_lpips(tmp_path / "backbone.pth", tmp_path / "heads.pth")
    pictures = pattern.picture(2, 3, 64, 64) / 127.5 - 1
    assert_as_public(pattern, "lpips", backbone | heads, network(pictures[:1], pictures[1:])[:, None])
    assert network(pictures, pictures).tolist() == [0.0, 0.0]


def test_tensorflow_1_reads_corners_and_repeats_the_last_pixel() -> None:
    row = torch.tensor([0.0, 10.0, 20.0]).expand(1, 1, 3, 3)
    found = resize_as_tensorflow_1(row, 6)[0, 0, 0]
    assert found.tolist() == [0.0, 5.0, 10.0, 15.0, 20.0, 20.0]


def test_resizing_to_the_same_size_changes_nothing(pattern) -> None:
    pictures = pattern.picture(1, 3, 20, 20)
    assert torch.equal(resize_as_tensorflow_1(pictures, 20), pictures)


def small() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))


def test_a_loaded_network_is_frozen(tmp_path: Path) -> None:
    torch.save(small().state_dict(), tmp_path / "w.pth")
    network = load_network(small, tmp_path / "w.pth")
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_missing_left_over_and_misshapen_tensors_are_named(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(2, 1, 5, 5), "head.weight": torch.zeros(1)}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"w\.pth: not the weights of Conv2d: missing bias; unexpected head\.weight"):
        load_network(lambda: nn.Conv2d(1, 2, 3), tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"weight is \[2, 1, 5, 5\], not \[2, 1, 3, 3\]"):
        load_network(lambda: nn.Conv2d(1, 2, 3, bias=False), tmp_path / "w.pth", leave=("head",))


def test_a_file_that_brings_code_is_refused(tmp_path: Path) -> None:
    torch.save(small(), tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"w\.pth: not a file of tensors \(UnpicklingError\): damaged, or it brings"):
        load_network(small, tmp_path / "w.pth")


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"not a file of tensors \(EOFError\)"):
        load_network(small, tmp_path / "w.pth")


def test_a_file_without_the_inner_table_says_what_it_holds(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "model": {}}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="no table 'net_recon': it holds epoch, model"):
        load_network(small, tmp_path / "w.pth", inside="net_recon")


def test_a_file_with_a_bare_tensor_is_refused(tmp_path: Path) -> None:
    torch.save(torch.zeros(2), tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"w\.pth: a Tensor, not a table of tensors"):
        load_network(small, tmp_path / "w.pth")
