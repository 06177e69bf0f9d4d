"""What teaches a motion encoder before there is a decoder: eyes and lips, drawn from the portrait's and from motion.

A whole decoder learns for hundreds of steps before a brow's place in a picture is worth a gradient. What lambda has to
say to those who draw patches is what changes in them, and how far the head moves is a linear part of lambda.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fada.teacher.float.face_painter import FacePainter, regions, warped
from fada.teacher.float.motion_encoder import LR_MUL, REACH, TENTH
from fada.teacher.float.style_layers import EqualLinear

WEIGHTS = {"eye_motion": 1.0, "lip_motion": 1.0, "box_motion": 0.5}
"""Of the logarithms of what is unexplained: what is nearly known still teaches as much as what is not."""
BOXES = 2.0
"""Weight of boxes that are found wrongly."""
MOVED = 5.0
"""How much more a box's movement within a clip counts than its place."""
FLOOR = 0.01
"""Of what is unexplained: less than this is as good as nothing."""


class PatchLosses(nn.Module):
    """How much of what happens to eyes, to lips and to their boxes a lambda does not tell."""

    def __init__(self, motion_dim: int) -> None:
        super().__init__()
        self.box = EqualLinear(motion_dim, 8, lr_mul=LR_MUL)

    def forward(
        self, painter: FacePainter, pixels: Tensor, boxes: Mapping[str, Tensor], motion: Tensor, found: Tensor
    ) -> dict[str, Tensor]:
        """Losses by name.

        Args:
            pixels: (2 B, 3, H, W), the first frames of B pairs, then the second. boxes: true ones (2 B, 4), by name.
            motion, found: what the encoder says of them: lambda (2 B, M) and boxes (2 B, 2, 4).
        """
        true = torch.stack([boxes["eye"], boxes["lip"]], dim=1)
        moved, shift = _moved(motion), _moved(true)
        drawn = regions(true)
        patch = painter.seen(pixels, drawn)
        # Where the same part of the face is in the other frame: as far away as the head has moved, which the eyes tell.
        other = painter.seen(_other(pixels), drawn + shift[:, :1, :2].tile(2))
        changes = painter.changes(patch, moved).unbind(1)
        told = [
            warped(each, change[:, :2]) + change[:, 2:] for each, change in zip(patch.unbind(1), changes, strict=True)
        ]
        losses = {
            f"{name}_motion": unexplained(*parts)
            for name, *parts in zip(("eye", "lip"), told, other.unbind(1), patch.unbind(1), strict=True)
        }
        told_shift = TENTH * self.box(moved / REACH).unflatten(1, (2, 4))
        losses["box_motion"] = unexplained(told_shift, shift, torch.zeros_like(shift))
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


def _other(rows: Tensor) -> Tensor:
    """Of each row the other one of its pair."""
    return rows.roll(len(rows) // 2, 0)


def _moved(rows: Tensor) -> Tensor:
    return _other(rows) - rows
