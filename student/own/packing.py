"""Latents of several parts, sound and video of one model, as one tensor.

Noise paths, solvers, windows and losses act on every number alike, so parts that share their time lie side by side in
one vector per sample; the network alone sees them apart. A loss is then the mean over all numbers: a part weighs as
much as it has numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor

Latents = Tensor | Mapping[str, Tensor]
"""A tensor, or tensors by name."""


@dataclass(frozen=True)
class Layout:
    """Where the parts of a sample lie in its vector.

    shapes: of each part of one sample, by name; in their order.
    """

    shapes: tuple[tuple[str, tuple[int, ...]], ...]

    @classmethod
    def of(cls, sample: Latents) -> Layout | None:
        """The layout of a sample without batch axis; None for a tensor, which needs none."""
        if isinstance(sample, Tensor):
            return None
        return cls(tuple((name, tuple(part.shape)) for name, part in sample.items()))

    @classmethod
    def read(cls, shapes: Any) -> Layout:
        """The layout that JSON holds.

        Raises:
            ValueError: it is none.
        """
        if not isinstance(shapes, list) or not all(
            isinstance(name, str) and all(isinstance(size, int) and 0 < size < 2**24 for size in shape)
            for name, shape in shapes
        ):
            raise ValueError(f"layout: must be names with sizes, got {str(shapes)[:80]}")
        return cls(tuple((name, tuple(shape)) for name, shape in shapes))

    def pack(self, parts: Latents) -> Tensor:
        """(B, N) of parts (B, ...).

        Raises:
            ValueError: other parts, or other shapes, than those of the layout.
        """
        found = {} if isinstance(parts, Tensor) else {name: tuple(part.shape[1:]) for name, part in parts.items()}
        if isinstance(parts, Tensor) or found != dict(self.shapes):
            raise ValueError(f"latents: expected the parts {self.words}, got {found or 'a tensor'}")
        return torch.cat([parts[name].flatten(1) for name, _ in self.shapes], dim=1)

    def unpack(self, packed: Tensor) -> dict[str, Tensor]:
        """Parts (B, ...) of (B, N)."""
        pieces = packed.split([prod(shape) for _, shape in self.shapes], dim=1)
        return {name: piece.unflatten(1, shape) for (name, shape), piece in zip(self.shapes, pieces, strict=True)}

    @property
    def words(self) -> str:
        """The parts and their shapes, for messages."""
        return ", ".join(f"{name} {shape}" for name, shape in self.shapes)
