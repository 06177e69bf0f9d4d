"""``fada data shard``."""

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


def shard(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of clips (mp4 + wav + json).")],
    out: Annotated[
        str,
        typer.Option(
            "--out",
            metavar="SHARDS",
            help="Folder for the shards, or s3://bucket/folder; each split gets a folder in it.",
        ),
    ],
    vae: Annotated[
        Path | None, typer.Option(metavar="PATH", help="A diffusers AutoencoderKL: store latents too.")
    ] = None,
    audio_encoder: Annotated[
        Path | None, typer.Option(metavar="PATH", help="An audio encoder's folder: store its states too.")
    ] = None,
    face_embedder: FaceEmbedder = None,
    emotion_classifier: EmotionClassifier = None,
    takes_all: Annotated[
        bool, typer.Option("--all", help="Also clips that fada data filter put into neither set.")
    ] = False,
    keeps_media: KeepMedia = True,
    drops_frames: DropFrames = False,
    workers: ShardWorkers = None,
    cluster: Cluster = None,
    device: Device = EncodingDevice.CPU,
    overwrite: Overwrite = False,
) -> None:
    """Clips to WebDataset shards; latents, masks, audio states and face embeddings are optional.

    The same command again goes on where it was broken off. A clip that cannot be read is named, and its shard not
    written; the others are.

    Examples:

      fada data shard data/clips --out data/shards --workers 8
      fada data shard data/clips --out data/shards --vae weights/vae --audio-encoder weights/wav2vec2 --drop-frames
      fada data shard data/clips --out data/shards --face-embedder weights/glintr100.onnx
      fada data shard data/clips --out data/shards --emotion-classifier weights/speech-emotion
      fada data shard /disk/clips --out s3://bucket/shards --cluster ray=HOST:6379

    Clips with landmarks, and drawn ones, get keypoints (eyes, nose, mouth) too, for V-Express; drawn ones of a world
    with emotions get these.
    """
    if (vae is None) != (audio_encoder is None):
        raise typer.BadParameter("latents and audio states are stored together: give both --vae and --audio-encoder")
    if vae is None and (drops_frames or not keeps_media):
        raise typer.BadParameter("clips without latents keep frames and sound: give --vae and --audio-encoder, too")
    from functools import partial

    from fada.cli.progress import progress_bar
    from fada.data.shards.location import Location
    from fada.data.shards.reading import INDEX_FILE
    from fada.packing.shards import shard_clips
    from fada.packing.tools import load_tools

    target = Location(out)
    encoders = (None, None) if vae is None or audio_encoder is None else located_encoders(vae, audio_encoder)
    models = [None if path is None else path.absolute() for path in (*encoders, face_embedder, emotion_classifier)]
    with progress_bar("packing clips", unit="clips") as progress:
        made = shard_clips(
            folder,
            target,
            load=partial(load_tools, *models),
            takes_all=takes_all,
            keeps=("frames", "audio") if keeps_media and not drops_frames else ("audio",) if keeps_media else (),
            workers=workers,
            cluster=cluster,
            device=device.value,
            overwrite=overwrite,
            on_progress=lambda told: progress(told.done, told.total),
        )
    for split, index in made.indices.items():
        there = made.resumed[split]
        before = f", {there} of them written before" if there else ""
        say(f"{target / split}: {index.samples} clips in {len(index.shards)} shards{before}")
    for split, count in sorted(made.left_out.items()):
        say(f"{split}: {count} clips left out, the filter put them into no set; --all takes them too")
    for split in target.folders():
        if split not in made.indices and INDEX_FILE in (target / split).files():
            say(f"{target / split}: nothing was left to write; what lies there is from an earlier call")
