"""``fada data encode``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fada.cli.encoders import located_encoders
from fada.cli.options import (
    Cluster,
    Device,
    DropFrames,
    EmotionClassifier,
    EncodingDevice,
    FaceEmbedder,
    KeepMedia,
    Overwrite,
    ShardWorkers,
)
from fada.cli.say import say


def encode(
    shards: Annotated[
        str,
        typer.Argument(
            metavar="SHARDS", help="Shards with frames and sound, or a folder with their splits; or s3://bucket/folder."
        ),
    ],
    out: Annotated[
        str,
        typer.Option("--out", metavar="SHARDS2", help="Folder for the encoded shards, or s3://bucket/folder."),
    ],
    vae: Annotated[Path, typer.Option(metavar="PATH", help="A diffusers AutoencoderKL: makes the latents.")],
    audio_encoder: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="An audio encoder's folder (wav2vec2, Whisper, log-mel): makes the states. Without it training makes "
            "them of the sound (audio.states: from_sound).",
        ),
    ] = None,
    face_embedder: FaceEmbedder = None,
    emotion_classifier: EmotionClassifier = None,
    keeps_media: KeepMedia = True,
    drops_frames: DropFrames = False,
    workers: ShardWorkers = None,
    cluster: Cluster = None,
    device: Device = EncodingDevice.CPU,
    overwrite: Overwrite = False,
) -> None:
    """Shards of frames and sound to shards with latents, audio states and masks, shard by shard.

    Each shard becomes one of the same number, with the same clips in the same order: the bytes that fada data shard
    writes when it is given the encoders. What else there is (landmarks, face embeddings, emotions) is passed on, or
    made anew by the network that is named. The same command again goes on where it stopped. A damaged shard is named
    and not encoded; the others are.

    Examples:

      fada data encode data/shards --out data/encoded --vae weights/vae --audio-encoder weights/wav2vec2
      fada data encode data/shards/train --out data/encoded/train --vae V --audio-encoder A --workers 8 --drop-media
      fada data encode data/shards --out data/encoded --vae weights/vae --drop-frames --device cuda --workers 8
      fada data encode data/shards --out data/encoded --vae weights/vae --emotion-classifier weights/emotion
      fada data encode s3://bucket/raw --out s3://bucket/encoded --vae /disk/vae --audio-encoder /disk/w2v --cluster ray
    """
    if audio_encoder is None and not keeps_media:
        raise typer.BadParameter("--drop-media: without audio states the sound must stay; give --drop-frames instead")
    from functools import partial

    from fada.cli.progress import progress_bar
    from fada.packing.encode import encode_shards
    from fada.packing.tools import load_tools

    encoders = located_encoders(vae, audio_encoder)
    models = [None if path is None else path.absolute() for path in (*encoders, face_embedder, emotion_classifier)]
    with progress_bar("encoding clips", unit="clips") as progress:
        made = encode_shards(
            shards,
            out,
            partial(load_tools, *models),
            keeps_media=keeps_media,
            keeps_frames=not drops_frames,
            workers=workers,
            cluster=cluster,
            device=device.value,
            overwrite=overwrite,
            on_progress=lambda told: progress(told.done, told.total),
        )
    for folder, index in made.indices.items():
        there = made.resumed[folder]
        before = f", {there} of them encoded before" if there else ""
        say(f"{folder}: {index.samples} clips in {len(index.shards)} shards{before}")
