"""What V-Express's training adds to the plain loss: more weight on the lips, and noise with an offset."""

from __future__ import annotations

import torch
from torch import Tensor

from fada.diffusion.shapes import Boxes, Cells, Frames, Latents

LIP_ENLARGEMENT = 2.0
"""Of the lips' box about its middle, as in the public code's data set."""


def lip_coverage(lip_box: Boxes, height: int, width: int, enlargement: float = LIP_ENLARGEMENT) -> Cells:
    """How much (..., height, width), in [0, 1], of each latent cell lies in the lips' box, enlarged about its middle.

    Args:
        lip_box: (..., 4) left, top, right, bottom as shares of the picture (`Keypoints.lip_box`).

    Source: get_lip_mask in datasets/talking_face_video.py of tencent-ailab/V-Express, which draws the box in pixels and
    resizes it to the latents; this is the exact share.
    """
    low, high = lip_box.float().unflatten(-1, (2, 2)).unbind(-2)
    centre, half = (low + high) / 2, enlargement * (high - low) / 2
    edges = torch.stack([centre - half, centre + half], dim=-1)
    columns, rows = (_covered(edges[..., axis, :], cells) for axis, cells in ((0, width), (1, height)))
    return rows[..., :, None] * columns[..., None, :]


def lip_weights(lip_box: Boxes, height: int, width: int, weight: float) -> Frames:
    """Weights (B, F, 1, height, width) of squared errors (B, F, C, height, width): `weight` on the lips, 1 elsewhere.

    Divided by their mean over each sample, so that a sample's loss keeps its size, and with it min-SNR weights their
    meaning.

    Args:
        lip_box: (B, F, 4).

    Raises:
        ValueError: the weight is negative.
    """
    if weight < 0:
        raise ValueError(f"the lips' weight must be at least 0, got {weight}")
    weights = 1 + (weight - 1) * lip_coverage(lip_box, height, width)
    return (weights / weights.mean(dim=(1, 2, 3), keepdim=True).clamp(min=1e-8))[:, :, None]


def offset_noise(noise: Latents, strength: float, generator: torch.Generator) -> Latents:
    """Noise (F, C, h, w) of one sample plus `strength` times one number per channel, the same in all frames and cells.

    So that a mean brightness is something that the network learns to make. The generator is the sample's; nothing is
    drawn of it at strength 0.

    Source: N. Guttenberg, Diffusion with Offset Noise (2023); V-Express trains with 0.05.
    """
    if not strength:
        return noise
    offset = torch.randn(noise.shape[1], generator=generator, dtype=noise.dtype)
    return noise + strength * offset.to(noise.device)[:, None, None]


def _covered(edges: Tensor, cells: int) -> Tensor:
    """Share (..., cells) of each of equal cells of [0, 1] that lies between two edges (..., 2)."""
    borders = torch.arange(cells + 1.0, device=edges.device)
    low, high = (cells * edges).unbind(-1)
    overlap = torch.minimum(high[..., None], borders[1:]) - torch.maximum(low[..., None], borders[:-1])
    return overlap.clamp(0, 1)
