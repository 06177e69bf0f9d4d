"""``fada data``: raw videos to clips, clips to shards, and what is in them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Prepare, pack and look at training data.", no_args_is_help=True)


@app.command()
def prepare(
    videos: Annotated[list[Path], typer.Argument(metavar="VIDEO...", help="Videos, or folders of videos.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the clips.")],
    face_landmarker: Annotated[
        Path,
        typer.Option(
            metavar="PATH", envvar="FADA_FACE_LANDMARKER", help="MediaPipe's face_landmarker .task file (a download)."
        ),
    ],
    face_detector: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="MediaPipe's face detector (.tflite): finds small faces faster."),
    ] = None,
    size: Annotated[int, typer.Option(min=16, help="Side of the square face crop, in pixels.")] = 512,
    test_share: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of identities that are held out as test clips.")
    ] = 0.0,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
) -> None:
    """Raw videos to face-cropped clips: 25 frames per second, 16 kHz mono, with landmarks.

    Every rejected stretch is listed with its reason; finished videos are not done again.
    Needs the extra: pip install 'fada[data]'.

    Examples:

      fada data prepare videos/*.mp4 --out data/clips --face-landmarker face_landmarker.task --test-share 0.1
      fada data prepare talk.mov --out data/clips --face-landmarker face_landmarker.task --size 256
    """
    from rich.console import Console

    from fada.cli.progress import progress_bar
    from fada.data.prepare import prepare_videos

    with progress_bar("preparing") as progress:
        report = prepare_videos(
            videos,
            out,
            face_landmarker_path=face_landmarker,
            face_detector_path=face_detector,
            size=size,
            test_share=test_share,
            workers=workers,
            on_progress=lambda told: progress(told.done, told.total),
        )
    Console().print(*report.tables(), sep="\n")


@app.command()
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


@app.command()
def inspect(
    shards: Annotated[Path, typer.Argument(metavar="SHARDS", help="A folder of shards.")],
    sheet: Annotated[Path | None, typer.Option(metavar="PNG", help="Write a contact sheet of frames here.")] = None,
    rows: Annotated[int, typer.Option(min=1, help="Clips on the contact sheet.")] = 8,
) -> None:
    """What is in there: counts, lengths, qualities, flaws, as a table and a contact sheet.

    Examples:

      fada data inspect data/shards
      fada data inspect data/shards --sheet sheet.png
    """
    from rich.console import Console

    from fada.cli.inspection import contact_sheet_of, summary

    console = Console()
    console.print(*summary(shards), sep="\n")
    if sheet is not None:
        from fada.media.image import write_png

        write_png(sheet, contact_sheet_of(shards, rows))
        console.print(f"contact sheet: {sheet}")
