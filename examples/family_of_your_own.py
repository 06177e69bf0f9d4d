"""A family of your own in one file: a flow over vectors (B, F, D), three branches with names of their own, no VAE.

`python examples/family_of_your_own.py OUTPUT`: its teacher is trained, two students are distilled, one makes a video.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import yaml
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.embeddings import get_timestep_embedding
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

import fada
from fada.pretrained.settings import PipelineSettings, Settings
from fada.teacher.denoiser import AvatarDenoiser, Sites
from fada.teacher.inputs import ClipInputs

WIDTH, GRID = 32, 4
NUMBERS = 3 * GRID * GRID


class Pipeline(PipelineSettings):
    """What folders of the family may say: a scale for every branch but the first, beside what all families have."""

    look_scale: Annotated[float, Field(ge=0, le=100)] = 1.5
    voice_scale: Annotated[float, Field(ge=0, le=100)] = 2.0


class MosaicSettings(Settings):
    """What a folder may say of the codec."""

    grid: Annotated[int, Field(ge=1, le=64)] = GRID


class Mosaic(ModelMixin, ConfigMixin):
    """The codec: a frame is the mean colours of a grid of squares; the rest of the picture stays the portrait's."""

    folder_settings = MosaicSettings

    @register_to_config
    def __init__(self, grid: int = GRID) -> None:
        super().__init__()
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


@dataclass(frozen=True)
class Told:
    """Conditions of clips or rows: the portrait (B, D), sound (B, F, states), the frame before (B, D)."""

    look: Tensor
    voice: Tensor
    before: Tensor
    hooks: Sequence[Any] = ()
    time: Tensor | None = None

    def expand(self, clips: Tensor, branches: Tensor) -> Told:
        """Of clip `clips[i]`, in branch `branches[i]`: 0 is told nothing, 1 the look, 2 look and voice."""
        sees, hears = ((branches >= branch).to(self.look)[:, None] for branch in (1, 2))
        voice = self.voice[clips] * hears[..., None]
        return replace(self, look=self.look[clips] * sees, voice=voice, before=self.before[clips])


class MoverSettings(Settings):
    """What a folder may say of the network."""

    numbers: Annotated[int, Field(ge=1, le=65536)] = NUMBERS
    window: Annotated[int, Field(ge=1, le=64)] = 1
    layers: Annotated[int, Field(ge=1, le=64)] = 1
    states_dim: Annotated[int, Field(ge=1, le=65536)] = 1


class Mover(ModelMixin, ConfigMixin):
    """The network: attention over the frames of a clip, each a token."""

    folder_settings = MoverSettings

    @register_to_config
    def __init__(self, numbers: int = NUMBERS, window: int = 1, layers: int = 1, states_dim: int = 1) -> None:
        super().__init__()
        self.enter = nn.Linear(3 * numbers + window * layers * states_dim, WIDTH)
        self.time = nn.Linear(WIDTH, WIDTH)
        self.attention = nn.MultiheadAttention(WIDTH, 4, batch_first=True)
        self.leave = nn.Linear(WIDTH, numbers)

    def forward(self, latents: Tensor, timestep: Tensor, told: Told) -> Tensor:
        """(B, F, D) in and out."""
        seen = [each[:, None].expand_as(latents) for each in (told.look, told.before)]
        time = self.time(get_timestep_embedding(timestep, WIDTH).to(latents))
        # A student that has the scales in the time embedding is given them here; one with CFG layers at the site below.
        time = time if told.time is None else time + told.time
        hidden = self.enter(torch.cat([latents, *seen, told.voice], dim=-1)) + time[:, None]
        hidden = hidden + self.attention(hidden, hidden, hidden, need_weights=False)[0]
        for hook in told.hooks:
            hidden = hook(hidden)
        return self.leave(F.silu(hidden))


