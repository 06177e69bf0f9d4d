"""What teaches a motion encoder before there is a decoder: eyes and lips, drawn from the portrait's and from motion.

A whole decoder learns for hundreds of steps before a brow's place in a picture is worth a gradient. Two small networks
draw nothing but a patch, cut out where the face is: what lambda has to say there is what changes in it, and the boxes'
own movement is a linear part of lambda. They are thrown away with the discriminators.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fada.teacher.float.codec_losses import patches
from fada.teacher.float.motion_encoder import LR_MUL, REACH, TENTH
from fada.teacher.float.style_layers import SLOPE, EqualConv2d, EqualLinear

WIDTH = 24
"""Channels of the networks that draw patches."""
DRAWN = 48
"""Pixels of a patch along its longer side."""
WEIGHTS = {"eye_motion": 1.0, "lip_motion": 1.0, "box_motion": 0.5}
"""Of the logarithms of what is unexplained: what is nearly known still teaches as much as what is not."""
BOXES = 2.0
"""Weight of boxes that are found wrongly."""
MOVED = 5.0
"""How much more a box's movement within a clip counts than its place."""
FLOOR = 0.01
"""Of what is unexplained: less than this is as good as nothing."""


class Redrawn(nn.Module):
    """A patch of another moment of the same clip."""

    def __init__(self, motion_dim: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            [
                EqualConv2d(5, WIDTH, 5, padding=2, lr_mul=LR_MUL),
                EqualConv2d(WIDTH, WIDTH, 3, padding=1, lr_mul=LR_MUL),
                EqualConv2d(WIDTH, WIDTH, 3, padding=1, lr_mul=LR_MUL),
            ]
        )
        self.styles = nn.ModuleList([EqualLinear(motion_dim, 2 * WIDTH, lr_mul=LR_MUL) for _ in self.convs])
        self.drawn = EqualConv2d(WIDTH, 3, 3, padding=1, lr_mul=LR_MUL)
        nn.init.zeros_(self.drawn.weight)

    def forward(self, patch: Tensor, moved: Tensor) -> Tensor:
        """(B, 3, h, w) of a patch, moved by the difference (B, motion_dim) of two lambda; at first the patch itself."""
        x = torch.cat([patch, _places(patch)], dim=1)
        for conv, style in zip(self.convs, self.styles, strict=True):
            gain, bias = style(moved)[:, :, None, None].chunk(2, dim=1)
            x = F.leaky_relu(conv(x), SLOPE) * (1 + gain) + bias
        return patch + self.drawn(x)


class PatchLosses(nn.Module):
    """How much of what happens to eyes, to lips and to their boxes a lambda does not tell."""

    def __init__(self, motion_dim: int) -> None:
        super().__init__()
        self.eye, self.lip = Redrawn(motion_dim), Redrawn(motion_dim)
        self.box = EqualLinear(motion_dim, 8, lr_mul=LR_MUL)

    def forward(self, pixels: Tensor, boxes: Mapping[str, Tensor], motion: Tensor, found: Tensor) -> dict[str, Tensor]:
        """Losses by name.

        Args:
            pixels: (2 B, 3, H, W), the first frames of B pairs, then the second. boxes: true ones (2 B, 4), by name.
            motion, found: what the encoder says of them: lambda (2 B, M) and boxes (2 B, 2, 4).
        """
        moved = (motion.roll(len(motion) // 2, 0) - motion) / REACH
        losses = {}
        for name, network in (("eye", self.eye), ("lip", self.lip)):
            patch = patches(pixels, boxes[name], DRAWN)
            other = patch.roll(len(patch) // 2, 0)
            losses[f"{name}_motion"] = unexplained(network(patch, moved), other, patch)
        true = torch.stack([boxes["eye"], boxes["lip"]], dim=1)
        shift = _moved(true)
        told = TENTH * self.box(moved).unflatten(1, (2, 4))
        losses["box_motion"] = unexplained(told, shift, torch.zeros_like(shift))
        wrong = (found - true) / TENTH, (_moved(found) - shift) / TENTH
        losses["boxes"] = wrong[0].square().mean() + MOVED * wrong[1].square().mean()
        return losses


def unexplained(told: Tensor, true: Tensor, still: Tensor) -> Tensor:
    """Squared error, as a share of that of nothing having moved; 1 for a network that knows nothing."""
    return (told - true).square().mean() / (still - true).square().mean().clamp_min(1e-8)


def of_patches(parts: Mapping[str, Tensor]) -> Tensor:
    """The loss whose parts those of `PatchLosses` are."""
    total = BOXES * parts["boxes"]
    for name, weight in WEIGHTS.items():
        total = total + weight * (parts[name] + FLOOR).log()
    return total


def _moved(boxes: Tensor) -> Tensor:
    return boxes.roll(len(boxes) // 2, 0) - boxes


def _places(patch: Tensor) -> Tensor:
    """Where each pixel of a patch is, (B, 2, h, w) in [-1, 1]."""
    height, width = patch.shape[2:]
    down = torch.linspace(-1, 1, height, device=patch.device, dtype=patch.dtype)
    across = torch.linspace(-1, 1, width, device=patch.device, dtype=patch.dtype)
    return torch.stack(torch.meshgrid(down, across, indexing="ij")).expand(len(patch), -1, -1, -1)
