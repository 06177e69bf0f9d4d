"""I3D trained on Kinetics-400: the logits of FVD-I3D.

Reads the state dicts of pytorch-i3d's layout: VideoGPT's ``i3d_pretrained_400.pt`` and pytorch-i3d's own
``rgb_imagenet.pt``. They are different weights, so their distances must not be mixed; the report names the hash.
StyleGAN-V's ``i3d_torchscript.pt`` is a program, not a state dict, and is not read.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from fada.eval.metrics.networks.loading import load_network

SIDE, FRAMES, FEWEST_FRAMES = 224, 16, 9
Triple = tuple[int, int, int]


def _same(x: Tensor, kernel: Triple, stride: Triple) -> Tensor:
    """Zeros around (B, C, T, H, W) as TensorFlow's "SAME" puts them, the larger half behind."""
    padding: list[int] = []
    for size, width, step in reversed(list(zip(x.shape[2:], kernel, stride, strict=True))):
        whole = max(width - (size % step or step), 0)
        padding += [whole // 2, whole - whole // 2]
    return functional.pad(x, padding)


class Unit(nn.Module):
    """Convolution with "SAME" padding, batch norm, ReLU; the classifier is one with a bias and neither of the two."""

    def __init__(self, channels: int, width: int, kernel: int = 1, stride: int = 1, is_last: bool = False) -> None:
        super().__init__()
        self.kernel, self.stride = (kernel,) * 3, (stride,) * 3
        self.conv3d = nn.Conv3d(channels, width, kernel, stride, bias=is_last)
        self.bn = None if is_last else nn.BatchNorm3d(width, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) to (B, width, T / stride, H / stride, W / stride), rounded up."""
        x = self.conv3d(_same(x, self.kernel, self.stride))
        return x if self.bn is None else functional.relu(self.bn(x))


class Mixed(nn.Module):
    """Branches of 1, twice 3, and a pooled one.

    Args:
        channels: of the input.
        widths: of b0, b1a, b1b, b2a, b2b, b3b.
    """

    def __init__(self, channels: int, widths: tuple[int, int, int, int, int, int]) -> None:
        super().__init__()
        self.b0 = Unit(channels, widths[0])
        self.b1a, self.b1b = Unit(channels, widths[1]), Unit(widths[1], widths[2], 3)
        self.b2a, self.b2b = Unit(channels, widths[3]), Unit(widths[3], widths[4], 3)
        self.b3b = Unit(channels, widths[5])

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) to as many channels as b0, b1b, b2b and b3b have."""
        pooled = self.b3b(_pool(x, (3, 3, 3), (1, 1, 1)))
        return torch.cat([self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), pooled], 1)


def _pool(x: Tensor, kernel: Triple, stride: Triple) -> Tensor:
    # Zeros may stand in for the padding: everything that is pooled comes from a ReLU.
    return functional.max_pool3d(_same(x, kernel, stride), kernel, stride)


class InceptionI3d(nn.Module):
    """Inflated Inception v1.

    Source: Carreira and Zisserman 2017 (arXiv:1705.07750), github.com/piergiaj/pytorch-i3d.
    """

    def __init__(self) -> None:
        super().__init__()
        self.Conv3d_1a_7x7 = Unit(3, 64, 7, stride=2)
        self.Conv3d_2b_1x1, self.Conv3d_2c_3x3 = Unit(64, 64), Unit(64, 192, 3)
        self.Mixed_3b = Mixed(192, (64, 96, 128, 16, 32, 32))
        self.Mixed_3c = Mixed(256, (128, 128, 192, 32, 96, 64))
        self.Mixed_4b = Mixed(480, (192, 96, 208, 16, 48, 64))
        self.Mixed_4c = Mixed(512, (160, 112, 224, 24, 64, 64))
        self.Mixed_4d = Mixed(512, (128, 128, 256, 24, 64, 64))
        self.Mixed_4e = Mixed(512, (112, 144, 288, 32, 64, 64))
        self.Mixed_4f = Mixed(528, (256, 160, 320, 32, 128, 128))
        self.Mixed_5b = Mixed(832, (256, 160, 320, 32, 128, 128))
        self.Mixed_5c = Mixed(832, (384, 192, 384, 48, 128, 128))
        self.logits = Unit(1024, 400, is_last=True)

    def forward(self, video: Tensor) -> Tensor:
        """(B, 3, T, 224, 224), RGB in [-1, 1], at least 9 frames, to logits (B, 400), mean over time."""
        x = _pool(self.Conv3d_1a_7x7(video), (1, 3, 3), (1, 2, 2))
        x = _pool(self.Conv3d_2c_3x3(self.Conv3d_2b_1x1(x)), (1, 3, 3), (1, 2, 2))
        x = _pool(self.Mixed_3c(self.Mixed_3b(x)), (3, 3, 3), (2, 2, 2))
        x = self.Mixed_4f(self.Mixed_4e(self.Mixed_4d(self.Mixed_4c(self.Mixed_4b(x)))))
        x = self.Mixed_5c(self.Mixed_5b(_pool(x, (2, 2, 2), (2, 2, 2))))
        x = self.logits(functional.avg_pool3d(x, (2, 7, 7), stride=1))
        return x.mean(dim=(2, 3, 4))


def load_i3d(path: Path) -> InceptionI3d:
    """With the weights of ``i3d_pretrained_400.pt`` or ``rgb_imagenet.pt``."""
    return load_network(InceptionI3d, path)


def i3d_input(segments: Tensor) -> Tensor:
    """Resized frames (B, T, 224, 224, 3) in 0..255 as the network wants them."""
    return (segments / 127.5 - 1).permute(0, 4, 1, 2, 3)
