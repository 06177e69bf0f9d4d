from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from fada.pretrained.errors import ModelFolderError
from fada.pretrained.tfjs import read_tfjs


def graph(*entries: Any) -> bytes:
    return json.dumps({"weightsManifest": [{"weights": list(entries)}]}).encode()


def entry(name: str = "a", shape: Any = (2, 3), dtype: str = "float32", **more: Any) -> dict[str, Any]:
    return {"name": name, "shape": list(shape), "dtype": dtype, **more}


def test_weights_lie_one_behind_the_other_in_the_order_of_the_graph() -> None:
    numbers = np.arange(6, dtype="<f4").tobytes() + np.array(-7, "<i4").tobytes()
    found = read_tfjs(graph(entry(), entry("axis", (), "int32")), numbers)
    assert found["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert (found["axis"].shape, int(found["axis"])) == ((), -7)


def test_weights_stored_in_16_bits_are_given_in_32() -> None:
    # 1.5, -2 and the least number above 0 in 16 bits: sign, 5 bits of exponent, 10 of mantissa.
    numbers = bytes.fromhex("003e 00c0 0100") + np.array(7, "<i4").tobytes()
    half = entry(shape=(3,), quantization={"dtype": "float16", "original_dtype": "float32"})
    found = read_tfjs(graph(half, entry("axis", (), "int32")), numbers)
    assert found["a"].dtype == np.float32
    assert found["a"].tolist() == [1.5, -2.0, 2**-24]
    assert int(found["axis"]) == 7


@pytest.mark.parametrize(("size", "message"), [(20, "'a': 24 bytes wanted, the file ends after 20"), (28, "names 24")])
def test_a_file_that_is_too_short_or_too_long_is_refused(size: int, message: str) -> None:
    with pytest.raises(ModelFolderError, match=message):
        read_tfjs(graph(entry()), bytes(size))


def test_a_name_that_comes_twice_is_refused() -> None:
    with pytest.raises(ModelFolderError, match="'a' is named a second time"):
        read_tfjs(graph(entry(), entry()), bytes(48))


@pytest.mark.parametrize(
    "wrong",
    [
        entry(dtype="uint8"),
        entry(quantization={"scale": 1}),
        entry(quantization={"dtype": "uint8", "scale": 1}),
        entry(quantization="float16"),
        entry(quantization=None),
        entry(dtype="int32", quantization={"dtype": "float16"}),
        entry(dtype="float16"),
        entry(dtype=["float32"]),
        entry(shape=(-1, 3)),
        entry(shape=(2.0, 3)),
        entry(shape=(True, 3)),
        entry(shape=(2**40,)),
        {"name": 3, "shape": [], "dtype": "float32"},
        "text",
    ],
)
def test_other_kinds_of_weights_are_refused(wrong: Any) -> None:
    with pytest.raises(ModelFolderError, match="weights are float32, float16 of them, or int32 with name and shape"):
        read_tfjs(graph(wrong), bytes(24))


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"weightsManifest": 3}', b"[" * 100_000, b"\xff"])
def test_what_is_no_graph_is_refused(content: bytes) -> None:
    with pytest.raises(ModelFolderError, match="no graph with a weightsManifest"):
        read_tfjs(content, b"")
