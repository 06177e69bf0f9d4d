"""``fada generate``: a portrait and a voice to a video."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def generate(
    model: Annotated[
        Path, typer.Option(metavar="DIR", help="A run, a student or teacher in it, or an exported folder.")
    ],
    image: Annotated[Path, typer.Option(metavar="I", help="The portrait, any picture.")],
    audio: Annotated[Path, typer.Option(metavar="A", help="The speech, any sound file (or a video's sound).")],
    out: Annotated[Path, typer.Option(metavar="V.mp4", help="The video; replaced if it exists.")],
    steps: Annotated[int | None, typer.Option(min=1, help="Denoising steps; default: the model's own.")] = None,
    audio_scale: Annotated[float | None, typer.Option(help="How strictly the mouth follows the sound.")] = None,
    reference_scale: Annotated[float | None, typer.Option(help="How strictly the face follows the portrait.")] = None,
    student: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of a run: which student, or `teacher`; default: the newest.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed makes the same video.")] = 0,
    seconds: Annotated[float | None, typer.Option(min=0.04, help="Use only so much of the sound.")] = None,
    face_landmarker: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            envvar="FADA_FACE_LANDMARKER",
            help="MediaPipe's face_landmarker .task file: crop the portrait around its face. "
            "Without it the centred square is used.",
        ),
    ] = None,
) -> None:
    """Make a portrait speak: portrait + audio to an mp4 with sound, of any length.

    Examples:

      fada generate --model runs/demo/students/fast --image me.png --audio speech.wav --out me.mp4
      fada generate --model models/demo-fast --image me.png --audio speech.mp3 --out me.mp4 \\
          --steps 6 --audio-scale 6.5 --reference-scale 2.0 --seed 3
    """
    if out.suffix.lower() != ".mp4":
        raise typer.BadParameter(f"{out}: the video is written as mp4; name a file that ends in .mp4")
    from fada.media.audio import read_audio
    from fada.media.image import read_image
    from fada.media.video import write_video

    # Both are read before the model is loaded: a wrong path shows at once.
    portrait, speech = read_image(image), read_audio(audio)
    if seconds is not None:
        speech = speech[: round(seconds * 16000)]
    if face_landmarker is not None:
        from fada.data.prepare import prepare_portrait

        portrait = prepare_portrait(portrait, face_landmarker)

    from fada.build import load_pipeline
    from fada.cli.progress import progress_bar

    pipeline = load_pipeline(model, student)
    with progress_bar("denoising") as on_step:
        result = pipeline(
            portrait,
            speech,
            steps=steps,
            audio_scale=audio_scale,
            reference_scale=reference_scale,
            seed=seed,
            on_step=on_step,
        )
    write_video(out, result.frames, fps=pipeline.config.fps, audio=speech)
    stages = ", ".join(f"{name} {spent:.2f} s" for name, spent in result.stage_seconds.items())
    typer.echo(f"{out}: {len(result.frames)} frames in {result.clips} clips, {result.nfe} evaluations each; {stages}")
