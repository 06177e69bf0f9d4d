"""Recipe to data: clips, the VAE that encodes them, and shards of latents and audio states; all of it resumable."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from rich.console import Console
from rich.progress import track

from fada.build.checks import check_trained_clips
from fada.build.models import AudioEncoder, audio_encoder
from fada.build.run_folder import put_aside, trained_parts
from fada.build.run_vae import prepare_vae
from fada.build.sources import face_parts, sources_of
from fada.data.clip import Clip
from fada.data.clip_source import ClipsInMemory, ClipSource, LatentClip
from fada.data.dataset import hash_clips
from fada.data.location import Location
from fada.data.shard_set import ShardSet
from fada.data.shards import Sample, ShardError, read_index, read_shards, write_shards
from fada.data.stored_clips import StoredClips, face_clues
from fada.files.folders import inside
from fada.files.manifest import hash_file
from fada.files.whole import whole_folder
from fada.recipe.errors import RecipeError
from fada.recipe.schema import Recipe
from fada.teacher.vae import encode_frames, shift

SAMPLES_PER_SHARD = 100
ENCODING = 1
"""Raised when equal clips and encoders give other latents or states than before."""
PORTRAIT_RATIOS = (1.2, 2.0)
"""How much larger than the landmarks Hallo draws face and lips of the portrait that it animates."""


@dataclass(frozen=True)
class RunData:
    """What training and the report need of the data."""

    train: ClipSource
    test: list[Clip]
    vae: AutoencoderKL
    encoder: AudioEncoder

    @cached_property
    def train_hash(self) -> str:
        """Over all training clips, in their order."""
        return hash_clips(self.train)

    @property
    def latent_channels(self) -> int:
        return int(self.vae.config.latent_channels)

    def audio_shape(self, context: int) -> tuple[int, int, int]:
        """(window, layers, dim) of the audio encoder's states."""
        return 2 * context + 1, self.encoder.layers, self.encoder.states_dim


def prepare_data(recipe: Recipe, folder: Path, console: Console, makes: bool = True) -> RunData:
    """Make, or find again, everything between raw clips and training samples; for whoever holds the run's folder.

    Args:
        makes: what is missing, damaged or of other clips; else another process has done so, and nothing is written.

    Raises:
        RecipeError: shards hold features of other encoders than the recipe's, no clips that a part of it can use, or
            other clips than those that a part of the run was trained on.
    """
    sources = sources_of(recipe, folder, console, makes)
    has_features = recipe.data.train_shards is not None and holds_features(recipe)
    encoder = audio_encoder(recipe.audio)
    vae = prepare_vae(recipe, folder, sources["train"], console, makes)
    features = features_of(vae, encoder)
    if has_features and recipe.data.train_shards is not None:
        check_features(recipe, features)
        train = load_latents(recipe.data.train_shards)
    else:
        encoded = inside(folder, "data", "train")
        made_of = {**features, **_face_embedder(recipe), "clips": sources["train"].hash(), "encoding": str(ENCODING)}
        if makes and not _is_encoded(encoded, made_of, recipe, folder, console):
            samples = track(sources["train"], "encoding clips", console=console, total=None)
            with whole_folder(encoded, has_manifest=False) as partial:
                write_shards(encode_samples(samples, vae, encoder), partial, SAMPLES_PER_SHARD, made_of)
        train = load_latents(encoded)
    check_size(recipe, train, vae)
    check_trained_clips(recipe, train)
    console.print(f"data: {len(train)} training clips, {_where(train)}")
    return RunData(train, [_clip(sample) for sample in sources["test"]], vae, encoder)


def _where(clips: ClipSource) -> str:
    """Where training clips lie, for people."""
    if isinstance(clips, StoredClips):
        return f"read as they are needed from {clips.shard_bytes / 2**20:.1f} MiB of shards"
    held = sum(clip.latents.nbytes + clip.states.nbytes for clip in clips)
    return f"{held / 2**20:.1f} MiB in the memory of each process"


