"""Settings that folders of the motion autoencoder may give, and how large each may be."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from fada.pretrained.settings import Settings

SIZES = (16, 32, 64, 128, 256, 512, 1024)
"""Of pictures, along one side."""


class MotionAutoencoder(Settings):
    """fada.teacher.float.motion_autoencoder."""

    size: Literal[16, 32, 64, 128, 256, 512, 1024] = 512
    style_dim: Annotated[int, Field(ge=1, le=8192)] = 512
    motion_dim: Annotated[int, Field(ge=1, le=256)] = 20
    channels: Annotated[list[Annotated[int, Field(ge=3, le=4096)]], Field(max_length=9)] = Field(default=[])
    edges: Literal["released", "replicated"] = "released"
    in_pixels: bool = False
    fills: bool = False
    finds_face: bool = False
    coordinates: bool = False
    scaling_factor: Annotated[float, Field(gt=1e-6, le=1e6)] = 1.0
    shift: Annotated[list[Annotated[float, Field(ge=-1e6, le=1e6)]], Field(max_length=256)] = Field(default=[])
    reach: Annotated[list[Annotated[float, Field(gt=0.0, le=1e6)]], Field(max_length=256)] = Field(default=[])

    @model_validator(mode="after")
    def _fits(self) -> Self:
        levels = self.size.bit_length() - 2
        if self.channels and len(self.channels) != levels:
            raise ValueError(f"channels has {len(self.channels)} entries, pictures of {self.size} have {levels} levels")
        if self.shift and len(self.shift) != self.motion_dim:
            raise ValueError(f"shift has {len(self.shift)} numbers for {self.motion_dim} directions")
        if self.reach and (len(self.reach) != self.motion_dim or not self.finds_face):
            raise ValueError(f"reach is for {self.motion_dim} directions, with finds_face, got {len(self.reach)}")
        if self.motion_dim > self.style_dim:
            raise ValueError(f"motion_dim {self.motion_dim} must not be above style_dim {self.style_dim}")
        return self
