"""3D ResNet-50 trained on Kinetics: the features of FVD-R."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from fada.eval.metrics.networks.loading import load_network
from fada.eval.metrics.networks.residual import BLOCKS, stage

SIDE, FRAMES = 112, 16
MEAN = (114.7748, 107.7354, 99.4750)
"""Of Kinetics in grey levels of 255; nothing is divided."""


class ResNet3d(nn.Module):
    """3D ResNet-50 with shortcut type B, without its classifier.

    Source: Hara et al. 2018 (arXiv:1711.09577), github.com/kenshohara/3D-ResNets-PyTorch; used without the last layer
    as "FVD-3DRN50" by DisCo (github.com/Wangt-CN/DisCo).
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(3, 64, 7, stride=(1, 2, 2), padding=3, bias=False)
        self.bn1 = nn.BatchNorm3d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool3d(3, stride=2, padding=1)
        self.layer1 = stage(3, 64, 64, BLOCKS[0], 1)
        self.layer2 = stage(3, 256, 128, BLOCKS[1], 2)
        self.layer3 = stage(3, 512, 256, BLOCKS[2], 2)
        self.layer4 = stage(3, 1024, 512, BLOCKS[3], 2)

    def forward(self, video: Tensor) -> Tensor:
        """(B, 3, 16, 112, 112) RGB in 0..255 minus ``MEAN`` to features (B, 2048)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(video))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        # With this input one cell in time and 4 x 4 in space remain, which is what the public code pools.
        return x.mean(dim=(2, 3, 4))


def load_resnet3d(path: Path) -> ResNet3d:
    """With the weights of ``resnet-50-kinetics.pth``."""
    return load_network(ResNet3d, path, inside="state_dict", prefix="module.", leave=("fc.",))


def resnet3d_input(segments: Tensor) -> Tensor:
    """Resized frames (B, 16, 112, 112, 3) in 0..255 as the network wants them."""
    return (segments - torch.tensor(MEAN)).permute(0, 4, 1, 2, 3)
