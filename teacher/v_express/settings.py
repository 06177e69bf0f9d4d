"""Settings that folders of V-Express may give, class by class, and how large each may be."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from fada.pretrained.ranges import FPS, FRAMES, MOTION_FRAMES, SCALE
from fada.pretrained.settings import Count, Depth, PipelineSettings, Settings, UNet, Width, within

Scale = Annotated[float, within(SCALE)]
"""A guidance scale of a call."""

RELEASED_FPS = 30.0
"""Frames per second that the released weights were trained on."""
Weight = Annotated[float, Field(ge=-100, le=100)]
"""Of an attention."""


class ReferenceUNet(UNet):
    """unets.py."""

    token_dim: Width = 768


class DenoisingUNet(UNet):
    """fada.teacher.v_express.unets."""

    audio_dim: Width = 768
    max_frames: Annotated[int, Field(ge=1, le=1024)] = 32


class AudioResampler(Settings):
    """audio_projection.py."""

    states: Count = 10
    states_dim: Width = 768
    dim: Width = 768
    inner: Width = 768
    heads: Count = 12
    feed_forward: Annotated[int, Field(ge=1, le=65536)] = 3072
    depth: Depth = 4
    queries: Count = 5
    token_dim: Width = 768

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.inner % self.heads:
            raise ValueError(f"inner {self.inner} cannot be divided by heads {self.heads}")
        return self


class Pipeline(PipelineSettings):
    """Of the whole, as released; equal scales are V-Express's one guidance scale."""

    frames: Annotated[int, within(FRAMES)] = 24
    motion_frames: Annotated[int, within(MOTION_FRAMES)] = 0
    fps: Annotated[float, within(FPS)] = RELEASED_FPS
    audio_scale: Scale = 3.5
    reference_scale: Scale = 3.5
    reference_weight: Weight = 0.95
    audio_weight: Weight = 3.0
    overlap: Annotated[int, Field(ge=0, le=511)] = 4

    @model_validator(mode="after")
    def _moves_on(self) -> Self:
        if self.overlap >= self.frames:
            raise ValueError(f"overlap {self.overlap} must be less than frames {self.frames}")
        return self
