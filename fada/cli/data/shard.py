"""``fada data shard``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def shard(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of clips (mp4 + wav + json).")],
    out: Annotated[
        Path, typer.Option("--out", metavar="SHARDS", help="Folder for the shards; each split gets a folder in it.")
    ],
    vae: Annotated[
        Path | None, typer.Option(metavar="PATH", help="A diffusers AutoencoderKL: store latents too.")
    ] = None,
    audio_encoder: Annotated[
        Path | None, typer.Option(metavar="PATH", help="An audio encoder's folder: store its states too.")
    ] = None,
) -> None:
    """Clips to WebDataset shards; latents and audio states are optional.

    Examples:

      fada data shard data/clips --out data/shards
      fada data shard data/clips --out data/shards --vae weights/vae --audio-encoder weights/wav2vec2
    """
    if (vae is None) != (audio_encoder is None):
        raise typer.BadParameter("latents and audio states are stored together: give both --vae and --audio-encoder")
    from fada.build.data import shard_clips

    if vae is None or audio_encoder is None:
        indices = shard_clips(folder, out)
    else:
        from diffusers import AutoencoderKL

        from fada.data.audio_features import load_audio_encoder

        if not (vae / "config.json").is_file():
            raise typer.BadParameter(f"--vae {vae}: no config.json here; give a folder of a diffusers AutoencoderKL")
        indices = shard_clips(folder, out, AutoencoderKL.from_pretrained(str(vae)), load_audio_encoder(audio_encoder))
    for split, index in indices.items():
        typer.echo(f"{out / split}: {index.samples} clips in {len(index.shards)} shards")
