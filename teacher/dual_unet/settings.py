"""Settings that folders of the dual UNet may give, class by class, and how large each may be."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from fada.pretrained.ranges import SCALE
from fada.pretrained.settings import Count, Depth, Flags, PipelineSettings, Settings, UNet, Width, within

Scale = Annotated[float, within(SCALE)]
"""A guidance scale of a call."""


class ReferenceUNet(UNet):
    """unets.py."""

    temporal_levels: Flags = Field(default=[True, True, True, True])
    has_places: bool = False

    @model_validator(mode="after")
    def _is_level_by_level(self) -> Self:
        if len(self.temporal_levels) != len(self.channels):
            raise ValueError(f"temporal_levels has {len(self.temporal_levels)} entries for {len(self.channels)} levels")
        return self


class DenoisingUNet(ReferenceUNet):
    """Likewise."""

    audio_dim: Width = 768
    max_frames: Annotated[int, Field(ge=1, le=1024)] = 32


class AudioProjection(Settings):
    """audio_projection.py."""

    window: Annotated[int, Field(ge=1, le=64)] = 5
    layers: Depth = 12
    states_dim: Width = 768
    hidden: Width = 512
    tokens: Count = 32
    token_dim: Width = 768


class Pipeline(PipelineSettings):
    """Of the whole."""

    audio_scale: Scale = 6.5
    reference_scale: Scale = 2.5
