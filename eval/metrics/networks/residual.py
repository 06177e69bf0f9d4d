"""Residual stages with bottlenecks, in two or three dimensions: the middle of both ResNet-50s here."""

from __future__ import annotations

from torch import Tensor, nn

_CONVOLUTION: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
_NORM: dict[int, type[nn.BatchNorm2d] | type[nn.BatchNorm3d]] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_WIDER = 4
"""Channels leave a bottleneck four times as wide as its middle."""
BLOCKS = (3, 4, 6, 3)
"""Of ResNet-50."""


class Bottleneck(nn.Module):
    """1, 3, 1 convolutions around a shortcut; the stride is on the middle one (version 1.5).

    Source: He et al. 2016 (arXiv:1512.03385), figure 5; names as in torchvision and 3D-ResNets.
    """

    def __init__(self, dimensions: int, channels: int, width: int, stride: int) -> None:
        super().__init__()
        convolution, norm = _CONVOLUTION[dimensions], _NORM[dimensions]
        self.conv1 = convolution(channels, width, 1, bias=False)
        self.bn1 = norm(width)
        self.conv2 = convolution(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = norm(width)
        self.conv3 = convolution(width, _WIDER * width, 1, bias=False)
        self.bn3 = norm(_WIDER * width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or channels != _WIDER * width:
            shortcut = convolution(channels, _WIDER * width, 1, stride=stride, bias=False)
            self.downsample = nn.Sequential(shortcut, norm(_WIDER * width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, ...) to (B, 4 width, ... / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.relu(self.bn3(self.conv3(x)) + shortcut)


def stage(dimensions: int, channels: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    """Bottlenecks in a row, the first of which takes the stride."""
    first = Bottleneck(dimensions, channels, width, stride)
    return nn.Sequential(first, *(Bottleneck(dimensions, _WIDER * width, width, 1) for _ in range(blocks - 1)))
