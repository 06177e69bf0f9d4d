"""Recipe to data: clips, the VAE that encodes them, and shards of latents and audio states; all of it resumable."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from rich.console import Console
from rich.progress import track

from fada.build.checks import check_trained_clips
from fada.build.models import AudioEncoder, audio_encoder
from fada.data.clip import Clip, list_clips, read_clip, read_record
from fada.data.dataset import LatentClip
from fada.data.face import FaceClues, face_boxes
from fada.data.shards import Sample, read_index, read_shards, write_shards
from fada.data.world import make_world
from fada.engine.progress import step_bar
from fada.recipe.errors import RecipeError
from fada.recipe.schema import Recipe
from fada.teacher.vae import encode_frames, load_vae, new_vae, shift, train_vae

SAMPLES_PER_SHARD = 100
VAE_IMAGES = 12000
"""Images that a VAE is trained on, at most."""
PORTRAIT_RATIOS = (1.2, 2.0)
"""How much larger than the landmarks Hallo draws face and lips of the portrait that it animates."""


@dataclass(frozen=True)
class RunData:
    """What training and the report need of the data."""

    train: list[LatentClip]
    test: list[Clip]
    vae: AutoencoderKL
    encoder: AudioEncoder

    @property
    def latent_channels(self) -> int:
        return int(self.vae.config.latent_channels)

    def audio_shape(self, context: int) -> tuple[int, int, int]:
        """(window, layers, dim) of the audio encoder's states."""
        return 2 * context + 1, self.encoder.layers, self.encoder.states_dim


def prepare_data(recipe: Recipe, folder: Path, console: Console) -> RunData:
    """Make, or find again, everything between raw clips and training samples.

    Raises:
        RecipeError: shards hold features of other encoders than the recipe's, or no clips that a part of it can use.
    """
    sources: dict[str, Iterable[Sample]]
    has_features = False
    if recipe.data.world is not None:
        clips = _draw_world(recipe, folder / "data" / "clips", console)
        sources = {"train": _ClipFolder(clips, "train"), "test": _ClipFolder(clips, "test")}
    else:
        assert recipe.data.train_shards is not None
        assert recipe.data.test_shards is not None
        has_features = holds_features(recipe)
        sources = {"train": _Shards(recipe.data.train_shards), "test": _Shards(recipe.data.test_shards)}
    encoder = audio_encoder(recipe.audio)
    vae = _vae(recipe, folder, sources["train"], console)
    features = features_of(vae, encoder)
    if has_features and recipe.data.train_shards is not None:
        check_features(recipe, features)
        train = load_latents(recipe.data.train_shards)
    else:
        encoded = folder / "data" / "train"
        features |= _face_embedder(recipe)
        if not _has_shards(encoded, features):
            samples = track(sources["train"], "encoding clips", console=console, total=None)
            write_shards(encode_samples(samples, vae, encoder), encoded, SAMPLES_PER_SHARD, features)
        train = load_latents(encoded)
    check_size(recipe, train, vae)
    check_trained_clips(recipe, train)
    held = sum(clip.latents.nbytes + clip.states.nbytes for clip in train)
    console.print(f"data: {len(train)} training clips, {held / 2**20:.1f} MiB in the memory of each process")
    return RunData(train, [_clip(sample) for sample in sources["test"]], vae, encoder)


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


