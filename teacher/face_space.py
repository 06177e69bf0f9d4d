"""Which portraits a model knows: the space that the faces of its training span, and how far a picture lies outside it.

Principal components of latents, as in eigenfaces: "distance from face space" (Turk and Pentland 1991). A model of drawn
faces makes mush of a photograph; this tells beforehand. The autoencoder's own error does not: it restores some
photographs better than many a drawn face.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor

DIRECTIONS = 128
"""Principal components, at most; nor more than a quarter of the pictures, or of a latent's numbers."""
FEWEST = 32
"""Pictures without which no space is spanned."""
FOLDS = 4
SLACK = 1.5
"""The limit is this multiple of where 99 of 100 training pictures lie, each seen from a space of others."""


class FaceSpace(ModelMixin, ConfigMixin):
    """The span of the training's faces.

    Args:
        shape: (channels, height, width) of a latent.
        directions: principal components.
        limit: `remainder` of a picture of the same kind, at most.
    """

    mean: Tensor
    components: Tensor

    @register_to_config
    def __init__(self, shape: Sequence[int] = (4, 64, 64), directions: int = DIRECTIONS, limit: float = 1.0) -> None:
        super().__init__()
        numbers = shape[0] * shape[1] * shape[2]
        self.register_buffer("mean", torch.zeros(numbers))
        self.register_buffer("components", torch.zeros(directions, numbers))

    @classmethod
    def of(cls, latents: Tensor) -> Self | None:
        """The space of pictures (N, C, h, w) of as many people; None where they are too few to span one."""
        if len(latents) < FEWEST:
            return None
        directions = min(DIRECTIONS, len(latents) // 4, latents[0].numel() // 4)
        fold = torch.arange(len(latents)) % FOLDS
        outside = [
            cls._spanned_by(latents[fold != one], directions).remainder(latents[fold == one]) for one in range(FOLDS)
        ]
        return cls._spanned_by(latents, directions, SLACK * float(torch.cat(outside).quantile(0.99)))

    @classmethod
    def _spanned_by(cls, latents: Tensor, directions: int, limit: float = 1.0) -> Self:
        flat = latents.flatten(1).double()
        mean = flat.mean(dim=0)
        _, _, components = torch.linalg.svd(flat - mean, full_matrices=False)
        space = cls(tuple(latents.shape[1:]), directions, limit)
        space.mean.copy_(mean)
        space.components.copy_(components[:directions])
        return space.eval()

    def remainder(self, latents: Tensor) -> Tensor:
        """What of latents (N, C, h, w) the space cannot make, squared, mean over their numbers (N,)."""
        mean, components = self.mean.float(), self.components.float()
        distance = latents.flatten(1).to(mean) - mean
        # Not as a difference of squared norms: in half precision the components are a little off their lengths.
        return (distance - distance @ components.T @ components).square().mean(dim=1)

    def strangeness(self, latents: Tensor) -> Tensor:
        """The same as a share of the limit: above 1 it is no picture of the training's kind."""
        return self.remainder(latents) / self.config.limit