def _is_encoded(encoded: Path, made_of: dict[str, str], recipe: Recipe, folder: Path, console: Console) -> bool:
    """Whether a run's own shards are whole, and follow from what they would be made of now; others are put aside."""
    if not encoded.exists():
        return False
    fault = find_shard_fault(encoded)
    if fault is None:
        before = read_index(encoded).features
        if before == made_of:
            return True
        fault = "was made of other clips or encoders"
        trained = trained_parts(folder)
        # Earlier versions noted no clips.
        if trained and "clips" in before:
            raise RecipeError(
                f"{encoded}: {fault} than {recipe.data.train_shards or 'data.world'} and the recipe name now, and "
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


def holds_features(recipe: Recipe) -> bool:
    """Whether the training shards hold latents and audio states, and the recipe names a VAE that may have made them.

    Raises:
        RecipeError: only some clips have them, or the recipe trains its own VAE.
    """
    shards = recipe.data.train_shards
    assert shards is not None
    index = read_index(shards)
    latents, states = (index.parts.get(part, 0) for part in ("latents", "audio_states"))
    if not latents and not states:
        return False
    if (latents, states) != (index.samples, index.samples):
        raise RecipeError(
            f"data.train_shards: {shards}: {latents} clips with latents and {states} with audio states, of "
            f"{index.samples}; shard the clips again, with features or without"
        )
    if recipe.vae.path is None:
        raise RecipeError(
            f"data.train_shards: {shards}: holds latents of the VAE {index.features.get('vae')}, but this recipe "
            "trains a VAE of its own; give vae.path=... of the VAE that made them, or shard the clips again without "
            "--vae and --audio-encoder"
        )
    return True


def check_features(recipe: Recipe, features: dict[str, str]) -> None:
    """Refuse stored features that other encoders than the recipe's have made.

    Raises:
        RecipeError: naming the fingerprints of both.
    """
    shards, audio = recipe.data.train_shards, recipe.audio
    assert shards is not None
    stored = read_index(shards).features
    ours = {
        "vae": f"vae.path={recipe.vae.path}",
        "audio_encoder": f"audio.path={audio.path}, audio.rate={audio.rate}"
        if audio.path
        else f"audio.kind={audio.kind}",
    }
    differing = [
        f"{name} {stored.get(name)} made its features, but {ours[name]} is {features[name]}"
        for name in ours
        if stored.get(name) != features[name]
    ]
    if differing:
        raise RecipeError(
            f"data.train_shards: {shards}: {'; '.join(differing)}; name the encoders that made them (vae.path=..., "
            "audio), or shard the clips again without --vae and --audio-encoder"
        )


def check_size(recipe: Recipe, clips: ClipSource, vae: AutoencoderKL) -> None:
    """Refuse clips of another size than the recipe's.

    Raises:
        RecipeError: naming the first of them.
    """
    pixels = 2 ** (len(vae.config.block_out_channels) - 1)
    wanted = recipe.clip.size // pixels if recipe.clip.size % pixels == 0 else -1
    others = np.flatnonzero((clips.facts.sides != wanted).any(axis=1))
    if len(others):
        first = int(others[0])
        height, width = (int(side) * pixels for side in clips.facts.sides[first])
        raise RecipeError(
            f"data.train_shards: {recipe.data.train_shards}: clip {clips.key(first)} has {width}x{height} pixels, but "
            f"clip.size is {recipe.clip.size}; set clip.size, or prepare clips of that size"
        )


def encode_samples(
    samples: Iterable[Sample], vae: AutoencoderKL, encoder: AudioEncoder, keep_media: bool = False
) -> Iterator[Sample]:
    """The samples with VAE latents (float16) and the encoder's states (bfloat16, all layers).

    Frames and sound are dropped unless kept.
    """
    for sample in samples:
        if sample.frames is None or sample.audio is None:
            raise ValueError(f"{sample.key}: no frames or no sound to encode; write shards with both")
        latents = encode_frames(vae, sample.frames).to(torch.float16)
        states = encoder(torch.from_numpy(sample.audio).float()[None], len(sample.frames))[0].to(torch.bfloat16)
        encoded = replace(sample, latents=latents.cpu(), audio_states=states.cpu())
        yield encoded if keep_media else replace(encoded, frames=None, audio=None)


def load_latents(folder: str | Path, *, face_ratio: float = 1.0, lip_ratio: float = 1.0) -> ClipSource:
    """Training clips of shards with features, each read when it is asked for; with face clues where embedding and
    landmarks are stored. Those of an object store are read now, and held.

    Args:
        face_ratio, lip_ratio: how much larger than the landmarks the boxes of face and lips are; Hallo trains on 1.
    """
    location = Location(folder)
    if location.folder is not None:
        return StoredClips([ShardSet(location.folder)], face_ratio=face_ratio, lip_ratio=lip_ratio)
    clips = []
    for sample in read_shards(folder, parts=("latents", "audio_states", *face_parts(folder))):
        if sample.latents is None or sample.audio_states is None:
            continue
        face = face_clues(sample, face_ratio, lip_ratio)
        quality = str(sample.meta.get("quality", "A"))
        clips.append(LatentClip(sample.key, quality, sample.latents, sample.audio_states, face))
    return ClipsInMemory(clips)


def fingerprint(module: torch.nn.Module) -> str:
    """Short hash of a module's weights, in the order of their names."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def features_of(vae: AutoencoderKL, encoder: AudioEncoder) -> dict[str, str]:
    """What decides latents and audio states, as shards keep it: equal values mean equal features."""
    scale = f"{vae.config.scaling_factor:g} {shift(vae):g}"
    whole = hashlib.sha256(f"{fingerprint(vae)} {scale}".encode()).hexdigest()[:16]
    return {"vae": whole, "audio_encoder": encoder.fingerprint()}


def _face_embedder(recipe: Recipe) -> dict[str, str]:
    """What made the embeddings that a run takes over into its own shards; nothing where there are none."""
    shards = recipe.data.train_shards
    maker = None if shards is None else read_index(shards).features.get("face_embedder")
    return {} if maker is None else {"face_embedder": maker}


def _clip(sample: Sample) -> Clip:
    if sample.frames is None or sample.audio is None:
        raise ValueError(f"{sample.key}: held-out clips need frames and sound; write shards with both")
    face = face_clues(sample, *PORTRAIT_RATIOS, frames=1)
    return Clip(sample.key, sample.frames, sample.audio, meta=dict(sample.meta), face=face)
