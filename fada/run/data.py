"""Recipe to data: clips, the VAE that encodes them, and shards of latents and audio states; all of it resumable."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track

from fada.assembly.models import AudioEncoder, audio_encoder
from fada.data.audio.encoder import check_rate, states_of
from fada.data.clips.clip import Clip
from fada.data.sampling.clip_source import ClipSource
from fada.data.sampling.dataset import hash_clips
from fada.data.shards.held_out import HeldOutClips, clip_of
from fada.data.shards.reading import Sample, ShardError, read_index, write_shards
from fada.data.shards.shard_set import ShardSet
from fada.files.folders import inside
from fada.files.manifest import hash_file
from fada.files.whole import whole_folder
from fada.pretrained.weight_hash import weights_hash
from fada.recipe.errors import RecipeError
from fada.recipe.schema import Recipe
from fada.run.checks import check_trained_clips
from fada.run.folder import put_aside, trained_parts
from fada.run.sources import sources_of
from fada.run.stored_features import (
    check_emotion,
    check_features,
    check_held_out_emotion,
    check_keypoints,
    check_size,
    holds_features,
    load_latents,
    makes_states,
    where_of,
)
from fada.run.vae import prepare_vae
from fada.teacher.codec import encode_frames, is_own, latent_shape
from fada.teacher.vae import shift

SAMPLES_PER_SHARD = 100
ENCODING = 1
"""Raised when equal clips and encoders give other latents or states than before."""


@dataclass(frozen=True)
class RunData:
    """What training and the report need of the data."""

    train: ClipSource
    test: Sequence[Clip]
    vae: Any
    encoder: AudioEncoder

    @cached_property
    def train_hash(self) -> str:
        """Over all training clips, in their order."""
        return hash_clips(self.train)

    def latent_shape(self, size: int) -> tuple[int, ...]:
        """Of a frame of size x size pixels."""
        return latent_shape(self.vae, size)

    def audio_shape(self, context: int) -> tuple[int, int, int]:
        """(window, layers, dim) of the audio encoder's states."""
        return 2 * context + 1, self.encoder.layers, self.encoder.states_dim


def prepare_data(
    recipe: Recipe,
    folder: Path,
    console: Console,
    makes: bool = True,
    *,
    keypoints: bool | None = None,
    emotion: bool | None = None,
) -> RunData:
    """Make, or find again, everything between raw clips and training samples; for whoever holds the run's folder.

    Args:
        makes: what is missing, damaged or of other clips; else another process has done so, and nothing is written.
        keypoints: training and held-out clips have them; None: where the recipe's teacher is shown them.
        emotion: likewise; None: where the recipe's teacher is given one.

    Raises:
        RecipeError: shards hold features of other encoders than the recipe's, no clips that a part of it can use, or
            other clips than those that a part of the run was trained on; or keypoints or emotions are asked for that
            clips lack.
    """
    conditions = recipe.teacher.conditions
    keypoints = "keypoints" in conditions if keypoints is None else keypoints
    emotion = "emotion" in conditions if emotion is None else emotion
    sources = sources_of(recipe, folder, console, makes, keypoints=keypoints, emotion=emotion)
    has_features = bool(recipe.data.train_sets) and holds_features(recipe)
    encoder = audio_encoder(recipe.audio, recipe.clip.fps)
    vae = prepare_vae(recipe, folder, sources["train"], console, makes)
    features = features_of(vae, encoder)
    if has_features:
        check_features(recipe, features)
        sets = (each.path for each in recipe.data.train_sets)
        train = load_latents(
            *sets,
            cache=recipe.data.cache,
            keypoints=keypoints,
            emotion=emotion,
            by_shard=recipe.data.is_by_shard,
            encoder=encoder if makes_states(recipe) else None,
        )
    else:
        encoded = inside(folder, "data", "train")
        made_of = {**features, **_face_embedder(recipe), "clips": sources["train"].hash(), "encoding": str(ENCODING)}
        if makes and not _is_encoded(encoded, made_of, recipe, folder, console, keypoints=keypoints, emotion=emotion):
            samples = track(sources["train"], "encoding clips", console=console, total=None)
            with whole_folder(encoded, has_manifest=False) as partial:
                write_shards(encode_samples(samples, vae, encoder), partial, SAMPLES_PER_SHARD, made_of)
        train = load_latents(encoded, keypoints=keypoints, emotion=emotion)
    if keypoints:
        check_keypoints(recipe, train)
    if emotion:
        check_emotion(recipe, train)
    check_size(recipe, train, vae)
    check_trained_clips(recipe, train)
    console.print(f"data: {len(train)} training clips, {where_of(train)}")
    return RunData(train, _held_out(recipe, sources["test"], keypoints=keypoints, emotion=emotion), vae, encoder)


