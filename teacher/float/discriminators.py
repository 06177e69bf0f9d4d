"""What tells made pictures from real ones while a motion autoencoder is trained: of whole pictures, and of patches.

They keep nothing but weights, equalised as the codec's, so that one learning rate and one checkpoint suit all.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fada.teacher.float.style_layers import EqualConv2d, FusedLeakyReLU

GLOBAL_WIDTHS = (32, 64, 128, 128)
"""Of whole pictures: a verdict for every 16 pixels, which sees 70."""
LOCAL_WIDTHS = (32, 64, 64)
"""Of eyes and lips: small, since patches are."""


class PatchDiscriminator(nn.Module):
    """A verdict for every patch of a picture.

    Source: Isola et al. 2017 (pix2pix, arXiv:1611.07004), with equalised weights and without norms.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        before = (3, *widths[:-1])
        self.convs = nn.ModuleList(
            nn.Sequential(EqualConv2d(wide, out, 4, stride=2, padding=1), FusedLeakyReLU(out))
            for wide, out in zip(before, widths, strict=True)
        )
        self.verdict = EqualConv2d(widths[-1], 1, 3, padding=1)

    def forward(self, pictures: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Verdicts (B, 1, h, w) of pictures (B, 3, H, W), high for real, and the features of each level."""
        features = []
        for layer in self.convs:
            pictures = layer(pictures)
            features.append(pictures)
        return self.verdict(pictures), features


def judged(discriminator: PatchDiscriminator, pictures: Tensor) -> tuple[Tensor, list[Tensor]]:
    """What it says of pictures; gradients reach the pictures, and not its weights."""
    fixed = {name: value.detach() for name, value in discriminator.named_parameters()}
    found: tuple[Tensor, list[Tensor]] = torch.func.functional_call(discriminator, fixed, (pictures,))
    return found
