"""``fada generate``: its inputs and its output; the pipeline has its own tests."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import fada.export.opening
from fada.family import Guidance
from fada.media.audio import read_audio, write_wav
from fada.media.frame_count import frame_count
from fada.media.image import write_png
from fada.media.video import probe, read_video


@pytest.fixture
def inputs(tmp_path: Path) -> tuple[str, ...]:
    write_png(tmp_path / "face.png", np.full((40, 30, 3), 120, np.uint8))
    write_wav(tmp_path / "voice.wav", np.zeros(16000, np.float32))
    return ("--image", str(tmp_path / "face.png"), "--audio", str(tmp_path / "voice.wav"))


class Made:
    """A video of grey frames in chunks of twelve, that remembers how many were made and not yet taken."""

    clips, nfe, stage_seconds = 2, 6, {"denoise": 1.0}

    def __init__(self, count: int) -> None:
        self.count = count

    def __iter__(self) -> Any:
        for at in range(0, self.count, 12):
            yield SimpleNamespace(frames=np.full((min(12, self.count - at), 32, 32, 3), 128, np.uint8))


@pytest.fixture
def whole(monkeypatch: pytest.MonkeyPatch) -> Any:
    """``whole()`` puts a pipeline without a stream in the place of one with."""

    class Pipeline:
        needs_face = False
        needs_keypoints = False
        config = SimpleNamespace(fps=25.0)

        def in_chunks(self, image: np.ndarray, audio: np.ndarray, **options: Any) -> Made:
            return Made(frame_count(len(audio), 16000, 25.0))

        def to(self, *where: Any) -> Any:
            return self

        def optimize(self, **how: Any) -> None: ...

    return lambda: monkeypatch.setattr(fada.export.opening, "load_pipeline", lambda folder, student=None: Pipeline())


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A pipeline that records how it was called and draws grey frames."""
    family = SimpleNamespace(guidance=Guidance(("nothing", "reference", "audio"), {"reference": 2.5, "audio": 6.5}))
    seen: dict[str, Any] = {"config": SimpleNamespace(fps=25.0, is_student=False), "family": family}

    class Pipeline:
        needs_face = False
        needs_keypoints = False
        config, family = seen["config"], seen["family"]

        def in_chunks(self, image: np.ndarray, audio: np.ndarray, **options: Any) -> Made:
            seen.update(options, image=image, audio=audio)
            options["on_step"](6, 6)
            return Made(round(len(audio) / 16000 * 25))

        def to(self, *where: Any) -> Any:
            seen["placed"] = where
            return self

        def optimize(self, **how: Any) -> None:
            seen.update(how)

    def load(folder: Path, student: str | None = None) -> Any:
        seen.update(folder=folder, student=student)
        return Pipeline()

    monkeypatch.setattr(fada.export.opening, "load_pipeline", load)
    return seen


def test_generate_writes_a_video_with_sound(cli, inputs: tuple[str, ...], pipeline: dict, tmp_path: Path) -> None:
    out = tmp_path / "talking.mp4"
    outcome = cli("generate", "--model", "m", *inputs, "--out", str(out), "--seconds", "0.4")
    assert outcome.code == 0, outcome.err
    assert "10 frames in 2 clips, 6 evaluations each; denoise 1.00 s" in outcome.out
    assert probe(out).has_audio
    assert len(read_audio(out)) >= 6400


