"""Hallo's pictures of a face, drawn from its boxes: where the face may be, and what of the picture hears the sound.

On the device of the boxes, a batch at once.

Source: Hallo (github.com/fudan-generative-vision/hallo), hallo/utils/util.py (get_face_mask, blur_mask) and
hallo/datasets/image_processor.py.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from fada.diffusion.transfer import moved

_PIXELS_PER_CELL = 8
"""Of Stable Diffusion's VAE: boxes are rounded to whole pixels."""
_DRAWN = 64
"""Side at which masks are blurred, whatever the picture's."""
_FACE_KERNEL, _LIP_KERNEL = 51, 31


def face_region(face_box: Tensor, side: int) -> Tensor:
    """Pictures (B, 3, side, side), 1 inside the box (B, 4) and 0 outside, its edges rounded to whole pixels."""
    rows, columns = _profiles(face_box, side)
    return (rows[:, None, :, None] * columns[:, None, None, :]).expand(-1, 3, -1, -1)


def region_masks(face_box: Tensor, lip_box: Tensor, side: int, levels: int) -> tuple[Tensor, ...]:
    """Soft masks of background, face without lips, and lips, in this order, for each level of a UNet.

    A box that fills the picture, or is empty, gives a mask of zeros: masks are stretched to reach from 0 to 1.

    Args:
        face_box, lip_box: (B, 4) shares of the picture.
        side: of the latents; Hallo's is 64.
        levels: each has half the side of the one before, rounded up.

    Returns:
        (B, 3, side of the level, side of the level) in [0, 1], within two steps of 8 bits of the public code's.
    """
    face, lips = _blurred(face_box, side, _FACE_KERNEL), _blurred(lip_box, side, _LIP_KERNEL)
    drawn = torch.stack([255 - face, (face - lips).clamp(min=0), lips], dim=1) / 255
    sides = [-(-side // 2**level) for level in range(levels)]
    return tuple(F.interpolate(drawn, (each, each), mode="bilinear", antialias=True) for each in sides)


def _blurred(box: Tensor, side: int, kernel: int) -> Tensor:
    """A box's mask (B, 64, 64), blurred and stretched to reach from 0 to 255, in whole numbers as OpenCV has them.

    Rounding is not for its own sake: a small box is faint when blurred, and stretching makes its steps visible.
    """
    edges = torch.stack(_profiles(box, side * _PIXELS_PER_CELL), dim=1)
    rows, columns = F.interpolate(edges, _DRAWN, mode="linear", align_corners=False).unbind(1)
    small = (255 * rows[:, :, None] * columns[:, None, :] + 0.5).floor()
    # In float64, which autocast leaves alone.
    weights = moved(torch.tensor(_kernel(kernel), dtype=torch.float64), box.device)
    pixels = torch.eye(_DRAWN, dtype=torch.float64, device=box.device)[None]
    blur = F.pad(pixels, (kernel // 2, kernel // 2), mode="reflect")[0].unfold(-1, kernel, 1) @ weights
    mask = (blur.T @ small.double() @ blur + 0.5).floor().float()
    low, high = mask.amin((1, 2), keepdim=True), mask.amax((1, 2), keepdim=True)
    return (255 * (mask - low) / (high - low).clamp(min=1)).round()


@cache
def _kernel(size: int) -> tuple[float, ...]:
    """OpenCV's Gaussian kernel for 8-bit pictures: in 256ths, errors carried towards the middle."""
    deviation = 0.3 * ((size - 1) / 2 - 1) + 0.8
    exact = [math.exp(-0.5 * ((place - size // 2) / deviation) ** 2) for place in range(size)]
    half, carried = [], 0.0
    for value in exact[: size // 2]:
        wanted = 256 * value / sum(exact) + carried
        half.append(round(wanted))
        carried = wanted - half[-1]
    return tuple(each / 256 for each in (*half, 256 - 2 * sum(half), *reversed(half)))


def _profiles(box: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Which rows and which columns (B, side) of a picture lie in the box (B, 4)."""
    left, top, right, bottom = (box.float() * side).round().T[:, :, None]
    pixels = torch.arange(side, device=box.device)
    return ((pixels >= top) & (pixels < bottom)).float(), ((pixels >= left) & (pixels < right)).float()
