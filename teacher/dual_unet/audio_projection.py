"""From audio encoder states to the tokens that a frame attends to (Hallo's layout)."""

from __future__ import annotations

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from fada.teacher.dual_unet import settings as tables


class AudioProjection(ModelMixin, ConfigMixin):
    """Windows of encoder states (B, F, window, layers, dim) to audio tokens (B, F, tokens, token_dim)."""

    folder_settings = tables.AudioProjection

    @register_to_config
    def __init__(
        self,
        window: int = 5,
        layers: int = 12,
        states_dim: int = 768,
        hidden: int = 512,
        tokens: int = 32,
        token_dim: int = 768,
    ) -> None:
        super().__init__()
        self.proj1 = nn.Linear(window * layers * states_dim, hidden)
        self.proj2 = nn.Linear(hidden, hidden)
        self.proj3 = nn.Linear(hidden, tokens * token_dim)
        self.norm = nn.LayerNorm(token_dim)

    def forward(self, windows: Tensor) -> Tensor:
        """Tokens of every frame; raises ValueError when the encoder's states have another shape."""
        expected = (self.config.window, self.config.layers, self.config.states_dim)
        if tuple(windows.shape[2:]) != expected:
            raise ValueError(
                f"audio windows have (window, layers, dim) = {tuple(windows.shape[2:])}, the projection was made for "
                f"{expected}; use the audio encoder that the model was trained with"
            )
        hidden = torch.relu(self.proj1(windows.flatten(2)))
        hidden = torch.relu(self.proj2(hidden))
        return self.norm(self.proj3(hidden).unflatten(-1, (self.config.tokens, self.config.token_dim)))
