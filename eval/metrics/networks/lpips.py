"""LPIPS on AlexNet: how different two pictures look, by weighted differences of unit features."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from fada.eval.metrics.networks.loading import load_network

CHANNELS = (64, 192, 384, 256, 256)
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""From [-1, 1] to what the backbone was trained on."""
_TAPS = (1, 4, 7, 9, 11)
"""Layers of the backbone whose outputs are compared: its five activations."""


class AlexNetFeatures(nn.Module):
    """AlexNet's convolutions, with torchvision's names.

    Source: Krizhevsky 2014 (arXiv:1404.5997), as in torchvision's alexnet.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, stride=2),
            nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, stride=2),
            nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W) to the five activations."""
        taken = []
        for place, layer in enumerate(self.features):
            x = layer(x)
            if place in _TAPS:
                taken.append(x)
        return taken


class Head(nn.Module):
    """A weight per channel; the public name has a dropout at place 0, which does nothing here."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.Identity(), nn.Conv2d(channels, 1, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to (B, 1, h, w)."""
        return self.model(x)


class Heads(nn.Module):
    """``lin0`` to ``lin4`` of LPIPS 0.1."""

    def __init__(self) -> None:
        super().__init__()
        for place, channels in enumerate(CHANNELS):
            self.add_module(f"lin{place}", Head(channels))

    def forward(self, differences: list[Tensor]) -> Tensor:
        """Squared differences of unit features, one per tap, to distances (B,)."""
        parts = [head(one).mean(dim=(1, 2, 3)) for head, one in zip(self.children(), differences, strict=True)]
        return torch.stack(parts).sum(0)


class Lpips(nn.Module):
    """Learned perceptual image patch similarity, version 0.1.

    Source: Zhang et al. 2018 (arXiv:1801.03924), github.com/richzhang/PerceptualSimilarity.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, backbone: AlexNetFeatures, heads: Heads) -> None:
        super().__init__()
        self.backbone, self.heads = backbone, heads
        self.register_buffer("shift", torch.tensor(_SHIFT)[None, :, None, None])
        self.register_buffer("scale", torch.tensor(_SCALE)[None, :, None, None])

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Distances (B,) of pictures (B, 3, H, W), RGB in [-1, 1]: 0 for the same, about 1 for unrelated ones."""
        one, other = (self.backbone((pictures - self.shift) / self.scale) for pictures in (first, second))
        return self.heads([(_unit(a) - _unit(b)) ** 2 for a, b in zip(one, other, strict=True)])


def _unit(features: Tensor) -> Tensor:
    return features / (features.pow(2).sum(dim=1, keepdim=True).sqrt() + 1e-10)


def load_lpips(backbone: Path, heads: Path) -> Lpips:
    """With torchvision's AlexNet and the heads of LPIPS 0.1 (``alex.pth``)."""
    features = load_network(AlexNetFeatures, backbone, leave=("classifier.",))
    return Lpips(features, load_network(Heads, heads)).eval()
