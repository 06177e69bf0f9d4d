"""Features for the Fréchet distance in a model's own latent space: fixed pooling, no weights.

They compare systems that share one VAE and nothing else; the report calls the result ``fd_latent``, never FID or FVD.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as functional

GRID = 4
"""Pooled cells per side."""


def latent_features(videos: Sequence[torch.Tensor]) -> np.ndarray:
    """One row per frame of all latent videos (F, C, h, w): its mean over a 4 x 4 grid, (N, 16 C) float64."""
    rows = [_row_per_frame(video.detach().float().cpu()) for video in videos]
    return torch.cat(rows).double().numpy()


def _row_per_frame(latents: torch.Tensor) -> torch.Tensor:
    """Of maps their means over a grid; of latents that are no maps all numbers."""
    maps = functional.adaptive_avg_pool2d(latents, GRID) if latents.ndim == 4 else latents
    return maps.flatten(1)
