"""SyncNet: sound and lips into one space, where what belongs together lies close."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from fada.eval.metrics.networks.loading import load_network

SIDE, FRAMES = 224, 5
MFCC_FRAMES, MFCC_BINS = 20, 13


class SyncNet(nn.Module):
    """Two towers of convolutions with a head each, 1024 numbers out of both.

    Source: Chung and Zisserman 2016, "Out of time: automated lip sync in the wild";
    github.com/joonson/syncnet_python, SyncNetModel.py (layers are numbered as there).
    """

    def __init__(self) -> None:
        super().__init__()
        self.netcnnaud = _sound_tower()
        self.netfcaud = _head()
        self.netfclip = _head()
        self.netcnnlip = _lip_tower()

    def sound(self, mfcc: Tensor) -> Tensor:
        """MFCC (B, 1, 13, 20) to (B, 1024)."""
        return self.netfcaud(self.netcnnaud(mfcc).flatten(1))

    def lips(self, frames: Tensor) -> Tensor:
        """Five frames (B, 3, 5, 224, 224), BGR in 0..255, to (B, 1024)."""
        return self.netfclip(self.netcnnlip(frames).flatten(1))


def _sound_tower() -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in ((1, 64), (64, 192), (192, 384), (384, 256), (256, 256)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
        if after == 64:
            layers.append(nn.MaxPool2d(1, stride=1))
        if after == 192:
            layers.append(nn.MaxPool2d(3, stride=(1, 2)))
    layers += [nn.MaxPool2d(3, stride=2), nn.Conv2d(256, 512, (5, 4)), nn.BatchNorm2d(512), nn.ReLU()]
    return nn.Sequential(*layers)


def _lip_tower() -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv3d(3, 96, (5, 7, 7), stride=(1, 2, 2)), nn.BatchNorm3d(96), nn.ReLU(inplace=True)]
    layers.append(nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2)))
    layers += [nn.Conv3d(96, 256, (1, 5, 5), stride=(1, 2, 2), padding=(0, 1, 1)), nn.BatchNorm3d(256)]
    layers += [nn.ReLU(inplace=True), nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))]
    for _ in range(3):
        layers += [nn.Conv3d(256, 256, (1, 3, 3), padding=(0, 1, 1)), nn.BatchNorm3d(256), nn.ReLU(inplace=True)]
    layers += [nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2)), nn.Conv3d(256, 512, (1, 6, 6)), nn.BatchNorm3d(512)]
    return nn.Sequential(*layers, nn.ReLU(inplace=True))


def _head() -> nn.Sequential:
    return nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, 1024))


def load_syncnet(path: Path) -> SyncNet:
    """With the weights of ``syncnet_v2.model``."""
    return load_network(SyncNet, path)
