"""What a recipe says of V-Express's networks."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from fada.recipe.sections.section import Few, Frames, FramesOrNone, Listed, Width
from fada.recipe.sections.teacher import AnyNetwork, Levels

MOTION_GROUPS = 32
"""Groups of the motion modules' norms: AnimateDiff's constant."""


class Network(AnyNetwork):
    """Shape of V-Express's networks; the defaults are the released ones'."""

    channels: Levels = (320, 640, 1280, 1280)
    """Width of each level, multiples of 32."""
    layers_per_block: Annotated[int, Field(ge=1, le=64)] = 2
    """Residual blocks per level on the way down (one more on the way up)."""
    heads: Few = 8
    """Attention heads."""
    attention_levels: Listed[bool] = (True, True, True, False)
    """Which levels have attention (reference and audio); all have motion modules."""
    norm_groups: Width = 32
    """Groups of the group norms."""
    audio_tokens: Few = 5
    """Audio tokens per frame: queries of the resampler."""
    audio_dim: Width = 768
    """Width of an audio token."""
    audio_hidden: Width = 768
    """Width within the resampler."""
    audio_heads: Few = 12
    """Its attention heads."""
    audio_depth: Few = 4
    """Its layers."""
    keypoint_channels: Levels = (16, 32, 96, 256)
    """Width of the keypoint guider's levels."""
    max_frames: Frames = 32
    """Longest context that the motion modules can number."""
    overlap: FramesOrNone = 4
    """Frames that neighbouring contexts of a long video share; their predictions are averaged in every step."""

    @model_validator(mode="after")
    def levels_agree(self) -> Network:
        if len(self.attention_levels) != len(self.channels):
            raise ValueError(
                f"attention_levels has {len(self.attention_levels)} entries and channels {len(self.channels)}; "
                "give one entry per level in both"
            )
        if len(self.keypoint_channels) != 4:
            raise ValueError(
                f"keypoint_channels: the guider halves its pictures three times: give 4 widths, got "
                f"{len(self.keypoint_channels)}"
            )
        for width in self.channels:
            if width % self.norm_groups or width % self.heads or width % MOTION_GROUPS:
                raise ValueError(
                    f"channels: {width} must be divisible by norm_groups ({self.norm_groups}), heads ({self.heads}) "
                    f"and the motion modules' {MOTION_GROUPS} groups"
                )
        if self.audio_hidden % self.audio_heads:
            raise ValueError(f"audio_hidden: {self.audio_hidden} must be divisible by audio_heads ({self.audio_heads})")
        return self
