"""Training clips whose latents and audio states are stored: which shards hold them, whose they are, and the clips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fada.data.audio.encoder import AudioEncoder
from fada.data.sampling.clip_source import ClipSource, latent_sides
from fada.data.sampling.mixture import Mixture
from fada.data.shards.parts_cache import PartsCache
from fada.data.shards.reading import read_index
from fada.data.shards.shard_set import ShardSet
from fada.data.shards.stored_clips import StoredClips
from fada.recipe.errors import RecipeError
from fada.recipe.schema import Recipe
from fada.recipe.sections.data import Cache
from fada.teacher.codec import latent_shape, pixels_per_cell


def holds_features(recipe: Recipe) -> bool:
    """Whether the training shards hold latents and audio states, and the recipe names a VAE that may have made them.

    Raises:
        RecipeError: only some clips have them, or the recipe trains its own VAE.
    """
    sets = [each.path for each in recipe.data.train_sets]
    having = [shards for shards in sets if _has_features(recipe, shards)]
    if 0 < len(having) < len(sets) or (len(sets) > 1 and not having):
        without = next(shards for shards in sets if shards not in having)
        raise RecipeError(
            f"data.train_shards: {without}: holds no latents and audio states; of several sets all need them: make "
            f"them with fada data encode {without} --out SHARDS --vae DIR --audio-encoder DIR"
        )
    return bool(having)


def _has_features(recipe: Recipe, shards: str) -> bool:
    index = read_index(shards)
    latents, states, sound = (index.parts.get(part, 0) for part in ("latents", "audio_states", "audio"))
    if not latents and not states:
        return False
    if makes_states(recipe):
        if (latents, sound) != (index.samples, index.samples):
            raise RecipeError(
                f"data.train_shards: {shards}: {latents} clips with latents and {sound} with sound, of "
                f"{index.samples}, and audio.states: from_sound needs both; encode the shards again and keep the sound "
                "(fada data encode, without --drop-media), or use stored states"
            )
    elif (latents, states) != (index.samples, index.samples):
        raise RecipeError(
            f"data.train_shards: {shards}: {latents} clips with latents and {states} with audio states, of "
            f"{index.samples}; shard the clips again, and give all of them features with fada data encode, or none; "
            "where all have latents and sound, audio.states: from_sound does without states"
        )
    if recipe.vae.path is None and not _has_codec(recipe):
        raise RecipeError(
            f"data.train_shards: {shards}: holds latents of the VAE {index.features.get('vae')}, but this recipe "
            "trains a VAE of its own; give vae.path=... of the VAE that made them, or shard the clips again without "
            "--vae and --audio-encoder"
        )
    return True


def makes_states(recipe: Recipe) -> bool:
    """Whether audio states of stored latents are made of sound as clips are drawn."""
    return recipe.audio.states == "from_sound"


def check_features(recipe: Recipe, features: dict[str, str]) -> None:
    """Refuse stored features that other encoders than the recipe's have made.

    Raises:
        RecipeError: naming the fingerprints of both.
    """
    audio = recipe.audio
    ours = {
        "vae": f"vae.path={recipe.vae.path}",
        "audio_encoder": f"audio.path={audio.path}, audio.rate={audio.rate}"
        if audio.path
        else f"audio.kind={audio.kind}",
    }
    for shards in (each.path for each in recipe.data.train_sets):
        stored = read_index(shards).features
        differing = [
            f"{name} {stored.get(name)} made its features, but {ours[name]} is {features[name]}"
            for name in ours
            if stored.get(name) != features[name] and not (name == "audio_encoder" and makes_states(recipe))
        ]
        if differing:
            raise RecipeError(
                f"data.train_shards: {shards}: {'; '.join(differing)}; name the encoders that made them "
                "(vae.path=..., audio), encode shards of frames and sound with these (fada data encode), or shard "
                "the clips again without --vae and --audio-encoder"
            )


def _has_codec(recipe: Recipe) -> bool:
    """Whether the recipe's teacher brings the codec of its family along."""
    return recipe.teacher.path is not None and hasattr(recipe.teacher.family.networks, "CODEC")


