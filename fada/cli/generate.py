"""``fada generate``: a portrait and a voice to a video."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fada.cli.named_numbers import asked_motion, asked_shares
from fada.cli.options import ModelDevice, ModelDtype
from fada.cli.say import say
from fada.cli.scale_options import asked_scales, check_names
from fada.files.output_file import check_output
from fada.media.sample_rate import SAMPLE_RATE

if TYPE_CHECKING:
    import numpy as np

    from fada.generation.avatar_pipeline import AvatarPipeline
    from fada.media.sound_track import SoundTrack

STANDARD_OUTPUT = Path("-")


def generate(
    model: Annotated[
        Path,
        typer.Option(
            metavar="DIR", help="A run, a student or teacher in it, an exported folder, or owner/name on the hub."
        ),
    ],
    image: Annotated[Path, typer.Option(metavar="I", help="The portrait, any picture.")],
    audio: Annotated[Path, typer.Option(metavar="A", help="The speech, any sound file (or a video's sound).")],
    out: Annotated[
        Path,
        typer.Option(metavar="V.mp4", help="The video. With --stream, - is standard output."),
    ],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the video if it exists.")] = False,
    steps: Annotated[int | None, typer.Option(help="Denoising steps, 1 to 1000; default: the model's own.")] = None,
    scale: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=NUMBER",
            help="How strictly a guidance condition of the model is followed, 0 to 100, as in audio=6.5; once for "
            "each. Default: the model's own.",
        ),
    ] = None,
    audio_scale: Annotated[
        float | None, typer.Option(help="Short for --scale audio=…: how strictly the mouth follows the sound.")
    ] = None,
    reference_scale: Annotated[
        float | None,
        typer.Option(help="Short for --scale reference=…: how strictly the face follows the portrait."),
    ] = None,
    emotion: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=SHARE",
            help="For FLOAT and its students: how the face shall feel, as in happy=0.8; once for each of angry, "
            "disgust, fear, happy, neutral, sad, surprise. What is left of 1 is neutral, and so is the default.",
        ),
    ] = None,
    motion: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DIRECTION=AMOUNT",
            help="For FLOAT and its students: move the face along one of the codec's directions, as in 3=+0.5; once "
            "for each. An amount of 1 is about as far as it goes in speech.",
        ),
    ] = None,
    solver: Annotated[
        Literal["ddim", "dpmpp_2m", "dpmpp_2m_log_snr"] | None,
        typer.Option(help="Of a teacher; default: ddim. A student's windows fix its steps."),
    ] = None,
    spacing: Annotated[
        Literal["time", "log_snr", "noise_share"] | None,
        typer.Option(help="Of which clock a teacher's steps are equal parts; default: time."),
    ] = None,
    student: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of a run: which student, or `teacher`; default: the recipe's last phase."),
    ] = None,
    teacher: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Of a student exported as a difference: the teacher it belongs to, or its run."
        ),
    ] = None,
    device: ModelDevice = None,
    dtype: ModelDtype = None,
    compile: Annotated[
        bool, typer.Option("--compile", help="Compile the networks: minutes at first, for long or many videos.")
    ] = False,
    seed: Annotated[int, typer.Option(help="The same seed makes the same video.")] = 0,
    seconds: Annotated[float | None, typer.Option(help="Use only so much of the sound.")] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            help="Processor threads; default: OMP_NUM_THREADS, else the processors that this process may use. "
            "1 is fastest beside other work."
        ),
    ] = None,
    face_landmarker: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            envvar="FADA_FACE_LANDMARKER",
            help="MediaPipe's face_landmarker .task file: crop the portrait around its face. "
            "Without it the centred square is used.",
        ),
    ] = None,
    face_embedder: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            envvar="FADA_FACE_EMBEDDER",
            help="InsightFace's glintr100.onnx: who the portrait shows. Hallo and its students are told, "
            "and need --face-landmarker too.",
        ),
    ] = None,
    keypoints: Annotated[
        Path | None,
        typer.Option(
            metavar="CLIP",
            help="For V-Express and its students: a clip of fada data prepare (or of a drawn world) whose head moves "
            "as the portrait's shall. Without it the head keeps still, which needs --face-landmarker.",
        ),
    ] = None,
    retargeting: Annotated[
        Literal["naive", "unchanged"],
        typer.Option(help="With --keypoints: bring them to the portrait's size and place, or take them as they are."),
    ] = "naive",
    stream: Annotated[
        bool, typer.Option("--stream", help="Write each clip as soon as it is made: an mp4 that grows and plays.")
    ] = False,
    look_ahead: Annotated[
        float, typer.Option(help="With --stream: seconds of sound behind a clip that wav2vec2 or Whisper hears.")
    ] = 0.5,
) -> None:
    """Make a portrait speak: portrait + audio to an mp4 with sound, of any length.

    The sound keeps its rate and its channels. An input is never overwritten.

    Examples:

      fada generate --model runs/demo/students/fast --image me.png --audio speech.wav --out me.mp4
      fada generate --model models/demo-fast --image me.png --audio speech.mp3 --out me.mp4 \\
          --steps 6 --scale audio=6.5 --scale reference=2 --seed 3
      fada generate --model models/demo-fast --image me.png --audio speech.wav --stream --out - | ffplay -
      fada generate --model models/demo-fast --image me.png --audio speech.wav --out me.mp4 --device cuda --dtype bf16
      fada generate --model runs/demo --student teacher --image me.png --audio speech.wav --out me.mp4 \\
          --steps 6 --solver dpmpp_2m --spacing noise_share
      fada generate --model models/float --image me.png --audio speech.wav --out me.mp4 \\
          --emotion happy=0.8 --scale emotion=1.5 --motion 3=+0.5
      fada generate --model models/demo-delta --teacher runs/demo --image me.png --audio speech.wav --out me.mp4
    """
    if out == STANDARD_OUTPUT and not stream:
        raise typer.BadParameter("--out -: only a stream goes to standard output; add --stream, or name a file")
    if out != STANDARD_OUTPUT and out.suffix.lower() != ".mp4":
        raise typer.BadParameter(f"{out}: the video is written as mp4; name a file that ends in .mp4")
    _check_numbers(steps, seed, seconds, look_ahead, threads)
    scales = asked_scales(scale or (), {"audio": audio_scale, "reference": reference_scale})
    felt = asked_shares(emotion) if emotion else None
    edited = asked_motion(motion) if motion else None
    if out != STANDARD_OUTPUT:
        inputs = (image, audio, face_landmarker, face_embedder, *_files_of(keypoints))
        check_output(out, *inputs, overwrite=overwrite, is_written_through=stream)
    from fada.media.audio import read_audio
    from fada.media.image import read_image
    from fada.media.sound_track import SoundTrack

    # Both are read before the model is loaded: a wrong path shows at once.
    portrait, speech = read_image(image), read_audio(audio)
    if seconds is not None:
        speech = speech[: round(seconds * SAMPLE_RATE)]

    from fada.generation.face_conditions import FaceModels

    faces = FaceModels(face_landmarker, face_embedder)
    portrait = faces.cropped(portrait)

    # Loads torch, so it comes first: it does so the fast way.
    from fada.export.opening import open_model
    from fada.generation.devices import pick_device, pick_dtype, use_threads

    use_threads(threads)
    place = pick_device(device)
    precision = pick_dtype(dtype, place)
    _tell_which(model, student)
    pipeline = open_model(model, student, teacher)
    if solver or spacing:
        _check_sampler(pipeline, solver, spacing)
    if scales:
        check_names(scales, pipeline.family.guidance.names)
    if felt is not None and not pipeline.needs_emotion:
        raise typer.BadParameter("--emotion: this model is given none; leave it out")
    if edited is not None:
        _check_motion(pipeline, edited)
    pipeline.to(place, precision)
    pipeline.optimize(compile=compile)
    face = faces.face(portrait) if pipeline.needs_face else None
    shown = None
    if pipeline.needs_keypoints:
        from fada.media.frame_count import frame_count

        frames = frame_count(len(speech), SAMPLE_RATE, pipeline.config.fps)
        shown = faces.keypoints(portrait, frames, keypoints, retargeting)
    elif keypoints is not None:
        raise typer.BadParameter("--keypoints: this model is shown none; leave it out")
    call: dict[str, Any] = {
        "face": face,
        "keypoints": shown,
        "emotion": felt,
        "motion": edited,
        "steps": steps,
        "scales": {name: each.value for name, each in scales.items()} or None,
        "seed": seed,
        "solver": solver,
        "spacing": spacing,
    }
    from fada.generation.unknown_face import unknown_faces_told

    def tell(message: str) -> None:
        say(f"warning: {image}: {message}", err=True)

    with unknown_faces_told(tell), SoundTrack(audio) as sound:
        if stream:
            clips = pipeline.stream(portrait, _chunks(speech), look_ahead=look_ahead, **call)
            _write_growing(out, clips, sound, pipeline)
        else:
            _write_whole(out, pipeline, portrait, speech, sound, call)


def _check_numbers(
    steps: int | None,
    seed: int,
    seconds: float | None,
    look_ahead: float,
    threads: int | None,
) -> None:
    """Know that the numbers can be meant, before anything is read."""
    from fada.generation.ranges import SECONDS, SEED
    from fada.pretrained.ranges import STEPS, Range

    given = {
        "--steps": (STEPS, steps),
        "--seed": (SEED, seed),
        "--seconds": (Range(0.04, SECONDS.high), seconds),
        "--look-ahead": (SECONDS, look_ahead),
        "--threads": (Range(1, 1024, is_whole=True), threads),
    }
    for name, (allowed, value) in given.items():
        if value is not None:
            try:
                allowed.check(name, value)
            except ValueError as error:
                raise typer.BadParameter(str(error)) from None


def _check_sampler(pipeline: AvatarPipeline, solver: str | None, spacing: str | None) -> None:
    """Know that the model can be sampled so, before it is moved and anything is written."""
    from fada.generation.ranges import check_sampler

    try:
        check_sampler(pipeline.config.is_student, solver, spacing)
    except ValueError as error:
        raise typer.BadParameter(f"--{error}") from None


def _check_motion(pipeline: AvatarPipeline, motion: Mapping[int, float]) -> None:
    """Know that the model's codec has these directions."""
    try:
        pipeline.check_motion(motion)
    except ValueError as error:
        raise typer.BadParameter(f"--{error}") from None


