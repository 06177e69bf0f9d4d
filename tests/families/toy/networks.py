"""Its networks: a codec without weights, a transformer over frames, a projection of sound."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.embeddings import get_timestep_embedding
from diffusers.models.modeling_utils import ModelMixin
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from fada.diffusion.paths import NoisePath
from fada.pretrained.settings import Settings
from fada.teacher.denoiser import AvatarDenoiser, Sites
from fada.teacher.inputs import ClipInputs

GRID, WIDTH, HEADS, SOUND = 4, 32, 4, 16
NUMBERS = 3 * GRID * GRID


class CodecSettings(Settings):
    """What a folder may say of the codec."""

    grid: int = Field(default=GRID, ge=1, le=64)


class ToyCodec(ModelMixin, ConfigMixin):
    """A frame as the mean colours of a grid of squares; the portrait's detail comes back when it is decoded."""

    folder_settings = CodecSettings

    @register_to_config
    def __init__(self, grid: int = GRID) -> None:
        super().__init__()
        # diffusers saves no model without weights.
        self.one = nn.Parameter(torch.ones(1), requires_grad=False)

    def latent_shape(self, size: int) -> tuple[int, ...]:
        return (3 * self.config.grid**2,)

    def encode(self, frames: np.ndarray) -> Tensor:
        pixels = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).to(self.one) / 127.5 - 1
        return F.adaptive_avg_pool2d(pixels, self.config.grid).flatten(1)

    def appearance(self, portrait: np.ndarray) -> Tensor:
        pixels = torch.from_numpy(np.ascontiguousarray(portrait)).permute(2, 0, 1)[None].to(self.one) / 127.5 - 1
        return pixels - self._squares(self.encode(portrait[None]), pixels.shape[-1])

    def decode(self, latents: Tensor, appearance: Tensor) -> np.ndarray:
        pixels = self._squares(latents.to(self.one), appearance.shape[-1]) + appearance
        return ((pixels + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()

    def _squares(self, latents: Tensor, size: int) -> Tensor:
        return F.interpolate(latents.unflatten(1, (3, self.config.grid, self.config.grid)), size=(size, size))


class SoundSettings(Settings):
    """What a folder may say of the projection."""

    states: int = Field(default=1, ge=1, le=65536)


class ToySound(ModelMixin, ConfigMixin):
    """A window of audio states as one vector."""

    folder_settings = SoundSettings

    @register_to_config
    def __init__(self, states: int = 1) -> None:
        super().__init__()
        self.linear = nn.Linear(states, SOUND)

    def forward(self, windows: Tensor) -> Tensor:
        """(B, F, SOUND) of windows (B, F, window, layers, dim)."""
        return self.linear(windows.flatten(2))


class TransformerSettings(Settings):
    """What a folder may say of the transformer."""

    numbers: int = Field(default=NUMBERS, ge=1, le=65536)


@dataclass(frozen=True)
class Told:
    """Conditions of clips or rows: look (B, D), voice (B, F, SOUND), before (B, D)."""

    look: Tensor
    voice: Tensor
    before: Tensor
    hooks: list[Any] = field(default_factory=list)
    time: Tensor | None = None

    def expand(self, clips: Tensor, branches: Tensor) -> Told:
        """Of clip `clips[i]`; 0 blank, 1 look, 2 look and voice."""
        sees, hears = ((branches >= least).to(self.look) for least in (1, 2))
        look = self.look[clips] * sees[:, None]
        return replace(self, look=look, voice=self.voice[clips] * hears[:, None, None], before=self.before[clips])


class ToyTransformer(ModelMixin, ConfigMixin):
    """Attention over frames, each a token."""

    folder_settings = TransformerSettings

    @register_to_config
    def __init__(self, numbers: int = NUMBERS) -> None:
        super().__init__()
        self.enter = nn.Linear(3 * numbers + SOUND, WIDTH)
        self.time = nn.Linear(WIDTH, WIDTH)
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.leave = nn.Linear(WIDTH, numbers)

    def forward(self, latents: Tensor, timestep: Tensor, told: Told) -> Tensor:
        """(B, F, D) in and out."""
        seen = [each[:, None].expand_as(latents) for each in (told.look, told.before)]
        hidden = self.enter(torch.cat([latents, *seen, told.voice], dim=-1))
        time = self.time(get_timestep_embedding(timestep, WIDTH).to(hidden))
        hidden = hidden + (time if told.time is None else time + told.time)[:, None]
        hidden = hidden + self.attention(hidden, hidden, hidden, need_weights=False)[0]
        for hook in told.hooks:
            hidden = hook(hidden)
        return self.leave(torch.tanh(hidden))


class Toy(AvatarDenoiser):
    """The whole."""

    branches = ("blank", "look", "voice")
    denoiser_name = "transformer"
    latent_channels, cell, max_frames = NUMBERS, 1, None

    def __init__(self, transformer: Any, sound: Any, path: NoisePath, guidance_layers: Any = None) -> None:
        super().__init__({"transformer": transformer, "sound": sound}, path, guidance_layers)

    def sites(self) -> Sites:
        return Sites((WIDTH,), SOUND, HEADS, WIDTH)

    def heard(self) -> tuple[int, int, int]:
        return 1, 1, int(self.get_submodule("sound").config.states)

    def inputs_of(self, clips: ClipInputs) -> ClipInputs:
        return clips

    def features(self, inputs: ClipInputs) -> None:
        """Nothing is worth sharing."""

    def prepare(self, inputs: ClipInputs, features: Any = None) -> Told:
        look = inputs.reference.to(self.dtype)
        before = torch.zeros_like(look)
        if inputs.motion is not None:
            before = inputs.motion[:, -1].to(self.dtype)
            before = before if inputs.has_motion is None else before * inputs.has_motion[:, None]
        return Told(look, self.get_submodule("sound")(inputs.audio.to(self.dtype)), before)

    def evaluate(self, latents: Tensor, t: Tensor, conditions: Told) -> Tensor:
        timestep = self.path.network_timestep(t).to(latents.device)
        return self.denoiser(latents.to(self.dtype), timestep, conditions)


MODEL, CODEC = Toy, ToyCodec
NETWORKS = {"transformer": ToyTransformer, "sound": ToySound}


def new(network: Any, noise: Mapping[str, Any], audio: tuple[int, int, int], latent: tuple[int, ...]) -> Toy:
    """With random weights."""
    window, layers, dim = audio
    return Toy(ToyTransformer(*latent), ToySound(window * layers * dim), NoisePath.from_config(noise))


def new_codec(recipe: Any) -> ToyCodec:
    """It has nothing to learn."""
    return ToyCodec()
