"""Weights of a TensorFlow.js graph: a JSON that names them in order, and one file with their numbers."""

from __future__ import annotations

import json
from math import prod
from typing import Any

import numpy as np

from fada.pretrained.errors import ModelFolderError
from fada.pretrained.settings import shortly

_KINDS = {"float32": np.dtype("<f4"), "int32": np.dtype("<i4")}


def read_tfjs(graph: bytes, numbers: bytes) -> dict[str, np.ndarray]:
    """The graph's constants by name, in TensorFlow's layout (convolutions: height, width, in, out).

    Args:
        graph: the content of its ``.json``.
        numbers: the content of its ``.bin``.

    Raises:
        ModelFolderError: the two do not belong together, or weights are of another kind or quantized.
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
        found[name] = np.frombuffer(part, kind).reshape(shape)
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
    fields = entry if isinstance(entry, dict) else {}
    name, shape, kind = fields.get("name"), fields.get("shape"), fields.get("dtype")
    sides = shape if isinstance(shape, list) else [-1]
    is_shape = all(type(side) is int and 0 <= side < 2**20 for side in sides)
    if not isinstance(name, str) or not is_shape or kind not in _KINDS or "quantization" in fields:
        raise ModelFolderError(f"TensorFlow.js: weights are float32 or int32 with name and shape, got {shortly(entry)}")
    return name, sides, _KINDS[kind]
