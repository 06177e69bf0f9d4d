"""V-Express as a family: released weights, or trained here; shown where eyes and nose are in every frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fada.family import Family, Guidance
from fada.teacher.v_express.section import Network
from fada.teacher.v_express.settings import Pipeline

if TYPE_CHECKING:
    from fada.recipe.schema import Recipe


def check(recipe: Recipe) -> None:
    """Raises ValueError where clips do not fit networks that are trained here, or have motion frames."""
    if recipe.clip.motion_frames:
        raise ValueError(
            f"clip.motion_frames: v_express has none, its contexts overlap instead: set it to 0, got "
            f"{recipe.clip.motion_frames}"
        )
    if recipe.teacher.path is not None:
        return
    network = recipe.teacher.network
    assert isinstance(network, Network)
    if recipe.clip.frames > network.max_frames:
        raise ValueError(
            f"clip.frames is {recipe.clip.frames}, but teacher.network.max_frames is {network.max_frames}; raise it"
        )
    if network.overlap >= recipe.clip.frames:
        raise ValueError(
            f"teacher.network.overlap: contexts of {recipe.clip.frames} frames cannot share {network.overlap}; lower it"
        )
    halvings = len(network.channels) - 1
    cell = recipe.vae.downscale * 2**halvings
    if recipe.vae.path is None and recipe.clip.size % cell:
        raise ValueError(
            f"clip.size {recipe.clip.size} must be a multiple of {cell} "
            f"(VAE {recipe.vae.downscale}x, {halvings} halvings in the network)"
        )


V_EXPRESS = Family(
    name="v_express",
    title="V-Express",
    pipeline="VExpressPipeline",
    guidance=Guidance(
        ("nothing", "reference", "audio"),
        {"reference": 3.5, "audio": 3.5},
        {"reference": (1.0, 4.0), "audio": (1.0, 9.0)},
    ),
    is_imported=True,
    module="fada.teacher.v_express.networks",
    settings=Pipeline,
    section=Network,
    conditions=frozenset({"keypoints"}),
    stages=("reference", "keypoints", "spatial", "audio", "temporal"),
    check=check,
    options=("reference_weight", "audio_weight", "frames", "overlap"),
)
