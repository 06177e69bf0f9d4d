"""What a motion autoencoder's pictures are judged by: pixels, a pyramid or LPIPS, eyes and lips, discriminators.

Pictures are (B, 3, H, W) in [-1, 1]; boxes (B, 4) are left, top, right, bottom as shares of the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from fada.teacher.float.discriminators import PatchDiscriminator
from fada.teacher.float.style_layers import whole

Perceptual = Callable[[Tensor, Tensor], Tensor]
"""How different two batches of pictures look, (B,) each."""
PYRAMID = 3
"""Resolutions at which pictures are compared where there is no LPIPS."""
EYES_ASIDE, EYES_ABOVE, EYES_BELOW = 0.6, 0.6, 0.4
"""How far the eyes' box goes beyond the pupils, in distances between them: brows, lids and the corners are in it."""
LIPS_AROUND = 0.35
"""How far the lips' box goes beyond the lips, in its own width on each side: chin and cheeks move with them."""
LEAST_PATCH = 64
"""Pixels of a patch's shorter side that a network trained on photographs is shown."""


def pyramid_distance(first: Tensor, second: Tensor) -> Tensor:
    """L1 of pixels and of the differences between neighbours, at full, half and quarter resolution, (B,).

    Stands where LPIPS has no weights: it too sees a blurred or moved edge at several sizes; it knows nothing of what a
    picture shows. 0 for equal pictures, in units of pixels' own.
    """
    total = first.new_zeros(len(first))
    for level in range(PYRAMID):
        if level:
            first, second = F.avg_pool2d(first, 2), F.avg_pool2d(second, 2)
        error = first - second
        for each in (error, error.diff(dim=2), error.diff(dim=3)):
            total = total + each.abs().mean((1, 2, 3))
    return total


def eye_boxes(points: Tensor) -> Tensor:
    """Boxes (B, 4) of both eyes, of keypoints (B, 5, 2) whose first two are the eyes."""
    left, right = points[:, 0], points[:, 1]
    apart = (right - left).norm(dim=1)
    corner = torch.minimum(left, right) - torch.stack([EYES_ASIDE * apart, EYES_ABOVE * apart], 1)
    opposite = torch.maximum(left, right) + torch.stack([EYES_ASIDE * apart, EYES_BELOW * apart], 1)
    return torch.cat([corner, opposite], 1)


def mouth_boxes(lips: Tensor) -> Tensor:
    """Boxes (B, 4) around the mouth, of the lips' own."""
    around = LIPS_AROUND * (lips[:, 2] - lips[:, 0])[:, None]
    return torch.cat([lips[:, :2] - around, lips[:, 2:] + around], 1)


def patches(pictures: Tensor, boxes: Tensor, side: int) -> Tensor:
    """What is in the boxes, (B, 3, side / 2, side): twice as wide as high, the edge going on beyond the picture."""
    height, width = max(1, side // 2), side
    across = (torch.arange(width, device=boxes.device, dtype=boxes.dtype) + 0.5) / width
    down = (torch.arange(height, device=boxes.device, dtype=boxes.dtype) + 0.5) / height
    left, top, right, bottom = (each[:, None] for each in boxes.unbind(1))
    x, y = left + (right - left) * across, top + (bottom - top) * down
    grid = torch.stack([x[:, None].expand(-1, height, -1), y[:, :, None].expand(-1, -1, width)], dim=3) * 2 - 1
    seen = F.grid_sample(whole(pictures), whole(grid), padding_mode="border", align_corners=False)
    return seen.to(pictures.dtype)


def looks_real(verdicts: Tensor) -> Tensor:
    """The codec's loss: small where a discriminator takes its pictures for real (non-saturating)."""
    return F.softplus(-verdicts.float()).mean()


def tells_apart(real: Tensor, drawn: Tensor) -> Tensor:
    """A discriminator's loss: small where verdicts on real pictures are high, and on drawn ones low."""
    return F.softplus(-real.float()).mean() + F.softplus(drawn.float()).mean()


def gradient_penalty(discriminator: PatchDiscriminator, real: Tensor) -> Tensor:
    """R1: the squared gradient of its verdicts by real pictures, a mean over the batch.

    It keeps a discriminator smooth where the data is, with nothing to remember beside weights; spectral norm would keep
    vectors of its own that a resumed run had to find again.
    Source: Mescheder et al. 2018 (arXiv:1801.04406), eq. 9.
    """
    real = real.detach().float().requires_grad_()
    with torch.autocast(real.device.type, enabled=False), torch.enable_grad():
        verdicts, _ = discriminator(real)
        # The mean over patches, so that the penalty does not grow with the picture.
        (slope,) = torch.autograd.grad(verdicts.mean((1, 2, 3)).sum(), real, create_graph=True)
    return slope.square().sum((1, 2, 3)).mean()


def statistics_distance(drawn: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """L1 between mean and deviation over space of each channel, a mean over channels, summed over levels.

    Feature statistics matching of eyes and lips: textures (teeth, lashes) agree without having to lie pixel on pixel.
    """
    total = drawn[0].new_zeros((), dtype=torch.float32)
    for one, other in zip(drawn, real, strict=True):
        for statistic in (_mean, _deviation):
            total = total + (statistic(one) - statistic(other.detach())).abs().mean()
    return total


def _mean(features: Tensor) -> Tensor:
    return features.float().mean((2, 3))


def _deviation(features: Tensor) -> Tensor:
    # A channel that is even has a deviation whose gradient would be infinite.
    return (features.float().var((2, 3), unbiased=False) + 1e-6).sqrt()


def enlarged(pictures: Tensor) -> Tensor:
    """Patches at least as large as networks of photographs expect."""
    shorter = min(pictures.shape[2:])
    if shorter >= LEAST_PATCH:
        return pictures
    return F.interpolate(pictures, scale_factor=LEAST_PATCH / shorter, mode="bilinear", align_corners=False)
