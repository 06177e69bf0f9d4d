"""FID's Inception v3: the TensorFlow network of 2015, whose pooled features FID and KID compare."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from fada.eval.metrics.networks.loading import load_network

SIDE = 299


class Unit(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(
        self,
        channels: int,
        width: int,
        kernel: int | tuple[int, int] = 1,
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(width, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to (B, width, h', w')."""
        return functional.relu(self.bn(self.conv(x)))


def _mean_pool(x: Tensor) -> Tensor:
    # TensorFlow leaves the padding out of the mean.
    return functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


class MixedA(nn.Module):
    """Branches of 1, 5 and twice 3, and a pooled one (35 x 35 cells)."""

    def __init__(self, channels: int, pooled: int) -> None:
        super().__init__()
        self.branch1x1 = Unit(channels, 64)
        self.branch5x5_1, self.branch5x5_2 = Unit(channels, 48), Unit(48, 64, 5, padding=2)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = Unit(channels, 64), Unit(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = Unit(96, 96, 3, padding=1)
        self.branch_pool = Unit(channels, pooled)

    def forward(self, x: Tensor) -> Tensor:
        """Channels to 224 + pooled."""
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        branches = [self.branch1x1(x), self.branch5x5_2(self.branch5x5_1(x)), double, self.branch_pool(_mean_pool(x))]
        return torch.cat(branches, 1)


class MixedB(nn.Module):
    """From 35 x 35 to 17 x 17 cells."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch3x3 = Unit(channels, 384, 3, stride=2)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = Unit(channels, 64), Unit(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = Unit(96, 96, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Channels to 480 + channels."""
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, functional.max_pool2d(x, 3, stride=2)], 1)