def _tell_which(model: Path, student: str | None) -> None:
    """Of a run, which of its models is taken."""
    from fada.export.opening import find_model
    from fada.export.run_models import label_of, models_of
    from fada.pretrained.shipped import located

    if models_of(located(model)):
        say(f"model: {label_of(find_model(model, student))}", err=True)


def _files_of(clip: Path | None) -> tuple[Path, ...]:
    """A clip as it was named, and its video, which any of its files names."""
    return () if clip is None else (clip, clip.with_name(f"{clip.name.partition('.')[0]}.mp4"))


def _chunks(speech: np.ndarray) -> Iterator[np.ndarray]:
    """The sound in tenths of a second, as it would come from a microphone or a voice model."""
    length = SAMPLE_RATE // 10
    return (speech[start : start + length] for start in range(0, len(speech), length))


def _write_whole(
    out: Path,
    pipeline: AvatarPipeline,
    portrait: np.ndarray,
    speech: np.ndarray,
    sound: SoundTrack,
    call: dict[str, Any],
) -> None:
    """Write clip after clip into a file that is there when it is whole; no more than a clip is held."""
    from fada.cli.progress import progress_bar
    from fada.media.whole_video import open_whole

    fps = pipeline.config.fps
    with (
        open_whole(out, fps, sound.sample_rate, sound.layout) as video,
        progress_bar("denoising") as on_step,
    ):
        made = pipeline.in_chunks(portrait, speech, on_step=on_step, **call)
        frames = 0
        for clip, heard in sound.beside((chunk.frames for chunk in made), fps):
            video.add(clip, heard)
            frames += len(clip)
    stages = ", ".join(f"{name} {spent:.2f} s" for name, spent in made.stage_seconds.items())
    say(f"{out}: {frames} frames in {made.clips} clips, {made.nfe} evaluations each; {stages}")


def _write_growing(out: Path, clips: Iterator[np.ndarray], sound: SoundTrack, pipeline: AvatarPipeline) -> None:
    """Write clip after clip with its sound; what there is to say goes to standard error."""
    import time

    from fada.media.fragments import open_fragmented

    fps = pipeline.config.fps
    started, first, frames, count = time.perf_counter(), 0.0, 0, 0
    if out != STANDARD_OUTPUT:
        out.parent.mkdir(parents=True, exist_ok=True)
    target = sys.stdout.buffer if out == STANDARD_OUTPUT else str(out)
    try:
        with open_fragmented(target, fps, sound.sample_rate, sound.layout) as video:
            for clip, heard in sound.beside(clips, fps):
                video.add(clip, heard)
                frames, count = frames + len(clip), count + 1
                first = first or time.perf_counter() - started
    except BrokenPipeError:
        say(f"{out}: the reader left after {frames} frames", err=True)
        return
    spent = time.perf_counter() - started
    say(
        f"{out}: {frames} frames in {count} clips, the first after {first:.2f} s, all after {spent:.2f} s "
        f"({frames / spent:.1f} frames/s)",
        err=True,
    )
