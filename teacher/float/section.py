"""What a recipe says of FLOAT's transformer."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from fada.recipe.sections.section import Few, Frames, Weight, Width
from fada.recipe.sections.teacher import AnyNetwork
from fada.teacher.float.settings import Conditioning


class Network(AnyNetwork):
    """Shape of the vector field; the defaults are the released one's."""

    dim: Width = 1024
    """Width of a frame's token."""
    depth: Few = 8
    """Blocks."""
    heads: Few = 8
    """Attention heads."""
    mlp_ratio: Weight = 4.0
    """Inner width of the feed-forwards, as a multiple of `dim`."""
    audio_dim: Width = 512
    """Width of what a frame is told of the sound."""
    attention_window: Annotated[int, Field(ge=0, le=1024)] = 2
    """Frames to each side that a frame attends to."""
    max_frames: Frames = 60
    """Frames that are numbered: motion frames and those of a chunk."""
    conditioning: Conditioning = "adaln"
    """How frames are told: `adaln`, each by a modulation of its own (FLOAT's), or `cross_attention`."""
    uses_emotion: bool = True
    """Whether clips have an emotion that frames are told of; without it the scale of emotion changes nothing."""

    relative: bool = False
    """Whether latents are learned as differences from the portrait's; false, as released. True for codecs trained here:
    along their directions identities lie further apart than one face's motions."""

    @property
    def left_out(self) -> frozenset[str]:
        return frozenset() if self.uses_emotion else frozenset({"emotion"})

    @model_validator(mode="after")
    def heads_divide(self) -> Network:
        if self.dim % (2 * self.heads):
            raise ValueError(f"dim: {self.dim} must be divisible by twice the heads ({self.heads})")
        return self