@pytest.mark.parametrize("options", [(), ("--stream",)])
def test_the_sound_keeps_its_rate_and_channels(
    cli, inputs: tuple[str, ...], streaming: dict, whole: Any, tmp_path: Path, options: tuple[str, ...]
) -> None:
    import wave

    import av

    with wave.open(str(tmp_path / "stereo.wav"), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(48000)
        # 29 frames exactly, which floating point takes for 28 at 16 kHz.
        file.writeframes(np.random.default_rng(0).integers(-9000, 9000, (29 * 1920, 2)).astype("<i2").tobytes())
    if not options:
        whole()
    out = tmp_path / "v.mp4"
    arguments = ("--model", "m", *inputs[:2], "--audio", str(tmp_path / "stereo.wav"), "--out", str(out))
    outcome = cli("generate", *arguments, *options)
    assert outcome.code == 0, outcome.err
    with av.open(str(out)) as container:
        stream = container.streams.audio[0]
        assert (stream.rate, stream.channels) == (48000, 2)
        samples = sum(frame.samples for frame in container.decode(stream))
    assert 29 * 1920 <= samples <= 29 * 1920 + 2 * 1024
    assert len(read_video(out, fps=None)) == 29


def test_what_is_there_is_replaced_where_that_is_asked(
    cli, inputs: tuple[str, ...], pipeline: dict, tmp_path: Path
) -> None:
    (tmp_path / "v.mp4").write_bytes(b"old")
    outcome = cli("generate", "--model", "m", *inputs, "--out", str(tmp_path / "v.mp4"), "--overwrite")
    assert outcome.code == 0, outcome.err
    assert len(read_video(tmp_path / "v.mp4", fps=None)) == 25


def test_no_more_than_one_chunk_is_held(
    cli, inputs: tuple[str, ...], pipeline: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames of ten seconds are never alive together, whatever becomes of them."""
    import weakref

    alive: weakref.WeakSet[Any] = weakref.WeakSet()
    most = 0

    class Watched(np.ndarray):
        """An array that can be referred to weakly."""

        __hash__ = object.__hash__  # type: ignore[assignment]

    def chunks(self: Made) -> Any:
        nonlocal most
        for _ in range(20):
            frames = np.full((12, 32, 32, 3), 128, np.uint8).view(Watched)
            alive.add(frames)
            most = max(most, len(alive))
            yield SimpleNamespace(frames=frames)
            del frames

    monkeypatch.setattr(Made, "__iter__", chunks)
    assert cli("generate", "--model", "m", *inputs, "--out", str(tmp_path / "v.mp4")).code == 0
    assert len(read_video(tmp_path / "v.mp4", fps=None)) == 240
    assert most <= 2


def test_generate_hands_its_options_on(cli, inputs: tuple[str, ...], pipeline: dict, tmp_path: Path) -> None:
    options = ("--steps", "8", "--audio-scale", "6.5", "--scale", "reference=2", "--seed", "3", "--student", "fast")
    assert cli("generate", "--model", "m", *inputs, "--out", str(tmp_path / "v.mp4"), *options).code == 0
    assert {name: pipeline[name] for name in ("steps", "scales", "seed", "student")} == {
        "steps": 8, "scales": {"audio": 6.5, "reference": 2.0}, "seed": 3, "student": "fast",
    }  # fmt: skip
    assert pipeline["folder"] == Path("m")
    assert pipeline["image"].shape == (40, 30, 3)


def test_generate_leaves_what_was_not_asked_to_the_model(cli, inputs, pipeline: dict, tmp_path: Path) -> None:
    assert cli("generate", "--model", "m", *inputs, "--out", str(tmp_path / "v.mp4")).code == 0
    assert [pipeline[name] for name in ("steps", "scales")] == [None, None]


def test_scales_go_by_the_names_of_the_models_family(cli, inputs, pipeline: dict, tmp_path: Path) -> None:
    pipeline["family"].guidance = Guidance(("none", "tempo", "mood"), {"tempo": 2.0, "mood": 4.0})
    out = ("--out", str(tmp_path / "v.mp4"))
    outcome = cli("generate", "--model", "m", *inputs, *out, "--scale", "mood=3", "--scale", "tempo=1.5")
    assert (outcome.code, pipeline["scales"]) == (0, {"mood": 3.0, "tempo": 1.5})


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("--scale", "audio=3"), "--scale audio"),
        (("--audio-scale", "3"), "--audio-scale"),
        (("--reference-scale", "3"), "--reference-scale"),
    ],
)
def test_a_scale_that_the_model_does_not_have_is_refused_before_anything_is_written(
    cli, inputs, pipeline: dict, tmp_path: Path, option: tuple[str, ...], said: str
) -> None:
    pipeline["family"].guidance = Guidance(("none", "tempo", "mood"), {"tempo": 2.0, "mood": 4.0})
    outcome = cli("generate", "--model", "m", *inputs, "--out", str(tmp_path / "v.mp4"), *option)
    text = " ".join(outcome.err.replace("│", " ").split())
    assert outcome.code == 2
    assert (
        f"{said}: this model has no guidance scale of that name; choose from tempo, mood, as in --scale mood=3" in text
    )
    assert not (tmp_path / "v.mp4").exists()
    assert "placed" not in pipeline


@pytest.mark.parametrize(
    ("options", "placed", "compiles"),
    [
        ((), ("cpu", "float32"), False),
        (("--device", "cpu", "--dtype", "bf16", "--compile"), ("cpu", "bfloat16"), True),
    ],
)
def test_generate_computes_where_and_how_it_is_told(
    cli, inputs, pipeline: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options, placed, compiles: bool
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    outcome = cli("generate", "--model", "m", *inputs, "--out", str(tmp_path / "v.mp4"), *options)
    assert outcome.code == 0, outcome.err
    assert pipeline["placed"] == (torch.device(placed[0]), getattr(torch, placed[1]))
    assert pipeline["compile"] is compiles


@pytest.mark.parametrize(
    ("option", "message"),
    [(("--device", "cuda:9"), "device: no cuda:9 here"), (("--dtype", "int8"), "dtype: got 'int8'; choose from fp32")],
)
def test_generate_names_a_device_or_type_that_is_not_there(
    cli, inputs, pipeline: dict, option: tuple[str, ...], message: str
) -> None:
    outcome = cli("generate", "--model", "m", *inputs, "--out", "v.mp4", *option)
    assert outcome.code == 2
    assert message in outcome.err
    assert "folder" not in pipeline, "the model must not be loaded before"


def test_a_difference_is_opened_with_its_teacher(
    cli, inputs, pipeline: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "delta.json").write_text("{}")
    (tmp_path / "run" / "teacher").mkdir(parents=True)
    (tmp_path / "run" / "teacher" / "model_index.json").write_text("{}")
    opened = []
    load = fada.export.opening.load_pipeline
    monkeypatch.setattr(fada.export.opening, "load_delta", lambda *folders: opened.append(folders) or load(*folders))
    arguments = ("generate", "--model", str(tmp_path / "m"), *inputs, "--out", str(tmp_path / "v.mp4"))
    outcome = cli(*arguments)
    assert outcome.code == 2
    assert "name that with --teacher" in outcome.err
    assert cli(*arguments, "--teacher", str(tmp_path / "run")).code == 0
    assert opened == [(tmp_path / "m", tmp_path / "run" / "teacher")]


def test_generate_says_which_student_of_a_run_it_takes(
    cli, inputs: tuple[str, ...], pipeline: dict, tmp_path: Path
) -> None:
    for name in ("fast", "balanced"):
        (tmp_path / "run" / "students" / name).mkdir(parents=True)
        (tmp_path / "run" / "students" / name / "model_index.json").write_text('{"steps": 6}')
    arguments = ("generate", "--model", str(tmp_path / "run"), *inputs, "--out", str(tmp_path / "v.mp4"))
    outcome = cli(*arguments)
    assert outcome.code == 2
    assert "holds balanced, fast, and no recipe.yaml that says which is last; name one with --student" in outcome.err
    (tmp_path / "run" / "recipe.yaml").write_text("distill: {phases: [{name: balanced}, {name: fast}]}")
    outcome = cli(*arguments)
    assert outcome.code == 0, outcome.err
    assert "model: students/fast (6 steps)" in outcome.err
    again = cli(*arguments, "--student", "balanced", "--overwrite")
    assert "model: students/balanced (6 steps)" in again.err


def test_a_whole_model_needs_no_teacher(cli, inputs, pipeline: dict) -> None:
    outcome = cli("generate", "--model", "m", *inputs, "--out", "v.mp4", "--teacher", "run")
    assert outcome.code == 2
    assert "m: is no difference from a teacher; leave --teacher out" in outcome.err


def test_generate_refuses_another_ending_than_mp4(cli, inputs: tuple[str, ...]) -> None:
    outcome = cli("generate", "--model", "m", *inputs, "--out", "v.gif")
    assert outcome.code == 2
    assert "name a file that ends in .mp4" in outcome.err


def test_generate_names_a_portrait_that_is_not_there(cli, inputs: tuple[str, ...], pipeline: dict) -> None:
    outcome = cli("generate", "--model", "m", "--image", "no.png", *inputs[2:], "--out", "v.mp4")
    assert outcome.code == 2
    assert "no.png: no such file" in outcome.err
    assert "folder" not in pipeline, "the model must not be loaded before the inputs are read"


def test_generate_crops_the_portrait_where_a_landmarker_is_given(
    cli, inputs: tuple[str, ...], pipeline: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fada.data import prepare

    monkeypatch.setattr(prepare, "prepare_portrait", lambda pixels, path: np.zeros((8, 8, 3), np.uint8))
    arguments = (*inputs, "--out", str(tmp_path / "v.mp4"), "--face-landmarker", "face.task")
    assert cli("generate", "--model", "m", *arguments).code == 0
    assert pipeline["image"].shape == (8, 8, 3)


@pytest.fixture
def streaming(pipeline: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The same pipeline, with a stream that draws twelve grey frames a clip."""

    class Streams:
        needs_face = False
        needs_keypoints = False
        config = SimpleNamespace(fps=25.0)

        def to(self, *where: Any) -> Any:
            return self

        def optimize(self, **how: Any) -> Any:
            return self

        def stream(self, image: np.ndarray, chunks: Any, **options: Any) -> Any:
            sound = np.concatenate(list(chunks))
            pipeline.update(options, sound=sound)
            total = len(sound) // 640
            return (np.full((min(12, total - at), 32, 32, 3), 128, np.uint8) for at in range(0, total, 12))

    monkeypatch.setattr(fada.export.opening, "load_pipeline", lambda folder, student=None: Streams())
    return pipeline


def test_a_stream_is_written_with_sound_and_says_when_the_first_frame_came(
    cli, inputs: tuple[str, ...], streaming: dict, tmp_path: Path
) -> None:
    out = tmp_path / "live.mp4"
    outcome = cli("generate", "--model", "m", *inputs, "--out", str(out), "--stream", "--look-ahead", "0.2")
    assert outcome.code == 0, outcome.err
    assert "25 frames in 3 clips, the first after 0." in outcome.err
    assert outcome.out == ""
    assert len(read_video(out)) == 25
    assert len(read_audio(out)) >= 16000
    assert streaming["look_ahead"] == 0.2
    assert len(streaming["sound"]) == 16000


def test_a_stream_may_go_to_standard_output(
    inputs: tuple[str, ...], streaming: dict, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    from fada.cli.app import run

    assert run(("generate", "--model", "m", *inputs, "--out", "-", "--stream")) == 0
    written, said = capfdbinary.readouterr()
    assert len(read_video(written)) == 25
    assert b"25 frames in 3 clips" in said


def test_only_a_stream_goes_to_standard_output(cli, inputs: tuple[str, ...]) -> None:
    outcome = cli("generate", "--model", "m", *inputs, "--out", "-")
    assert outcome.code == 2
    assert "only a stream goes to standard output; add --stream" in outcome.err


def test_a_reader_that_leaves_ends_the_stream(
    cli, inputs: tuple[str, ...], streaming: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fada.cli import generate

    class Closed:
        def write(self, data: bytes) -> int:
            raise BrokenPipeError

        def flush(self) -> None: ...

    monkeypatch.setattr(generate.sys, "stdout", SimpleNamespace(buffer=Closed()))
    outcome = cli("generate", "--model", "m", *inputs, "--out", "-", "--stream")
    assert outcome.code == 0
    assert "the reader left after" in outcome.err


def test_solver_and_spacing_reach_the_model(cli, inputs: tuple[str, ...], pipeline: dict, tmp_path: Path) -> None:
    out = ("--out", str(tmp_path / "v.mp4"), "--overwrite")
    assert cli("generate", "--model", "m", *inputs, *out).code == 0
    assert (pipeline["solver"], pipeline["spacing"]) == (None, None)
    outcome = cli("generate", "--model", "m", *inputs, *out, "--solver", "dpmpp_2m", "--spacing", "noise_share")
    assert outcome.code == 0, outcome.err
    assert (pipeline["solver"], pipeline["spacing"]) == ("dpmpp_2m", "noise_share")


def test_a_student_takes_no_solver(cli, inputs: tuple[str, ...], pipeline: dict, tmp_path: Path) -> None:
    pipeline["config"].is_student = True
    outcome = cli("generate", "--model", "m", *inputs, "--out", str(tmp_path / "v.mp4"), "--spacing", "time")
    assert outcome.code == 2
    assert "--spacing: got 'time', but this is a student" in " ".join(outcome.err.split())
    assert not (tmp_path / "v.mp4").exists()