def check_size(recipe: Recipe, clips: Iterable[LatentClip], vae: AutoencoderKL) -> None:
    """Refuse clips of another size than the recipe's.

    Raises:
        RecipeError: naming the first of them.
    """
    pixels = 2 ** (len(vae.config.block_out_channels) - 1)
    for clip in clips:
        height, width = (side * pixels for side in clip.latents.shape[-2:])
        if (height, width) != (recipe.clip.size, recipe.clip.size):
            raise RecipeError(
                f"data.train_shards: {recipe.data.train_shards}: clip {clip.key} has {width}x{height} pixels, but "
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


def load_latents(folder: str | Path, *, face_ratio: float = 1.0, lip_ratio: float = 1.0) -> list[LatentClip]:
    """Training clips of shards with features, in memory; with face clues where embedding and landmarks are stored.

    Args:
        face_ratio, lip_ratio: how much larger than the landmarks the boxes of face and lips are; Hallo trains on 1.
    """
    clips = []
    for sample in read_shards(folder, parts=("latents", "audio_states", *_face_parts(folder))):
        if sample.latents is None or sample.audio_states is None:
            continue
        face = face_clues(sample, face_ratio, lip_ratio)
        quality = str(sample.meta.get("quality", "A"))
        clips.append(LatentClip(sample.key, quality, sample.latents, sample.audio_states, face))
    return clips


def face_clues(sample: Sample, face_ratio: float, lip_ratio: float, frames: int | None = None) -> FaceClues | None:
    """What a sample tells of its face, boxes around the first `frames` (all); None without embedding or landmarks."""
    if sample.face is None or sample.landmarks is None:
        return None
    landmarks = sample.landmarks["landmarks"][:frames].float().numpy()
    return FaceClues(sample.face.float(), *face_boxes(landmarks, face_ratio, lip_ratio))


def _face_parts(shards: str | Path) -> tuple[str, ...]:
    """Parts that tell of faces; landmarks alone tell nothing and stay unread."""
    return ("face", "landmarks") if read_index(shards).parts.get("face") else ()


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


class _ClipFolder:
    """Clips of one split as samples, read anew at every pass."""

    def __init__(self, folder: Path, split: str) -> None:
        self.folder, self.split = folder, split

    def __iter__(self) -> Iterator[Sample]:
        for key in list_clips(self.folder):
            if _split_of(self.folder, key) == self.split:
                clip = read_clip(self.folder, key)
                yield Sample(clip.key, clip.meta, clip.frames, clip.audio)


class _Shards:
    """Frames and sound of shards as samples, with what tells of faces, read anew at every pass."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __iter__(self) -> Iterator[Sample]:
        yield from read_shards(self.folder, parts=("frames", "audio", *_face_parts(self.folder)))


def _face_embedder(recipe: Recipe) -> dict[str, str]:
    """What made the embeddings that a run takes over into its own shards; nothing where there are none."""
    shards = recipe.data.train_shards
    maker = None if shards is None else read_index(shards).features.get("face_embedder")
    return {} if maker is None else {"face_embedder": maker}


def _split_of(folder: Path, key: str) -> str:
    """The split of a clip, from its record alone: nothing is decoded."""
    return str(read_record(folder / f"{key}.json")["meta"].get("split", "train"))


def _clip(sample: Sample) -> Clip:
    if sample.frames is None or sample.audio is None:
        raise ValueError(f"{sample.key}: held-out clips need frames and sound; write shards with both")
    face = face_clues(sample, *PORTRAIT_RATIOS, frames=1)
    return Clip(sample.key, sample.frames, sample.audio, meta=dict(sample.meta), face=face)


def _draw_world(recipe: Recipe, clips: Path, console: Console) -> Path:
    world = recipe.data.world
    assert world is not None
    total = world.clips + world.test_clips
    with console.status(f"drawing {total} clips") as status:
        make_world(
            clips,
            world.clips,
            world.seed,
            recipe.clip.size,
            world.frames,
            world.flawed_share,
            workers=min(4, os.cpu_count() or 1),
            test_clips=world.test_clips,
            progress=lambda done, of: status.update(f"drawing clips: {done} of {of}"),
        )
    return clips


def _vae(recipe: Recipe, folder: Path, samples: Iterable[Sample], console: Console) -> AutoencoderKL:
    """The recipe's VAE: loaded, found again in the run, or trained on frames of the training clips."""
    saved = recipe.vae.path or folder / "vae"
    if (saved / "config.json").is_file():
        return load_vae(saved)
    if recipe.vae.path is not None:
        raise ValueError(f"vae.path: {saved} holds no diffusers VAE (no config.json)")
    settings = recipe.vae.train
    torch.manual_seed(recipe.seed)
    vae = new_vae(recipe.vae.channels, recipe.vae.latent_channels)
    frames = _some_frames(samples, VAE_IMAGES)
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
    partial = folder / ".partial-vae"
    vae.save_pretrained(str(partial))
    os.replace(partial, folder / "vae")
    return vae


def _some_frames(samples: Iterable[Sample], most: int) -> np.ndarray:
    """Evenly spread frames (N, H, W, 3) of all clips, about `most` when a clip gives ten."""
    chosen = [sample.frames[:: max(1, len(sample.frames) // 10)] for sample in samples if sample.frames is not None]
    frames = np.concatenate(chosen)
    return frames[:: max(1, math.ceil(len(frames) / most))]


def _has_shards(folder: Path, features: dict[str, str]) -> bool:
    return (folder / "index.json").is_file() and read_index(folder).features == features