class MixedC(nn.Module):
    """Branches of 1, once and twice 7 (each as 1 x 7 and 7 x 1), and a pooled one (17 x 17 cells)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        across: dict[str, tuple[int, int]] = {"kernel": (1, 7), "padding": (0, 3)}
        down: dict[str, tuple[int, int]] = {"kernel": (7, 1), "padding": (3, 0)}
        self.branch1x1 = Unit(768, 192)
        self.branch7x7_1, self.branch7x7_2 = Unit(768, width), Unit(width, width, **across)  # type: ignore[arg-type]
        self.branch7x7_3 = Unit(width, 192, **down)  # type: ignore[arg-type]
        self.branch7x7dbl_1, self.branch7x7dbl_2 = Unit(768, width), Unit(width, width, **down)  # type: ignore[arg-type]
        self.branch7x7dbl_3, self.branch7x7dbl_4 = Unit(width, width, **across), Unit(width, width, **down)  # type: ignore[arg-type]
        self.branch7x7dbl_5 = Unit(width, 192, **across)  # type: ignore[arg-type]
        self.branch_pool = Unit(768, 192)

    def forward(self, x: Tensor) -> Tensor:
        """768 channels to 768."""
        once = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        twice = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        twice = self.branch7x7dbl_5(self.branch7x7dbl_4(twice))
        return torch.cat([self.branch1x1(x), once, twice, self.branch_pool(_mean_pool(x))], 1)


class MixedD(nn.Module):
    """From 17 x 17 to 8 x 8 cells."""

    def __init__(self) -> None:
        super().__init__()
        self.branch3x3_1, self.branch3x3_2 = Unit(768, 192), Unit(192, 320, 3, stride=2)
        self.branch7x7x3_1, self.branch7x7x3_2 = Unit(768, 192), Unit(192, 192, (1, 7), padding=(0, 3))
        self.branch7x7x3_3, self.branch7x7x3_4 = Unit(192, 192, (7, 1), padding=(3, 0)), Unit(192, 192, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """768 channels to 1280."""
        seven = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return torch.cat([self.branch3x3_2(self.branch3x3_1(x)), seven, functional.max_pool2d(x, 3, stride=2)], 1)


class MixedE(nn.Module):
    """Branches that fan out into 1 x 3 and 3 x 1, and a pooled one (8 x 8 cells).

    Args:
        channels: of the input.
        takes_maximum: pool by maximum, as the last block of this particular network does, against its paper.
    """

    def __init__(self, channels: int, takes_maximum: bool) -> None:
        super().__init__()
        self.takes_maximum = takes_maximum
        self.branch1x1 = Unit(channels, 320)
        self.branch3x3_1 = Unit(channels, 384)
        self.branch3x3_2a = Unit(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3_2b = Unit(384, 384, (3, 1), padding=(1, 0))
        self.branch3x3dbl_1, self.branch3x3dbl_2 = Unit(channels, 448), Unit(448, 384, 3, padding=1)
        self.branch3x3dbl_3a = Unit(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3dbl_3b = Unit(384, 384, (3, 1), padding=(1, 0))
        self.branch_pool = Unit(channels, 192)

    def forward(self, x: Tensor) -> Tensor:
        """Channels to 2048."""
        once, twice = self.branch3x3_1(x), self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        fan = [
            self.branch3x3_2a(once),
            self.branch3x3_2b(once),
            self.branch3x3dbl_3a(twice),
            self.branch3x3dbl_3b(twice),
        ]
        pooled = functional.max_pool2d(x, 3, stride=1, padding=1) if self.takes_maximum else _mean_pool(x)
        return torch.cat([self.branch1x1(x), *fan, self.branch_pool(pooled)], 1)


class FidInception(nn.Module):
    """Inception v3 as FID uses it, up to its pooled features.

    Source: Szegedy et al. 2016 (arXiv:1512.00567), with the differences of TensorFlow's inception-2015-12-05 that
    pytorch-fid and torch-fidelity found; parameters are named as theirs.
    """

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Unit(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = Unit(32, 32, 3)
        self.Conv2d_2b_3x3 = Unit(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = Unit(64, 80)
        self.Conv2d_4a_3x3 = Unit(80, 192, 3)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = MixedA(192, 32), MixedA(256, 64), MixedA(288, 64)
        self.Mixed_6a, self.Mixed_6b, self.Mixed_6c = MixedB(288), MixedC(128), MixedC(160)
        self.Mixed_6d, self.Mixed_6e = MixedC(160), MixedC(192)
        self.Mixed_7a, self.Mixed_7b, self.Mixed_7c = MixedD(), MixedE(1280, False), MixedE(2048, True)

    def forward(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W), RGB in 0..255, to features (B, 2048); resized to 299 x 299 as TensorFlow 1 does."""
        x = (resize_as_tensorflow_1(pictures, SIDE) - 128) / 128
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(functional.max_pool2d(x, 3, stride=2)))
        x = functional.max_pool2d(x, 3, stride=2)
        x = self.Mixed_6a(self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x))))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(x))))
        return self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x))).mean(dim=(2, 3))


def resize_as_tensorflow_1(pictures: Tensor, side: int) -> Tensor:
    """Bilinear resize of (B, C, H, W) to (B, C, side, side): pixel k reads at k * H / side, its corner."""
    return _resize_axis(_resize_axis(pictures, side, 3), side, 2)


def _resize_axis(pictures: Tensor, side: int, axis: int) -> Tensor:
    length = pictures.shape[axis]
    places = torch.arange(side, dtype=pictures.dtype) * torch.tensor(length / side, dtype=torch.float32)
    low = places.long()
    shape = [1, 1, 1, 1]
    shape[axis] = side
    share = (places - low).reshape(shape)
    near = pictures.index_select(axis, low)
    far = pictures.index_select(axis, (low + 1).clamp_max(length - 1))
    return near + (far - near) * share


def load_fid_inception(path: Path) -> FidInception:
    """With the weights of ``weights-inception-2015-12-05-6726825d.pth``."""
    return load_network(FidInception, path, leave=("fc.",))
