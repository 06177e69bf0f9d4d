"""Weights of a TensorFlow.js graph: a JSON that names them in order, and one file with their numbers."""

from __future__ import annotations

import json
from math import prod
from typing import Any

import numpy as np

from fada.pretrained.errors import ModelFolderError
from fada.pretrained.settings import shortly

_KINDS = {"float32": np.dtype("<f4"), "int32": np.dtype("<i4")}
_HALF = np.dtype("<f2")


def read_tfjs(graph: bytes, numbers: bytes) -> dict[str, np.ndarray]:
    """The graph's constants by name, in TensorFlow's layout (convolutions: height, width, in, out).

    Args:
        graph: the content of its ``.json``.
        numbers: the content of its ``.bin``.

    Weights that were stored in 16 bits are given in 32.

    Raises:
        ModelFolderError: the two do not belong together, or weights are of another kind or quantized to integers.
    """
    found: dict[str, np.ndarray] = {}
    start = 0
    for entry in _entries(graph):
        name, shape, kind = _described(entry)
        size = prod(shape) * kind.itemsize
        part = numbers[start : start + size]
        if len(part) != size:
            raise ModelFolderError(
                f"TensorFlow.js: {shortly(name)}: {size} bytes wanted, the file ends after {len(part)}"
            )
        if name in found:
            raise ModelFolderError(f"TensorFlow.js: {shortly(name)} is named a second time")
        stored = np.frombuffer(part, kind).reshape(shape)
        found[name] = stored.astype(np.float32) if kind == _HALF else stored
        start += size
    if start != len(numbers):
        raise ModelFolderError(f"TensorFlow.js: the graph names {start} bytes of weights, the file has {len(numbers)}")
    return found


def _entries(graph: bytes) -> list[Any]:
    try:
        groups = json.loads(graph)["weightsManifest"]
        return [entry for group in groups for entry in group["weights"]]
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise ModelFolderError(f"TensorFlow.js: no graph with a weightsManifest ({type(error).__name__})") from error


def _described(entry: Any) -> tuple[str, list[int], np.dtype[Any]]:
    """Name, shape, and the kind of number in which the weights are stored."""
    fields = entry if isinstance(entry, dict) else {}
    name, shape, kind = fields.get("name"), fields.get("shape"), fields.get("dtype")
    sides = shape if isinstance(shape, list) else [-1]
    is_shape = all(type(side) is int and 0 <= side < 2**20 for side in sides)
    stored: np.dtype[Any] | None = _KINDS.get(kind) if isinstance(kind, str) else None
    if "quantization" in fields:
        stored = _HALF if kind == "float32" and _is_half(fields["quantization"]) else None
    if not isinstance(name, str) or not is_shape or stored is None:
        raise ModelFolderError(
            f"TensorFlow.js: weights are float32, float16 of them, or int32 with name and shape, got {shortly(entry)}"
        )
    return name, sides, stored


def _is_half(quantization: Any) -> bool:
    return isinstance(quantization, dict) and quantization.get("dtype") == "float16"
