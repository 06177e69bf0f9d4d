"""A run's own VAE, or its family's codec: trained on its training clips, and known by what it was made from."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from diffusers import AutoencoderKL
from rich.console import Console

from fada.data.sampling.seeds import seeded
from fada.data.shards.reading import Sample
from fada.engine.progress import step_bar
from fada.eval.bench.results import fingerprint as hash_of
from fada.export.opening import find_teacher, header_faults
from fada.files.folders import inside
from fada.files.manifest import MANIFEST, find_fault, read_manifest, write_manifest
from fada.files.whole import whole_folder
from fada.pretrained.networks import load_network
from fada.pretrained.shipped import located
from fada.recipe.errors import RecipeError
from fada.recipe.schema import Recipe
from fada.run.codec import CODEC, train_codec, trains_codec
from fada.run.folder import put_aside, trained_parts
from fada.run.sources import Source
from fada.teacher.vae import load_vae, new_vae, train_vae

VAE_IMAGES = 12000
"""Images that a VAE is trained on, at most."""
MADE_OF = "made_of"
"""In the manifest: what a VAE follows from, by hash."""


def open_vae(recipe: Recipe, folder: Path) -> Any:
    """The recipe's VAE as it lies there, the run's own unchecked; None where that is not trained yet.

    Raises:
        ValueError: the recipe names a folder without one, or one that is damaged.
    """
    own = own_codec(recipe)
    if own is not None:
        return own
    networks = recipe.teacher.family.networks
    saved = inside(folder, "vae") if recipe.vae.path is None else located(recipe.vae.path)
    if not (saved / "config.json").is_file():
        if recipe.vae.path is not None:
            wanted = networks.CODEC.__name__ if hasattr(networks, "train_codec") else "diffusers VAE"
            raise ValueError(f"vae.path: {recipe.vae.path} holds no {wanted} (no config.json)")
        return None
    fault = header_faults(saved)
    if fault is not None:
        raise ValueError(f"{saved}: {fault}; it is damaged, fetch it or make it again")
    if hasattr(networks, "train_codec"):
        return load_network(saved, networks.CODEC).requires_grad_(False)
    return load_vae(saved)


def own_codec(recipe: Recipe) -> Any:
    """The codec of a family that has one of its own: its teacher's where there is a teacher, or one with nothing to
    learn; None for all others, and for a codec that is learned, which lies where VAEs do."""
    networks = recipe.teacher.family.networks
    if not hasattr(networks, "new_codec"):
        return None
    if recipe.teacher.path is not None:
        folder = find_teacher(recipe.teacher.path) / "vae"
        if folder.is_dir():
            return load_network(folder, networks.CODEC)
    if hasattr(networks, "train_codec"):
        return None
    with seeded(recipe.seed, "vae"):
        return networks.new_codec(recipe)


def prepare_vae(recipe: Recipe, folder: Path, source: Source, console: Console, makes: bool = True) -> Any:
    """The recipe's VAE: loaded, found again in the run, or trained on frames of the training clips; or the family's own
    codec, likewise where it has something to learn.

    Args:
        makes: train it where it is missing, damaged, or not of these clips; else another process has done so.

    Raises:
        RecipeError: the clips have changed since the run's VAE was trained, and more was trained with it.
    """
    own = own_codec(recipe)
    if own is not None:
        return own
    if recipe.vae.path is None and makes:
        _check_own(recipe, folder, source, console)
    found = open_vae(recipe, folder)
    if found is None and not makes:
        raise RecipeError(f"{folder / 'vae'}: the run's VAE is missing; repeat the command that trains the run")
    return _trained(recipe, folder, source, console) if found is None else found


def _check_own(recipe: Recipe, folder: Path, source: Source, console: Console) -> None:
    """Put the run's VAE aside where it is damaged, or of other clips than those of now."""
    saved = inside(folder, "vae")
    if not saved.exists():
        return
    fault = find_fault(saved) if (saved / MANIFEST).exists() else _earlier_fault(saved)
    if fault is not None:
        put_aside(saved, fault, console)
        return
    before = read_manifest(saved).get(MADE_OF) if (saved / MANIFEST).is_file() else None
    if before is None or before == _made_of(recipe, source):
        return
    trained = trained_parts(folder)
    if trained:
        raise RecipeError(
            f"{saved}: was trained on other clips than {_named(recipe)} holds now, and {', '.join(trained)} with it; "
            "give back the earlier clips, or start anew with output=..."
        )
    for part in (saved, inside(folder, CODEC)):
        if part.exists():
            put_aside(part, f"was trained on other clips than {_named(recipe)} holds now", console)


def _earlier_fault(saved: Path) -> str | None:
    """Of a VAE without a manifest, as earlier versions wrote it."""
    return header_faults(saved) if (saved / "config.json").is_file() else "incomplete, it has no config.json"


def _named(recipe: Recipe) -> str:
    return recipe.data.train_name


def _made_of(recipe: Recipe, source: Source) -> dict[str, str]:
    settings = [recipe.vae.model_dump(mode="json"), recipe.seed]
    if trains_codec(recipe):
        settings = [recipe.teacher.codec.model_dump(mode="json"), recipe.clip.size, recipe.seed]
    return {"settings": hash_of(settings), "clips": source.hash()}


def _trained(recipe: Recipe, folder: Path, source: Source, console: Console) -> Any:
    made_of = _made_of(recipe, source)
    if trains_codec(recipe):
        made = train_codec(recipe, folder, made_of, console)
    else:
        made = _trained_vae(recipe, source, console)
    with whole_folder(inside(folder, "vae"), has_manifest=False) as partial:
        made.save_pretrained(str(partial))
        write_manifest(partial, made_of=made_of)
    return made


def _trained_vae(recipe: Recipe, source: Source, console: Console) -> AutoencoderKL:
    settings = recipe.vae.train
    with seeded(recipe.seed, "vae"):
        vae = new_vae(recipe.vae.channels, recipe.vae.latent_channels)
    frames = _some_frames(source, VAE_IMAGES)
    console.print(
        f"vae: training on {len(frames)} images, {sum(p.numel() for p in vae.parameters()) / 1e6:.2f} M weights"
    )
    with step_bar("vae", settings.steps, console) as on_step:
        train_vae(
            vae,
            frames,
            steps=settings.steps,
            batch=settings.batch,
            lr=settings.lr,
            seed=recipe.seed,
            on_step=on_step,
        )
    return vae


def _some_frames(samples: Iterable[Sample], most: int) -> np.ndarray:
    """Evenly spread frames (N, H, W, 3) of all clips, about `most` when a clip gives ten."""
    chosen = [sample.frames[:: max(1, len(sample.frames) // 10)] for sample in samples if sample.frames is not None]
    frames = np.concatenate(chosen)
    return frames[:: max(1, math.ceil(len(frames) / most))]