def held_out(recipe: Recipe, folder: Path, console: Console, makes: bool = True) -> Sequence[Clip]:
    """The held-out clips alone: nothing is asked of training clips, which may be gone.

    Args:
        makes: draw what is missing of a drawn world; else another process has done so.
    """
    keypoints, emotion = (each in recipe.teacher.conditions for each in ("keypoints", "emotion"))
    if recipe.data.test_shards is not None:
        return _held_out(recipe, (), keypoints=keypoints, emotion=emotion)
    source = sources_of(recipe, folder, console, makes, keypoints=keypoints, emotion=emotion)["test"]
    return _held_out(recipe, source, keypoints=keypoints, emotion=emotion)


def _held_out(recipe: Recipe, source: Iterable[Sample], *, keypoints: bool, emotion: bool) -> Sequence[Clip]:
    """Held-out clips; those of shards are decoded when they are needed."""
    shards = recipe.data.test_shards
    if shards is None:
        return [clip_of(sample, keypoints=keypoints, emotion=emotion) for sample in source]
    held = HeldOutClips(ShardSet(shards), keypoints=keypoints, emotion=emotion)
    if emotion:
        check_held_out_emotion(shards)
    return held


def _is_encoded(
    encoded: Path,
    made_of: dict[str, str],
    recipe: Recipe,
    folder: Path,
    console: Console,
    *,
    keypoints: bool,
    emotion: bool,
) -> bool:
    """Whether a run's own shards are whole, and follow from what they would be made of now; others are put aside."""
    if not encoded.exists():
        return False
    fault = find_shard_fault(encoded)
    if fault is None:
        index = read_index(encoded)
        before = index.features
        asked = {"keypoints": keypoints, "emotion": emotion}
        lacking = [part for part, is_asked in asked.items() if is_asked and not index.parts.get(part)]
        if before == made_of and not lacking:
            return True
        fault = f"has no {lacking[0]}" if before == made_of else "was made of other clips or encoders"
        trained = trained_parts(folder)
        # Earlier versions noted no clips.
        if trained and "clips" in before:
            raise RecipeError(
                f"{encoded}: {fault} than {recipe.data.train_name} and the recipe name now, and "
                f"{', '.join(trained)} trained on it; give back what it was made of, or start anew with output=..."
            )
    put_aside(encoded, fault, console)
    return False


def find_shard_fault(shards: Path) -> str | None:
    """What is wrong with a folder of shards, against its index; None for a whole one. Reads every byte of it."""
    try:
        listed = read_index(shards).shards
    except ShardError as error:
        return f"its index cannot be used ({error})"
    for shard in listed:
        file = inside(shards, shard.name)
        if not file.is_file():
            return f"{shard.name} is missing"
        if file.stat().st_size != shard.bytes or hash_file(file) != shard.sha256:
            return f"{shard.name} is damaged (it differs from what was written)"
    return None


def encode_samples(
    samples: Iterable[Sample], vae: Any, encoder: AudioEncoder | None, keeps: Collection[str] = ()
) -> Iterator[Sample]:
    """The samples with VAE latents (float16) and, of an encoder, its states (bfloat16, all layers).

    Of frames and audio those parts stay that are kept.

    Raises:
        ValueError: a sample has no frames or no sound, or another frame rate than the encoder hears at.
    """
    for sample in samples:
        if sample.frames is None or sample.audio is None:
            raise ValueError(f"{sample.key}: no frames or no sound to encode; write shards with both")
        if encoder is not None:
            check_rate(encoder, sample.key, sample.fps)
        latents = encode_frames(vae, sample.frames).to(torch.float16)
        states = None if encoder is None else states_of(encoder, sample.audio, len(sample.frames))
        dropped: dict[str, Any] = {part: None for part in ("frames", "audio") if part not in keeps}
        yield replace(sample, latents=latents.cpu(), audio_states=states, **dropped)


def fingerprint(module: torch.nn.Module) -> str:
    """Short hash of a module's weights, whatever their precision."""
    return weights_hash(module.state_dict())


def features_of(vae: Any, encoder: AudioEncoder | None) -> dict[str, str]:
    """What decides latents and, of an encoder, audio states, as shards keep it: equal values mean equal features."""
    # Of a family's own codec all of its settings, without what a library notes beside them (its version, what nobody
    # chose); of a VAE those that scale its latents.
    said = {name: value for name, value in vae.config.items() if not name.startswith("_")}
    own = json.dumps(said, sort_keys=True, default=str) if is_own(vae) else ""
    scale = own or f"{vae.config.scaling_factor:g} {shift(vae):g}"
    whole = hashlib.sha256(f"{fingerprint(vae)} {scale}".encode()).hexdigest()[:16]
    return {"vae": whole, **({} if encoder is None else {"audio_encoder": encoder.fingerprint()})}


def _face_embedder(recipe: Recipe) -> dict[str, str]:
    """What made the embeddings that a run takes over into its own shards; nothing where there are none."""
    makers = {read_index(each.path).features.get("face_embedder") for each in recipe.data.train_sets} - {None}
    return {"face_embedder": ", ".join(sorted(map(str, makers)))} if makers else {}
