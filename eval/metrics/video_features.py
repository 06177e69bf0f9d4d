"""Features of videos for the Fréchet and kernel distances: one row per frame, or one per segment of 16 frames."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

import numpy as np
import torch
import torch.nn.functional as functional
from PIL import Image
from torch import Tensor, nn

from fada.eval.metrics.networks.face_coefficients import EXPRESSION, FaceCoefficients
from fada.eval.metrics.networks.i3d import FEWEST_FRAMES, InceptionI3d, i3d_input
from fada.eval.metrics.networks.i3d import SIDE as I3D_SIDE
from fada.eval.metrics.networks.inception import FidInception
from fada.eval.metrics.networks.resnet3d import SIDE as RESNET_SIDE
from fada.eval.metrics.networks.resnet3d import ResNet3d, resnet3d_input
from fada.eval.metrics.not_measurable import NotMeasurable

SEGMENT = 16
"""Frames per sample of the video networks."""


def inception_features(network: FidInception, frames: np.ndarray, batch: int = 8) -> np.ndarray:
    """(F, 2048) of frames (F, H, W, 3) uint8."""
    return answers(network, torch.from_numpy(frames), batch, lambda pictures: pictures.permute(0, 3, 1, 2))


def expression_coefficients(network: FaceCoefficients, faces: np.ndarray, batch: int = 8) -> np.ndarray:
    """The 64 expression coefficients (F, 64) of aligned faces (F, 224, 224, 3) uint8."""
    coefficients = answers(network, torch.from_numpy(faces), batch, lambda one: one.permute(0, 3, 1, 2) / 255)
    return coefficients[:, EXPRESSION]


def resnet3d_features(network: ResNet3d, frames: np.ndarray, batch: int = 2) -> np.ndarray:
    """(segments, 2048) of frames (F, H, W, 3) uint8: bicubic to 112 x 112 by Pillow; the last one fills the tail up."""
    size = (RESNET_SIDE, RESNET_SIDE)
    small = [np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC)) for frame in frames]
    return answers(network, segments(torch.from_numpy(np.stack(small))), batch, resnet3d_input)


def i3d_features(network: InceptionI3d, frames: np.ndarray, batch: int = 2) -> np.ndarray:
    """Logits (segments, 400): bilinear until the shorter side has 224 pixels, the middle square, in [-1, 1].

    Raises:
        NotMeasurable: fewer than 9 frames.

    Source: preprocessing of VideoGPT (github.com/wilson1yan/VideoGPT), videogpt/data.py.
    """
    if len(frames) < FEWEST_FRAMES:
        raise NotMeasurable(f"I3D needs {FEWEST_FRAMES} frames, got {len(frames)}")
    square = torch.stack([_middle_square(frame) for frame in torch.from_numpy(frames)])
    return answers(network, segments(square), batch, i3d_input)


def segments(video: Tensor) -> Tensor:
    """(F, H, W, 3) to (segments, 16, H, W, 3) without overlap; the last one is filled up with the last frame."""
    missing = -len(video) % SEGMENT
    whole = torch.cat([video, video[-1:].expand(missing, *video.shape[1:])])
    return whole.reshape(-1, SEGMENT, *video.shape[1:])


def _middle_square(frame: Tensor) -> Tensor:
    """(H, W, 3) uint8 to (224, 224, 3) float32 in 0..255."""
    height, width = frame.shape[:2]
    scale = I3D_SIDE / min(height, width)
    size = (I3D_SIDE, ceil(width * scale)) if height <= width else (ceil(height * scale), I3D_SIDE)
    resized = functional.interpolate(frame.permute(2, 0, 1)[None].float(), size, mode="bilinear", align_corners=False)
    top, left = (size[0] - I3D_SIDE) // 2, (size[1] - I3D_SIDE) // 2
    return resized[0, :, top : top + I3D_SIDE, left : left + I3D_SIDE].permute(1, 2, 0)


@torch.no_grad()
def answers(network: nn.Module, inputs: Tensor, batch: int, prepare: Callable[[Tensor], Tensor]) -> np.ndarray:
    """A network's answers (N, d) in float64, ``batch`` inputs at a time, on the network's own device."""
    device = next(network.parameters()).device
    parts = [network(prepare(part.float()).to(device)).double().cpu() for part in inputs.split(batch)]
    return torch.cat(parts).numpy()
