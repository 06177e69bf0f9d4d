"""The small networks that bring Hallo's face conditions to the UNets: `imageproj` and `face_locator`."""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from fada.teacher.hallo import settings as tables

LOCATOR_CHANNELS = (16, 32, 64, 128)


class FaceProjection(ModelMixin, ConfigMixin):
    """Face embeddings (B, face_dim) to tokens (B, tokens, token_dim), which take the place of SD 1.5's text."""

    folder_settings = tables.FaceProjection

    @register_to_config
    def __init__(self, face_dim: int = 512, tokens: int = 4, token_dim: int = 768) -> None:
        super().__init__()
        self.proj = nn.Linear(face_dim, tokens * token_dim)
        self.norm = nn.LayerNorm(token_dim)

    def forward(self, embedding: Tensor) -> Tensor:
        """Tokens of embeddings; those of zeros are the null condition."""
        return self.norm(self.proj(embedding).unflatten(-1, (self.config.tokens, self.config.token_dim)))


class FaceLocator(ModelMixin, ConfigMixin):
    """A picture of where the face may be (B, 3, H, W) to maps (B, out_channels, H/8, W/8), added after `conv_in`."""

    folder_settings = tables.FaceLocator

    @register_to_config
    def __init__(self, out_channels: int = 320, channels: tuple[int, ...] = LOCATOR_CHANNELS) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(3, channels[0], 3, padding=1)
        self.blocks = nn.ModuleList()
        for narrow, wide in pairwise(channels):
            self.blocks.append(nn.Conv2d(narrow, narrow, 3, padding=1))
            self.blocks.append(nn.Conv2d(narrow, wide, 3, padding=1, stride=2))
        self.conv_out = nn.Conv2d(channels[-1], out_channels, 3, padding=1)

    def forward(self, region: Tensor) -> Tensor:
        """Maps of pictures in [0, 1]."""
        hidden = F.silu(self.conv_in(region))
        for block in self.blocks:
            hidden = F.silu(block(hidden))
        return cast(Tensor, self.conv_out(hidden))
