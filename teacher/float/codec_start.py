"""Where a motion autoencoder starts: every frame is the portrait, and latents tell frames of one clip apart.

From random weights a small codec first spends its time on learning to copy, and then sees no motion: of random
features a hundredth is motion, and the rest is whose face it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fada.teacher.float.motion_autoencoder import MotionAutoencoder
from fada.teacher.float.style_layers import GAIN

START_MASK = 3.0
"""Of a new codec, before the sigmoid: 95 % of what is seen is the portrait's."""
RIDGE = 10.0
"""Of the search for motion, in mean variances of a feature within a clip: what is found has to hold for faces that were
not looked at. Found on 160 drawn faces of 64 pixels, 11 to 28 % of what lies along the directions is motion on others
with a tenth, 8 to 73 % with ten."""
REACH = 1.5
"""Root mean square of a new codec's w along a direction; elsewhere it is about 0.4."""


@torch.no_grad()
def start_as_portrait(codec: MotionAutoencoder) -> None:
    """Initial weights with which every frame is the portrait itself, seen at full size through no flow.

    The first layer copies the colours into its first channels, the last part of the picture copies them back, no other
    level adds anything, flows are zero and masks nearly one. What is learned then is how to warp; from random weights a
    small codec spends its time on learning to copy.
    """
    mask = 1 / (1 + math.exp(-START_MASK))
    encoder: Any = codec.enc
    decoder: Any = codec.dec
    first = encoder.net_app.convs[0]
    copied = torch.eye(3)[:, :, None, None]
    # Lifted by 1, colours are not negative, and a leaky ReLU lets them pass.
    first[0].weight[:3] = copied / first[0].scale
    first[1].bias.zero_()
    first[1].bias[:, :3] = 1.0
    for to_rgb in decoder.to_rgbs:
        to_rgb.conv[0].weight.zero_()
        to_rgb.conv[1].bias.fill_(1.0)
        to_rgb.bias.fill_(-GAIN)
    last = decoder.to_rgbs[-1]
    last.conv[0].weight[:, :3] = copied / (GAIN**2 * mask * last.conv[0].scale)
    last.bias.fill_(-GAIN - 1.0)
    for place, to_flow in enumerate(decoder.to_flows):
        to_flow.conv.weight.zero_()
        to_flow.bias.zero_()
        # At the finest level alone something is seen.
        if place == len(decoder.to_flows) - 1:
            to_flow.bias[:, 2] = START_MASK


@torch.no_grad()
def start_from_motion(codec: MotionAutoencoder, clips: Iterable[np.ndarray]) -> None:
    """Weights with which w, along the directions, differs most between frames of a clip, and least between clips.

    These are Fisher's discriminants with the parts of clip and rest exchanged, of the encoder's last map. Lambda starts
    as minus w along the directions, so that `w_portrait + sum lambda v` holds the difference of two poses: none where
    portrait and frame are the same picture.

    Args:
        clips: frames (F, size, size, 3) uint8 of each.
    """
    encoder: Any = codec.enc
    features = [_last_map(codec, frames) for frames in clips]
    found = _motion_in(features, codec.config.motion_dim)
    directions = codec.dec.direction()
    last, fc = encoder.net_app.convs[-1], encoder.fc
    rest = last.weight.flatten(1) - directions @ (directions.T @ last.weight.flatten(1))
    along = directions @ (REACH * found.T.to(rest)) / last.scale
    last.weight.copy_((rest + along).view_as(last.weight))
    for layer in fc[:-1]:
        layer.weight.copy_(torch.eye(codec.config.style_dim) / layer.scale)
        layer.bias.zero_()
    fc[-1].weight.copy_(-directions.T / fc[-1].scale)
    fc[-1].bias.zero_()


def _last_map(codec: MotionAutoencoder, frames: np.ndarray) -> Tensor:
    """The encoder's last map of frames, (F, C 16), in float64."""
    layers: Any = codec.enc.net_app.convs
    parts = []
    for pixels in codec.passes(frames):
        for layer in layers[:-1]:
            pixels = layer(pixels)
        parts.append(pixels.flatten(1).double())
    return torch.cat(parts)


def _motion_in(clips: list[Tensor], count: int) -> Tensor:
    """Directions (D, count) in features (F, D) of clips, the strongest first; features along them have size 1 or less.

    They maximise `a' W a / a' (S + ridge) a`, of W the covariance within clips and S the second moment of all.
    """
    everything = torch.cat(clips)
    within = torch.cat([each - each.mean(0) for each in clips])
    # Within the span of the samples: features may be more than these.
    basis = torch.linalg.qr(everything.T).Q
    everything, within = everything @ basis, within @ basis
    moved = within.T @ within / len(within)
    moment = everything.T @ everything / len(everything)
    ridge = RIDGE * max(float(moved.trace()) / len(basis), 1e-12)
    factor = torch.linalg.cholesky(moment + ridge * torch.eye(len(moment), dtype=moment.dtype))
    half = torch.linalg.solve_triangular(factor, moved, upper=False)
    white = torch.linalg.solve_triangular(factor, half.T, upper=False)
    vectors = torch.linalg.eigh((white + white.T) / 2).eigenvectors.flip(1)[:, :count]
    found = basis @ torch.linalg.solve_triangular(factor.T, vectors, upper=True)
    # Of fewer samples than directions the others see nothing.
    return torch.nn.functional.pad(found, (0, count - found.shape[1]))
