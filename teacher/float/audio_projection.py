"""Sound as FLOAT's transformer is told of it: all layers of the encoder's states of a frame as one vector."""

from __future__ import annotations

import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from fada.teacher.float import settings


class FloatAudioProjection(ModelMixin, ConfigMixin):
    """Linear, norm, SiLU, frame by frame; by default of the 12 layers of wav2vec2-base at one moment.

    Args:
        window: video frames of sound that a frame is told of, itself in the middle.
        layers, states_dim: of the encoder's states.
        dim: of what comes out.
    """

    folder_settings = settings.AudioProjection

    @register_to_config
    def __init__(self, window: int = 1, layers: int = 12, states_dim: int = 768, dim: int = 512) -> None:
        super().__init__()
        self.proj = nn.Linear(window * layers * states_dim, dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, states: Tensor) -> Tensor:
        """(B, F, dim) of windows (B, F, window, layers, states_dim)."""
        return F.silu(self.norm(self.proj(states.flatten(2))))
