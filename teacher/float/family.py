"""FLOAT as a family: released weights, or trained here; told of the emotion, and of the sound of motion frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fada.family import Family, Guidance
from fada.teacher.float.codec_section import Codec
from fada.teacher.float.section import Network
from fada.teacher.float.settings import Pipeline

if TYPE_CHECKING:
    from fada.recipe.schema import Recipe


def check(recipe: Recipe) -> None:
    """Raises ValueError where clips do not fit a transformer that is trained here."""
    if recipe.teacher.path is not None:
        return
    network, clip = recipe.teacher.network, recipe.clip
    assert isinstance(network, Network)
    if clip.motion_frames + clip.frames > network.max_frames:
        raise ValueError(
            f"clip.motion_frames and clip.frames are {clip.motion_frames} and {clip.frames}, but "
            f"teacher.network.max_frames is {network.max_frames}; raise it to at least their sum"
        )


FLOAT = Family(
    name="float",
    title="FLOAT",
    pipeline="FloatPipeline",
    guidance=Guidance(
        ("nothing", "audio", "emotion"),
        {"audio": 2.0, "emotion": 1.0},
        {"audio": (1.0, 4.0), "emotion": (1.0, 4.0)},
    ),
    module="fada.teacher.float.networks",
    settings=Pipeline,
    section=Network,
    codec_section=Codec,
    stages=("audio", "vector_field"),
    is_imported=True,
    conditions=frozenset({"emotion"}),
    hears_motion=True,
    knows_portrait=True,
    check=check,
)
