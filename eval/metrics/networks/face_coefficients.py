"""Deep3DFaceRecon's regressor: a face picture to the coefficients of a morphable model; 64 of them are expression."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from fada.eval.metrics.networks.loading import load_network
from fada.eval.metrics.networks.residual import BLOCKS, stage

SIDE = 224
EXPRESSION = slice(80, 144)
"""Among the 257 coefficients: identity 80, expression 64, texture 80, angles 3, light 27, shift 3."""
_PARTS = (80, 64, 80, 3, 27, 2, 1)


class Backbone(nn.Module):
    """ResNet-50 up to its pooled features, with the names of torchvision."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = stage(2, 64, 64, BLOCKS[0], 1)
        self.layer2 = stage(2, 256, 128, BLOCKS[1], 2)
        self.layer3 = stage(2, 512, 256, BLOCKS[2], 2)
        self.layer4 = stage(2, 1024, 512, BLOCKS[3], 2)

    def forward(self, pictures: Tensor) -> Tensor:
        """(B, 3, 224, 224) to (B, 2048, 1, 1)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(pictures))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return x.mean(dim=(2, 3), keepdim=True)


class FaceCoefficients(nn.Module):
    """The regressor ``net_recon``: a backbone and a 1 x 1 convolution per group of coefficients.

    Source: Deng et al. 2019 (arXiv:1903.08527), github.com/sicxu/Deep3DFaceRecon_pytorch, models/networks.py.
    """

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Backbone()
        self.final_layers = nn.ModuleList(nn.Conv2d(2048, size, 1) for size in _PARTS)

    def forward(self, faces: Tensor) -> Tensor:
        """Aligned faces (B, 3, 224, 224), RGB in [0, 1], to all coefficients (B, 257)."""
        features = self.backbone(faces)
        return torch.cat([layer(features) for layer in self.final_layers], dim=1).flatten(1)


def load_face_coefficients(path: Path) -> FaceCoefficients:
    """With the weights of ``epoch_20.pth``."""
    return load_network(FaceCoefficients, path, inside="net_recon")
