"""Settings that folders of Hallo may give, class by class, and how large each may be."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fada.pretrained.ranges import FRAMES, SCALE, STEPS
from fada.pretrained.settings import Count, PipelineSettings, Settings, UNet, Width, Widths, within

Scale = Annotated[float, within(SCALE)]
"""A guidance scale of a call."""


class ReferenceUNet(UNet):
    """unets.py."""

    token_dim: Width = 768


class DenoisingUNet(ReferenceUNet):
    """Likewise."""

    audio_dim: Width = 768
    max_frames: Annotated[int, Field(ge=1, le=1024)] = 32


class FaceProjection(Settings):
    """projections.py."""

    face_dim: Width = 512
    tokens: Count = 4
    token_dim: Width = 768


class FaceLocator(Settings):
    """Likewise."""

    out_channels: Width = 320
    channels: Widths = Field(default=[16, 32, 64, 128])


class Pipeline(PipelineSettings):
    """Of the whole, as released; equal scales are Hallo's one guidance scale."""

    frames: Annotated[int, within(FRAMES)] = 16
    steps: Annotated[int, within(STEPS)] = 40
    audio_scale: Scale = 3.5
    reference_scale: Scale = 3.5
    bank_tiling: Literal["released", "fixed"] = "released"
