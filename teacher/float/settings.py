"""Settings that folders of FLOAT may give, class by class, and how large each may be."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from fada.pretrained.ranges import CONTEXT, FRAMES, MOTION_FRAMES, SCALE, STEPS
from fada.pretrained.settings import Count, Depth, PipelineSettings, Settings, Width, within

Scale = Annotated[float, within(SCALE)]
"""A guidance scale of a call."""
Conditioning = Literal["adaln", "cross_attention"]
"""How frames are told: each by a modulation of its own, or by attention to what neighbouring frames are told."""
EMOTIONS = 7
LICENCE = "cc-by-nc-nd-4.0"
"""Of the released weights, as their page says; the licence file beside the code leaves out the last clause."""


class VectorField(Settings):
    """transformer.py; the defaults are the released one's."""

    latent_dim: Width = 512
    dim: Width = 1024
    depth: Depth = 8
    heads: Count = 8
    mlp_ratio: Annotated[float, Field(gt=0, le=16)] = 4.0
    audio_dim: Width = 512
    attention_window: Annotated[int, Field(ge=0, le=1024)] = 2
    max_frames: Annotated[int, Field(ge=1, le=1024)] = 60
    conditioning: Conditioning = "adaln"
    uses_emotion: bool = True
    relative: bool = False

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.dim % (2 * self.heads):
            raise ValueError(f"dim {self.dim} must be even in each of {self.heads} heads")
        return self


class AudioProjection(Settings):
    """audio_projection.py."""

    window: Annotated[int, Field(ge=1, le=63)] = 1
    layers: Count = 12
    states_dim: Width = 768
    dim: Width = 512


class Pipeline(PipelineSettings):
    """Of the whole, as released: two seconds at once, after the last 10 frames of those before.

    Its steps are evaluations: the public code's `nfe 10` are ten points, and nine Euler steps between them.
    """

    frames: Annotated[int, within(FRAMES)] = 50
    motion_frames: Annotated[int, within(MOTION_FRAMES)] = 10
    context: Annotated[int, within(CONTEXT)] = 0
    steps: Annotated[int, within(STEPS)] = 9
    audio_scale: Scale = 2.0
    emotion_scale: Scale = 1.0
