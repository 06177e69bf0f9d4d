"""Directions that can be told apart: lambda turned to the principal axes of motion, the strongest one first.

Losses do not care in which orthonormal basis motion is told, so trained directions are a little of everything. A turn
of lambda that is folded into whatever gives and takes it changes no picture and no distance between latents.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from fada.teacher.float.motion_autoencoder import MotionAutoencoder
from fada.teacher.float.style_layers import EqualLinear


@torch.no_grad()
def turn_to_principal_axes(codec: MotionAutoencoder, clips: Sequence[Tensor]) -> list[Tensor]:
    """Turn lambda so that within clips its numbers are uncorrelated, and fall in variance from the first to the last.

    Args:
        clips: lambda (F, motion_dim) of two frames or more of each.

    Returns:
        What the codec says of these frames from now on.
    """
    within = torch.cat([each - each.mean(0) for each in clips]).double()
    _, axes = torch.linalg.eigh(within.T @ within)
    before = codec.dec.direction().double()
    weight = codec.dec.direction.weight
    weight.copy_(before @ axes.flip(1))
    # QR gives directions the signs that it likes.
    turn = codec.dec.direction().double().T @ before
    source, takers = _source(codec), list(_takers(codec))
    for parameter in (source.weight, source.bias):
        parameter.copy_(turn @ parameter.double())
    for taker in takers:
        taker.weight.copy_(taker.weight.double() @ turn.T)
    return [(each.double() @ turn.T).to(each.dtype) for each in clips]


def _source(codec: MotionAutoencoder) -> EqualLinear:
    """The layer that lambda comes out of."""
    last = codec.motion.motion if codec.motion is not None else codec.enc.fc[-1]  # type: ignore[index]
    assert isinstance(last, EqualLinear)
    return last


def _takers(codec: MotionAutoencoder) -> Iterator[EqualLinear]:
    """Layers that are told lambda itself, and not through the directions."""
    painter = codec.dec.painter
    if painter is not None:
        for network in (painter.eye, painter.lip):
            for style in network.styles:
                assert isinstance(style, EqualLinear)
                yield style
