"""Hallo as a family: released weights, told of the face."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fada.family import Family, Guidance
from fada.teacher.hallo.settings import Pipeline

if TYPE_CHECKING:
    from fada.recipe.schema import Recipe


def check(recipe: Recipe) -> None:
    """Raises ValueError for a recipe whose clips or sound are not what Hallo was trained on."""
    if recipe.data.world is not None:
        raise ValueError("teacher.kind: hallo needs clips whose faces are known: give shards, not data.world")
    if recipe.audio.kind == "wav2vec2" and recipe.audio.rate != "features":
        raise ValueError(
            "audio.rate: hallo hears wav2vec2 states that were brought to video rate before the transformer; "
            "set audio.rate: features"
        )


HALLO = Family(
    name="hallo",
    title="Hallo",
    pipeline="HalloPipeline",
    guidance=Guidance(
        ("nothing", "reference", "audio"),
        {"reference": 3.5, "audio": 3.5},
        {"reference": (1.0, 4.0), "audio": (1.0, 9.0)},
    ),
    is_imported=True,
    module="fada.teacher.hallo.networks",
    settings=Pipeline,
    conditions=frozenset({"face"}),
    options=("bank_tiling", "motion_frames"),
    check=check,
)