def check_size(recipe: Recipe, clips: ClipSource, vae: Any) -> None:
    """Refuse clips of another size than the recipe's.

    Raises:
        RecipeError: naming the first of them.
    """
    pixels = pixels_per_cell(vae)
    fits = recipe.clip.size % pixels == 0
    wanted = latent_sides((1, *latent_shape(vae, recipe.clip.size))) if fits else (-1, -1)
    others = np.flatnonzero((clips.facts.sides != np.array(wanted)).any(axis=1))
    if len(others):
        first = int(others[0])
        height, width = (int(side) * pixels for side in clips.facts.sides[first])
        raise RecipeError(
            f"data.train_shards: {recipe.data.train_name}: clip {clips.key(first)} has {width}x{height} pixels, but "
            f"clip.size is {recipe.clip.size}; set clip.size, or prepare clips of that size"
        )


def load_latents(
    *folders: str | Path,
    face_ratio: float = 1.0,
    lip_ratio: float = 1.0,
    cache: Cache | None = None,
    keypoints: bool = False,
    emotion: bool = False,
    by_shard: bool = False,
    encoder: AudioEncoder | None = None,
) -> StoredClips:
    """Training clips of sets of shards with features, each read when it is asked for; with face clues where embedding
    and landmarks are stored.

    Args:
        face_ratio, lip_ratio: how much larger than the landmarks the boxes of face and lips are; Hallo trains on 1.
        cache: for sets in object stores.
        keypoints: whether they are read, too.
        emotion: whether it is read, too.
        by_shard: whether they shall be drawn shard by shard.
        encoder: makes audio states of sound; None: they are stored.
    """
    kept = None if cache is None else PartsCache(cache.path, int(cache.gib * 2**30))
    sets = [ShardSet(folder, kept) for folder in folders]
    return StoredClips(
        sets,
        face_ratio=face_ratio,
        lip_ratio=lip_ratio,
        keypoints=keypoints,
        emotion=emotion,
        by_shard=by_shard,
        encoder=encoder,
    )


def check_keypoints(recipe: Recipe, clips: ClipSource) -> None:
    """Refuse clips of which some have no keypoints, for a teacher that is shown them.

    Raises:
        RecipeError: naming the first of them.
    """
    without = np.flatnonzero(~clips.facts.has_keypoints)
    if len(without):
        raise RecipeError(
            f"data: {recipe.data.train_name}: {len(without)} of {len(clips)} training clips have no keypoints, which "
            f"the teacher is shown, {clips.key(int(without[0]))} among them; they come with the landmarks of fada data "
            "prepare: prepare the clips with it, then fada data shard"
        )


def check_emotion(recipe: Recipe, clips: ClipSource) -> None:
    """Refuse clips of which some have no emotion, for a teacher that is given one.

    Raises:
        RecipeError: naming the first of them.
    """
    without = np.flatnonzero(~clips.facts.has_emotion)
    if len(without):
        what = (
            "set data.world.emotion=true, which draws it"
            if recipe.data.world is not None
            else "shard the clips again with fada data shard --emotion-classifier"
        )
        raise RecipeError(
            f"data: {recipe.data.train_name}: {len(without)} of {len(clips)} training clips have no emotion, which the "
            f"teacher is given, {clips.key(int(without[0]))} among them; {what}"
        )


def check_held_out_emotion(shards: str) -> None:
    """Refuse held-out clips of which some have no emotion, which would count as neutral.

    Raises:
        RecipeError: naming the shards.
    """
    index = read_index(shards)
    without = index.samples - index.parts.get("emotion", 0)
    if without:
        raise RecipeError(
            f"data.test_shards: {shards}: {without} of {index.samples} clips have no emotion, which the teacher is "
            "given; shard the clips again with fada data shard --emotion-classifier"
        )


def mixture_of(recipe: Recipe) -> Mixture | None:
    """Shares of sets and qualities that the recipe asks for, None where every epoch has all clips once."""
    weights = [each.weight for each in recipe.data.train_sets if each.weight is not None]
    # One set has all of it, whatever its weight.
    sets = tuple(weights) if len(weights) > 1 else None
    qualities = recipe.data.quality_weights
    return None if sets is None and qualities is None else Mixture(sets, qualities)


def where_of(clips: StoredClips) -> str:
    """Where training clips lie, for people."""
    return f"read as they are needed from {clips.shard_bytes / 2**20:.1f} MiB of shards"
