"""``fada data shard``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fada.cli.encoders import located_encoders
from fada.cli.options import Overwrite
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
    face_embedder: Annotated[
        Path | None,
        typer.Option(metavar="ONNX", help="An ArcFace network: store an embedding of each clip's face (for Hallo)."),
    ] = None,
    takes_all: Annotated[
        bool, typer.Option("--all", help="Also clips that fada data filter put into neither set.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Clips to WebDataset shards; latents, masks, audio states and face embeddings are optional.

    Examples:

      fada data shard data/clips --out data/shards
      fada data shard data/clips --out data/shards --vae weights/vae --audio-encoder weights/wav2vec2
      fada data shard data/clips --out data/shards --face-embedder weights/glintr100.onnx
      fada data shard data/clips --out s3://bucket/shards

    Clips with landmarks, and drawn ones, get keypoints (eyes, nose, mouth) too, for V-Express.

    One process does it. For large sets shard without encoders, then encode the shards: fada data encode.
    """
    if (vae is None) != (audio_encoder is None):
        raise typer.BadParameter("latents and audio states are stored together: give both --vae and --audio-encoder")
    from fada.build.shards import shard_clips
    from fada.data.location import Location
    from fada.data.shards import INDEX_FILE

    target = Location(out)
    encoders: dict[str, Any] = {}
    if vae is not None and audio_encoder is not None:
        from fada.build.encode_shard import load_encoders

        encoders = dict(zip(("vae", "encoder"), load_encoders(*located_encoders(vae, audio_encoder)), strict=True))
    if face_embedder is not None:
        from fada.data.prepare.face_embedding import FaceEmbedder

        encoders["face_embedder"] = FaceEmbedder(face_embedder)
    made = shard_clips(folder, target, **encoders, takes_all=takes_all, overwrite=overwrite)
    for split, index in made.indices.items():
        say(f"{target / split}: {index.samples} clips in {len(index.shards)} shards")
    for split, count in sorted(made.left_out.items()):
        say(f"{split}: {count} clips left out, the filter put them into no set; --all takes them too")
    for split in target.folders():
        if split not in made.indices and INDEX_FILE in (target / split).files():
            say(f"{target / split}: nothing was left to write; what lies there is from an earlier call")
