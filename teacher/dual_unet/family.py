"""FADA's dual UNet as a family."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fada.family import Family, Guidance
from fada.teacher.dual_unet.section import Network
from fada.teacher.dual_unet.settings import Pipeline

if TYPE_CHECKING:
    from fada.recipe.schema import Recipe


def check(recipe: Recipe) -> None:
    """Raises ValueError where clips do not fit networks that are trained here."""
    if recipe.teacher.path is not None:
        return
    network = recipe.teacher.network
    assert isinstance(network, Network)
    longest = recipe.clip.frames + recipe.clip.motion_frames
    if longest > network.max_frames:
        raise ValueError(
            f"clip.frames + clip.motion_frames is {longest}, but teacher.network.max_frames is "
            f"{network.max_frames}; raise the latter"
        )
    halvings = len(network.channels) - 1
    cell = recipe.vae.downscale * 2**halvings
    if recipe.vae.path is None and recipe.clip.size % cell:
        raise ValueError(
            f"clip.size {recipe.clip.size} must be a multiple of {cell} "
            f"(VAE {recipe.vae.downscale}x, {halvings} halvings in the network)"
        )


DUAL_UNET = Family(
    name="dual_unet",
    title="FADA's dual UNet",
    pipeline="FadaPipeline",
    guidance=Guidance(
        ("nothing", "reference", "audio"),
        {"reference": 2.5, "audio": 6.5},
        {"reference": (1.0, 4.0), "audio": (1.0, 9.0)},
    ),
    module="fada.teacher.dual_unet.networks",
    settings=Pipeline,
    section=Network,
    stages=("reference", "spatial", "audio", "temporal"),
    check=check,
)
