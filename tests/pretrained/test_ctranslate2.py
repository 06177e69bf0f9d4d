from __future__ import annotations

import struct

import numpy as np
import pytest

from fada.pretrained.ctranslate2 import read_ctranslate2
from fada.pretrained.errors import ModelFolderError


def text(value: str) -> bytes:
    return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"


def variable(name: str, numbers: np.ndarray, kind: int, size: int | None = None) -> bytes:
    shape = b"".join(struct.pack("<I", side) for side in numbers.shape)
    content = numbers.tobytes()
    head = struct.pack("<BI", kind, len(content) if size is None else size)
    return text(name) + struct.pack("<B", numbers.ndim) + shape + head + content


def model(
    *variables: bytes, aliases: bytes = struct.pack("<I", 0), version: int = 6, spec: str = "WhisperSpec"
) -> bytes:
    head = struct.pack("<I", version) + text(spec) + struct.pack("<II", 3, len(variables))
    return head + b"".join(variables) + aliases


HALVES = np.array([[0.5, -2.0, 3.0]], "<f2")


def test_variables_and_their_other_names_are_read() -> None:
    aliases = struct.pack("<I", 1) + text("b/weight") + text("a/weight")
    heads = variable("heads", np.array(6, "<i2"), 2)
    found = read_ctranslate2(model(heads, variable("a/weight", HALVES, 4), aliases=aliases), "WhisperSpec")
    assert found["a/weight"].tolist() == found["b/weight"].tolist() == [[0.5, -2.0, 3.0]]
    assert (found["heads"].shape, int(found["heads"])) == ((), 6)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file ends after 0 bytes"),
        (model(variable("a", HALVES, 4))[:-5], "the file ends after"),
        (model(version=5), "version 6 of the format is known, got 5"),
        (model(spec="TransformerSpec"), "holds a 'TransformerSpec', wanted is WhisperSpec"),
        (model(variable("a", HALVES, 5)), r"'a': 6 bytes of type 5 for \[1, 3\]"),
        (model(variable("a", HALVES, 0)), r"'a': 6 bytes of type 0 for \[1, 3\]"),
        (model(variable("a", HALVES, 4, 2**31)), r"'a': 2147483648 bytes of type 4"),
        (model(variable("a", HALVES, 4), variable("a", HALVES, 4)), "'a': 6 bytes of type 4 .*, or a second time"),
        (model(aliases=struct.pack("<I", 1) + text("b") + text("a")), "'b' stands for 'a', which is not there"),
        (model(variable("a", HALVES, 4)) + b"more", "4 bytes behind the last variable"),
    ],
)
def test_what_is_no_model_of_this_kind_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(ModelFolderError, match=f"CTranslate2: {message}"):
        read_ctranslate2(content, "WhisperSpec")
