"""What reads motion in codecs trained here: three small views of a picture, of all of it, of the eyes, of the lips.

The released codec reads lambda from w, at the end of a StyleGAN-like encoder without norms. Trained from nothing on a
small set that one sees openings and heads, and neither brows nor a mouth's corners, even where it is told the truth
(docs/guides/float.md). Here a first network finds eyes and lips, so that what moves there is seen at full size and in
one place, wherever the head is; norms let faint differences weigh as much as strong ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fada.diffusion.transfer import like
from fada.teacher.float.codec_losses import patches
from fada.teacher.float.style_layers import EqualConv2d, EqualLinear, whole

WIDTHS = (16, 32, 64, 64)
"""Of maps, each half as wide as the one before."""
LR_MUL = 10.0
"""Of these layers, whose norms suit large steps: with a tenth of it they learn in ten times as many."""
GROUPS = 8
"""Of channels that share a norm."""
SEEN = 64
"""Numbers that a view gives."""
OVERVIEW, CLOSE = 64, 128
"""Pixels, along one side, of the picture that is seen whole, and at most of the one from which patches are cut."""
REACH = 12.0
"""Times what the last layer gives, of which a clip's moments differ by 0.1: beside a style of a hundred numbers around
0.5 a decoder hardly hears that, and showed no expression that its numbers held."""
PATCH = 64
"""Pixels of a patch along its longer side."""
USUAL = ((0.25, 0.3, 0.75, 0.5), (0.33, 0.6, 0.67, 0.8))
"""Boxes of eyes and lips before anything is learned."""
TENTH = 0.1
"""Of the picture: a usual deviation of a box."""


class View(nn.Sequential):
    """Pictures (B, 3, height, width) to numbers (B, out)."""

    def __init__(self, height: int, width: int, widths: Sequence[int], out: int = SEEN) -> None:
        layers: list[nn.Module] = []
        for wide, made in pairwise((3, *widths)):
            conv = EqualConv2d(wide, made, 3, stride=2, padding=1, lr_mul=LR_MUL)
            layers += [conv, nn.GroupNorm(GROUPS, made), nn.ReLU()]
        cells = (height >> len(widths)) * (width >> len(widths))
        super().__init__(*layers, nn.Flatten(), EqualLinear(cells * widths[-1], out, lr_mul=LR_MUL), nn.ReLU())


class MotionEncoder(nn.Module):
    """Pictures to lambda, and to where eyes and lips are."""

    def __init__(self, motion_dim: int) -> None:
        super().__init__()
        self.finder = nn.Sequential(View(OVERVIEW, OVERVIEW, WIDTHS), EqualLinear(SEEN, 8, lr_mul=LR_MUL))
        self.whole = View(OVERVIEW, OVERVIEW, WIDTHS)
        self.eyes, self.lips = (View(PATCH // 2, PATCH, WIDTHS[:-1]) for _ in range(2))
        self.motion = EqualLinear(3 * SEEN + 8, motion_dim, lr_mul=LR_MUL)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Lambda (B, motion_dim) of pictures (B, 3, size, size) in [-1, 1], and boxes (B, 2, 4) of eyes and lips.

        Boxes are as shares of the picture (left, top, right, bottom); lambda's gradients do not reach what found them.
        """
        overview = F.adaptive_avg_pool2d(pixels, OVERVIEW)
        # So that a patch of a large picture is not made of single pixels far from each other.
        close = F.adaptive_avg_pool2d(pixels, CLOSE) if pixels.shape[-1] > CLOSE else pixels
        found = self.finder(overview)
        boxes = TENTH * whole(found).unflatten(1, (2, 4))
        boxes = boxes + like(USUAL, boxes)
        eyes, lips = (patches(close, each, PATCH) for each in boxes.detach().unbind(1))
        seen = [self.whole(overview), self.eyes(eyes), self.lips(lips), found.detach()]
        return REACH * self.motion(torch.cat(seen, dim=1)), boxes
