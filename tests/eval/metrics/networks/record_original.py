"""Runs the public networks on the pattern's weights and records layouts and answers.

    python tests/eval/metrics/networks/record_original.py CHECKOUTS OUT.json

CHECKOUTS holds clones named torch-fidelity (5e211a9), DisCo (c4fa48a), pytorch-i3d (05783d1),
Deep3DFaceRecon_pytorch (9167c71), syncnet_python (6efbb1c) and PerceptualSimilarity. Run with torch and numpy; modules
that the public files import and these networks never call (torchvision, kornia, arcface_torch) are replaced by empty
ones, and torchvision's AlexNet by its convolutions.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent))
import pattern


def main(checkouts: Path, out: Path) -> None:
    """Write the record."""
    torch.set_grad_enabled(False)
    for name in ("torchvision", "torchvision.transforms", "kornia", "kornia.geometry", "models.arcface_torch"):
        sys.modules[name] = MagicMock()
    sys.modules["models.arcface_torch.backbones"] = MagicMock()
    record: dict[str, Any] = {}
    for name, run in RUNS.items():
        state, answer = run(checkouts)
        record[name] = {"layout": pattern.layout(state), "answer": pattern.summary(answer)}
        print(name, record[name]["layout"])
    out.write_text(json.dumps(record, indent=1) + "\n")


def _module(folder: Path, name: str) -> ModuleType:
    """A module of a clone; its packages' own __init__ files, which import much else, are left out."""
    packages = name.split(".")[:-1]
    for depth in range(1, len(packages) + 1):
        package = ModuleType(".".join(packages[:depth]))
        package.__path__ = [str(folder.joinpath(*packages[:depth]))]
        sys.modules[package.__name__] = package
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.pop(0)


def _filled(network: nn.Module) -> nn.Module:
    network.load_state_dict(pattern.weights(network.state_dict()))
    return network.eval()


def inception(checkouts: Path) -> tuple[dict[str, Tensor], Tensor]:
    public = _module(checkouts / "torch-fidelity", "torch_fidelity.feature_extractor_inceptionv3")
    public.load_state_dict_from_url = lambda *_, **__: None
    public.FeatureExtractorInceptionV3.load_state_dict = lambda self, state: (
        None if state is None else nn.Module.load_state_dict(self, state)
    )
    network = _filled(public.FeatureExtractorInceptionV3("inception", ["2048"]))
    return network.state_dict(), network(pattern.picture(2, 3, 64, 64).byte())[0]


def resnet3d(checkouts: Path) -> tuple[dict[str, Tensor], Tensor]:
    public = _module(checkouts / "DisCo", "tool.metrics.resnet3d")
    network = _filled(public.resnet50(sample_size=112, sample_duration=16, shortcut_type="B", last_fc=False))
    mean = torch.tensor([114.7748, 107.7354, 99.4750])[:, None, None, None]
    return network.state_dict(), network(pattern.picture(1, 3, 16, 112, 112) - mean)


def i3d(checkouts: Path) -> tuple[dict[str, Tensor], Tensor]:
    network = _filled(_module(checkouts / "pytorch-i3d", "pytorch_i3d").InceptionI3d(400, in_channels=3))
    return network.state_dict(), network(pattern.picture(1, 3, 10, 224, 224) / 127.5 - 1).mean(dim=2)


def face_coefficients(checkouts: Path) -> tuple[dict[str, Tensor], Tensor]:
    public = _module(checkouts / "Deep3DFaceRecon_pytorch", "models.networks")
    network = _filled(public.define_net_recon("resnet50"))
    return network.state_dict(), network(pattern.picture(1, 3, 224, 224) / 255)


def _syncnet(checkouts: Path) -> nn.Module:
    return _filled(_module(checkouts / "syncnet_python", "SyncNetModel").S())


def syncnet_lips(checkouts: Path) -> tuple[dict[str, Tensor], Tensor]:
    network = _syncnet(checkouts)
    return network.state_dict(), network.forward_lip(pattern.picture(1, 3, 5, 224, 224))


def syncnet_sound(checkouts: Path) -> tuple[dict[str, Tensor], Tensor]:
    network = _syncnet(checkouts)
    return network.state_dict(), network.forward_aud(pattern.picture(3, 1, 13, 20) / 20)


def lpips(checkouts: Path) -> tuple[dict[str, Tensor], Tensor]:
    convolutions = (nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(64, 192, 5, padding=2))
    convolutions += (nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(192, 384, 3, padding=1), nn.ReLU())
    convolutions += (nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(), nn.Conv2d(256, 256, 3, padding=1), nn.ReLU())
    alexnet = nn.Module()
    alexnet.features = nn.Sequential(*convolutions)
    _filled(alexnet)
    public = _module(checkouts / "PerceptualSimilarity", "lpips.lpips")
    public.pn.tv.alexnet = lambda pretrained: alexnet
    sys.modules["lpips"].normalize_tensor = lambda x, eps=1e-10: x / (x.pow(2).sum(1, keepdim=True).sqrt() + eps)
    network = public.LPIPS(net="alex", pretrained=False, verbose=False)
    heads = {
        name: value for name, value in network.state_dict().items() if name.startswith("lin") and "lins" not in name
    }
    heads = {name: value.abs() for name, value in pattern.weights(heads).items()}
    network.load_state_dict(heads, strict=False)
    pictures = pattern.picture(2, 3, 64, 64) / 127.5 - 1
    return alexnet.state_dict() | heads, network(pictures[:1], pictures[1:]).flatten(1)


RUNS: dict[str, Callable[[Path], tuple[dict[str, Tensor], Tensor]]] = {
    run.__name__: run for run in (inception, resnet3d, i3d, face_coefficients, syncnet_lips, syncnet_sound, lpips)
}

if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
