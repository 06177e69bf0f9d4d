"""Weights of a CTranslate2 model: one binary file that names its variables and holds their numbers."""

from __future__ import annotations

import struct
from math import prod

import numpy as np

from fada.pretrained.errors import ModelFolderError
from fada.pretrained.settings import shortly

_VERSION = 6
"""Of the format, the latest; it is written before everything else."""
_KINDS = (np.dtype("<f4"), np.dtype("i1"), np.dtype("<i2"), np.dtype("<i4"), np.dtype("<f2"))
"""By the number that stands for a type; bfloat16, which numpy has not, is number 5."""


def read_ctranslate2(content: bytes, spec: str) -> dict[str, np.ndarray]:
    """The variables of a ``model.bin`` by name, in the layout of torch (linear layers: out, in).

    Args:
        content: of the file.
        spec: the kind of model that it must say it is, as in `WhisperSpec`.

    Raises:
        ModelFolderError: it is no such file, of another version or kind, damaged, or holds bfloat16 numbers.
    """
    file = _File(content)
    version = file.number("I")
    if version != _VERSION:
        raise ModelFolderError(f"CTranslate2: version {_VERSION} of the format is known, got {version}")
    named = file.text()
    if named != spec:
        raise ModelFolderError(f"CTranslate2: holds a {shortly(named)}, wanted is {spec}")
    file.number("I")  # The revision of the kind.
    found: dict[str, np.ndarray] = {}
    for _ in range(file.number("I")):
        name = file.text()
        shape = [file.number("I") for _ in range(file.number("B"))]
        kind, size = file.number("B"), file.number("I")
        if kind >= len(_KINDS) or size != prod(shape) * _KINDS[kind].itemsize or name in found:
            raise ModelFolderError(
                f"CTranslate2: {shortly(name)}: {size} bytes of type {kind} for {shortly(shape)}, or a second time"
            )
        found[name] = np.frombuffer(file.bytes(size), _KINDS[kind]).reshape(shape)
    for _ in range(file.number("I")):
        alias, name = file.text(), file.text()
        if name not in found:
            raise ModelFolderError(f"CTranslate2: {shortly(alias)} stands for {shortly(name)}, which is not there")
        found[alias] = found[name]
    if file.place != len(content):
        raise ModelFolderError(f"CTranslate2: {len(content) - file.place} bytes behind the last variable")
    return found


class _File:
    """Bytes that are read one thing after the other, little-endian."""

    def __init__(self, content: bytes) -> None:
        self.content, self.place = content, 0

    def bytes(self, size: int) -> bytes:
        part = self.content[self.place : self.place + size]
        if len(part) != size:
            raise ModelFolderError(f"CTranslate2: the file ends after {len(self.content)} bytes, in the middle of it")
        self.place += size
        return part

    def number(self, kind: str) -> int:
        return int(struct.unpack(f"<{kind}", self.bytes(struct.calcsize(f"<{kind}")))[0])

    def text(self) -> str:
        """With the zero that ends texts in C."""
        return self.bytes(self.number("H")).removesuffix(b"\0").decode("ascii", "replace")
