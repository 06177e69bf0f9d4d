"""The toy family as a value."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from fada.family import Family, Guidance
from fada.pretrained.settings import PipelineSettings

Scale = Annotated[float, Field(ge=0, le=100)]


class Pipeline(PipelineSettings):
    """Its scales have names of their own."""

    look_scale: Scale = 1.5
    voice_scale: Scale = 2.0


TOY = Family(
    name="toy",
    title="A toy",
    pipeline="ToyPipeline",
    guidance=Guidance(
        ("blank", "look", "voice"), {"look": 1.5, "voice": 2.0}, {"look": (1.0, 2.0), "voice": (1.0, 3.0)}
    ),
    module="toy.networks",
    settings=Pipeline,
)
