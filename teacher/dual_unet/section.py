"""What a recipe says of the dual UNet's networks."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from fada.recipe.sections.section import Few, Frames, Listed, Width
from fada.recipe.sections.teacher import AnyNetwork, Levels


class Network(AnyNetwork):
    """Shape of the dual UNet; the defaults are Stable Diffusion 1.5's."""

    channels: Levels = (320, 640, 1280, 1280)
    """Width of each level."""
    layers_per_block: Annotated[int, Field(ge=1, le=64)] = 2
    """Residual blocks per level on the way down (one more on the way up)."""
    heads: Few = 8
    """Attention heads."""
    attention_levels: Listed[bool] = (True, True, True, False)
    """Which levels have attention (spatial and audio)."""
    temporal_levels: Listed[bool] = (True, True, True, True)
    """Which levels have temporal attention; the middle block always has."""
    norm_groups: Width = 32
    """Groups of the group norms."""
    has_places: bool = False
    """Tell spatial attention where a token lies (fixed 2-D sinusoids). SD 1.5 has no such thing and must leave it off;
    small networks trained from nothing learn to read the reference much faster with it."""
    audio_tokens: Few = 32
    """Audio tokens per frame after projection."""
    audio_dim: Width = 768
    """Width of an audio token."""
    audio_hidden: Width = 512
    """Width of the audio projection's hidden layers."""
    max_frames: Frames = 32
    """Longest clip, motion frames included, that temporal positions can number."""

    @model_validator(mode="after")
    def levels_agree(self) -> Network:
        for name, levels in (("attention_levels", self.attention_levels), ("temporal_levels", self.temporal_levels)):
            if len(levels) != len(self.channels):
                raise ValueError(
                    f"{name} has {len(levels)} entries and channels {len(self.channels)}; "
                    "give one entry per level in both"
                )
        for width in self.channels:
            if width % self.norm_groups or width % self.heads:
                raise ValueError(
                    f"channels: {width} must be divisible by norm_groups ({self.norm_groups}) and heads ({self.heads})"
                )
        return self