class MosaicMover(AvatarDenoiser):
    """The whole model, as fada sees it."""

    branches = ("blank", "look", "voice")
    denoiser_name = "mover"
    latent_channels, cell, max_frames = NUMBERS, 1, None

    def __init__(self, mover: Any, path: fada.NoisePath, guidance_layers: Any = None) -> None:
        super().__init__({"mover": mover}, path, guidance_layers)

    def sites(self) -> Sites:
        return Sites(widths=(WIDTH,), dim=WIDTH, heads=4, time_channels=WIDTH)

    def heard(self) -> tuple[int, int, int]:
        config = self.denoiser.config
        return config.window, config.layers, config.states_dim

    def part(self, name: str) -> list[nn.Parameter]:
        return list(self.denoiser.parameters())

    def inputs_of(self, clips: ClipInputs) -> ClipInputs:
        return clips

    def features(self, inputs: ClipInputs) -> None:
        """There is nothing that teacher and student could share."""

    def prepare(self, inputs: ClipInputs, features: Any = None) -> Told:
        look, before = inputs.reference.to(self.dtype), torch.zeros_like(inputs.reference, dtype=self.dtype)
        if inputs.motion is not None:
            before = inputs.motion[:, -1].to(self.dtype)
            before = before if inputs.has_motion is None else before * inputs.has_motion[:, None]
        return Told(look, inputs.audio.to(self.dtype).flatten(2), before)

    def evaluate(self, latents: Tensor, t: Tensor, conditions: Told, use_temporal: bool = True) -> Tensor:
        timestep = self.path.network_timestep(t).to(latents.device)
        return self.denoiser(latents.to(self.dtype), timestep, conditions)


MODEL, CODEC, NETWORKS = MosaicMover, Mosaic, {"mover": Mover}


def new(network: Any, noise: Mapping[str, Any], audio: tuple[int, int, int], latent: tuple[int, ...]) -> MosaicMover:
    """A teacher before its training."""
    return MosaicMover(Mover(*latent, *audio), fada.NoisePath.from_config(noise))


def new_codec(recipe: fada.Recipe) -> Mosaic:
    """The codec of a run: it has nothing to learn."""
    return Mosaic()


FAMILY = fada.register(
    fada.Family(
        name="mosaic",
        title="Moving mosaics",
        pipeline="MosaicPipeline",
        guidance=fada.Guidance(MosaicMover.branches, {"look": 1.5, "voice": 2.0}),
        module=__name__,
        settings=Pipeline,
        stages=("mover",),
    )
)
RECIPE = """
name: mosaic
data: {world: {clips: 4, test_clips: 2, frames: 10}}
clip: {frames: 4, motion_frames: 2, size: 32}
audio: {kind: log_mel, bins: 4}
noise: {prediction_type: flow_prediction}
teacher: {kind: mosaic, stages: [{name: all, steps: 40, batch: 4, lr: 1e-3}]}
distill:
  phases:
    - {name: balanced, guidance: sync, steps: 10, batch: 4, lr: 1e-4, solver: {steps: 4}}
    - {name: fast, init: balanced, steps: 10, batch: 4, solver: {steps: 4}, scales: {voice: {low: 1, high: 4}}}
engine: {precision: fp32}
"""


def main(output: Path) -> None:
    """Train, distil, and make a video of noise speaking noise."""
    output.mkdir(parents=True, exist_ok=True)
    recipe = output / "mosaic.yaml"
    recipe.write_text(yaml.safe_dump({**yaml.safe_load(RECIPE), "output": str(output / "run")}))
    fada.distill(recipe)
    generator = np.random.default_rng(0)
    portrait = generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    speech = (0.1 * generator.standard_normal(16000)).astype(np.float32)
    made = fada.generate(output / "run", portrait, speech, output / "video.mp4", overwrite=True, scales={"voice": 3.0})
    print(f"{len(made.frames)} frames in {made.clips} clips, {made.nfe} evaluations each: {output / 'video.mp4'}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/mosaic"))
