"""``fada data encode``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fada.cli.encoders import located_encoders
from fada.cli.options import Overwrite
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
        Path, typer.Option(metavar="PATH", help="An audio encoder's folder (wav2vec2, log-mel): makes the states.")
    ],
    keeps_media: Annotated[
        bool,
        typer.Option("--keep-media/--drop-media", help="Whether frames and sound stay beside what is made of them."),
    ] = True,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, help="Shards at a time.", show_default="this process alone; on a cluster one per processor"
        ),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="ray[=HOST:PORT]",
            help="Work on a Ray cluster: the one at that address, one that runs on this machine, or a new one here. "
            "Shards, encoders and --out must lie where all its machines see them.",
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Shards of frames and sound to shards with latents, audio states and masks, shard by shard.

    Each shard becomes one of the same number, with the same clips in the same order: the bytes that fada data shard
    writes when it is given the encoders. Landmarks and face embeddings are passed on. The same command again goes on
    where it stopped. A damaged shard is named and not encoded; the others are.

    Examples:

      fada data encode data/shards --out data/encoded --vae weights/vae --audio-encoder weights/wav2vec2
      fada data encode data/shards/train --out data/encoded/train --vae V --audio-encoder A --workers 8 --drop-media
      fada data encode s3://bucket/raw --out s3://bucket/encoded --vae /disk/vae --audio-encoder /disk/w2v --cluster ray
    """
    encoders = located_encoders(vae, audio_encoder)
    from functools import partial

    from fada.build.encode import encode_shards
    from fada.build.encode_shard import load_encoders
    from fada.cli.progress import progress_bar

    with progress_bar("encoding clips", unit="clips") as progress:
        made = encode_shards(
            shards,
            out,
            partial(load_encoders, *(each.absolute() for each in encoders)),
            keeps_media=keeps_media,
            workers=workers,
            cluster=cluster,
            overwrite=overwrite,
            on_progress=lambda told: progress(told.done, told.total),
        )
    for folder, index in made.indices.items():
        there = made.resumed[folder]
        before = f", {there} of them encoded before" if there else ""
        say(f"{folder}: {index.samples} clips in {len(index.shards)} shards{before}")
