"""What ``fada generate`` refuses before anything is read or computed, and what it never overwrites."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import fada.export.opening
from fada.media.audio import write_wav
from fada.media.image import write_png


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_png(tmp_path / "face.png", np.full((40, 30, 3), 120, np.uint8))
    write_wav(tmp_path / "voice.wav", np.zeros(16000, np.float32))
    return tmp_path


@pytest.fixture
def generate(cli: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``generate(out, *options)``; a model that is opened is a failure."""

    def opened(*_: Any) -> None:
        raise AssertionError("the model was opened")

    monkeypatch.setattr(fada.export.opening, "load_pipeline", opened)
    inputs = ("--image", str(folder / "face.png"), "--audio", str(folder / "voice.wav"))

    def call(out: Path, *options: str) -> Any:
        outcome = cli("generate", "--model", "m", *inputs, "--out", str(out), *options)
        # Long paths break the lines of the box around an error.
        outcome.err = " ".join(outcome.err.replace("│", " ").split())
        return outcome

    return call


@pytest.mark.parametrize("option", ["--audio-scale", "--reference-scale"])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "-1", "1e9"])
def test_scales_must_be_finite_and_of_use(generate: Any, folder: Path, option: str, value: str) -> None:
    outcome = generate(folder / "v.mp4", option, value)
    assert outcome.code == 2
    assert f"{option}: must be a number from 0 to 100, got {float(value)!r}" in outcome.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--scale", "audio=nan"), "--scale audio: must be a number from 0 to 100, got nan"),
        (("--scale", "mood=-1"), "--scale mood: must be a number from 0 to 100, got -1.0"),
        (("--scale", "mood=much"), "--scale mood: must be a number, got 'much'"),
        (("--scale", "mood="), "--scale mood: must be a number, got ''"),
        (("--scale", "6.5"), "--scale: not of the form NAME=NUMBER, as in audio=6.5; got '6.5'"),
        (("--scale", "=6.5"), "--scale: not of the form NAME=NUMBER, as in audio=6.5; got '=6.5'"),
        (("--scale", "a\x1b[31m=x"), r"--scale 'a\x1b[31m': must be a number, got 'x'"),
        (("--scale", "audio=1", "--scale", "audio=1"), "--scale audio: is given twice; give it once"),
        (("--scale", "audio=1", "--audio-scale", "1"), "--audio-scale: --scale audio gives it too; give it once"),
    ],
)
def test_scales_by_name_are_checked_before_anything_is_read(
    generate: Any, folder: Path, options: tuple[str, ...], message: str
) -> None:
    outcome = generate(folder / "v.mp4", *options)
    assert outcome.code == 2
    assert message in outcome.err


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--seconds", "inf", "--seconds: must be a number from 0.04 to 21600, got inf"),
        ("--seconds", "nan", "--seconds: must be a number from 0.04 to 21600, got nan"),
        ("--seconds", "0", "--seconds: must be a number from 0.04 to 21600, got 0.0"),
        ("--seconds", "1e300", "--seconds: must be a number from 0.04 to 21600, got 1e+300"),
        ("--look-ahead", "nan", "--look-ahead: must be a number from 0 to 21600, got nan"),
        ("--look-ahead", "-1", "--look-ahead: must be a number from 0 to 21600, got -1.0"),
        ("--look-ahead", "inf", "--look-ahead: must be a number from 0 to 21600, got inf"),
        ("--steps", "0", "--steps: must be a whole number from 1 to 1000, got 0"),
        ("--steps", "1000000000", "--steps: must be a whole number from 1 to 1000, got 1000000000"),
        ("--seed", "99999999999999999999", "--seed: must be a whole number from"),
        ("--threads", "0", "--threads: must be a whole number from 1 to 1024, got 0"),
    ],
)
def test_numbers_that_cannot_be_meant_are_refused(
    generate: Any, folder: Path, option: str, value: str, message: str
) -> None:
    outcome = generate(folder / "v.mp4", option, value)
    assert outcome.code == 2
    assert message in outcome.err


def test_a_folder_is_no_output(generate: Any, folder: Path) -> None:
    (folder / "v.mp4").mkdir()
    outcome = generate(folder / "v.mp4", "--overwrite")
    assert outcome.code == 2
    assert "v.mp4: is a folder; give the name of a file" in outcome.err


def test_a_file_in_place_of_a_folder_is_named(generate: Any, folder: Path) -> None:
    outcome = generate(folder / "face.png" / "v.mp4")
    assert outcome.code == 2
    assert "Not a directory" in outcome.err or "is no folder" in outcome.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_found_before(generate: Any, folder: Path) -> None:
    (folder / "locked").mkdir(mode=0o500)
    outcome = generate(folder / "locked" / "v.mp4")
    assert outcome.code == 2
    assert "no permission to write into" in outcome.err


def test_permission_is_asked_of_the_folder(generate: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fada.files.output_file.os.access", lambda path, how: not how & os.W_OK)
    outcome = generate(folder / "new" / "v.mp4")
    assert outcome.code == 2
    assert "no permission to write into" in outcome.err
    assert not (folder / "new").exists()


@pytest.mark.parametrize("name", ["x" * 252 + ".mp4", "ä" * 126 + ".mp4", "y" * 300 + "/v.mp4"])
def test_a_name_that_is_too_long_is_found_before(generate: Any, folder: Path, name: str) -> None:
    outcome = generate(folder / name)
    assert outcome.code == 2
    assert "a name in it is too long (over 255 bytes)" in outcome.err


def test_what_is_there_is_kept(generate: Any, folder: Path) -> None:
    (folder / "v.mp4").write_bytes(b"mine")
    outcome = generate(folder / "v.mp4")
    assert outcome.code == 2
    assert "v.mp4: exists; give another name, or --overwrite to replace it" in outcome.err
    assert (folder / "v.mp4").read_bytes() == b"mine"


def test_a_link_that_leads_nowhere_is_there(generate: Any, folder: Path) -> None:
    (folder / "v.mp4").symlink_to(folder / "nowhere")
    assert "exists; give another name" in generate(folder / "v.mp4").err


@pytest.mark.parametrize("options", [(), ("--overwrite",), ("--overwrite", "--stream")])
@pytest.mark.parametrize("link", ["itself", "symlink", "hard link", "another way"])
@pytest.mark.parametrize("which", ["--audio", "--image"])
def test_an_input_is_never_overwritten(
    cli: Any, folder: Path, generate: Any, which: str, link: str, options: tuple[str, ...]
) -> None:
    source = folder / "talk.mp4"
    source.write_bytes((folder / ("voice.wav" if which == "--audio" else "face.png")).read_bytes())
    before = source.read_bytes()
    out = source if link == "itself" else folder / "out.mp4"
    if link == "symlink":
        out.symlink_to(source)
    elif link == "hard link":
        out.hardlink_to(source)
    elif link == "another way":
        (folder / "sub").mkdir()
        out = folder / "sub" / ".." / "talk.mp4"
    outcome = generate(out, which, str(source), *options)
    assert outcome.code == 2
    assert "an input is never overwritten" in outcome.err
    assert source.read_bytes() == before


def test_a_pipe_needs_a_stream(generate: Any, folder: Path) -> None:
    os.mkfifo(folder / "v.mp4")
    outcome = generate(folder / "v.mp4")
    assert outcome.code == 2
    assert "is no ordinary file; pipes and devices need --stream" in outcome.err


def test_a_stream_may_go_to_a_pipe(cli: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    from fada.media.video import read_video

    class Streams:
        needs_face = False
        needs_keypoints = False
        config = SimpleNamespace(fps=25.0)

        def to(self, *where: Any) -> Any:
            return self

        def optimize(self, **how: Any) -> None: ...

        def stream(self, image: np.ndarray, chunks: Any, **options: Any) -> Any:
            return (np.full((5, 32, 32, 3), 128, np.uint8) for _ in range(3))

    monkeypatch.setattr(fada.export.opening, "load_pipeline", lambda folder, student=None: Streams())
    os.mkfifo(folder / "v.mp4")
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append((folder / "v.mp4").read_bytes()), daemon=True)
    reader.start()
    inputs = ("--image", str(folder / "face.png"), "--audio", str(folder / "voice.wav"))
    outcome = cli("generate", "--model", "m", *inputs, "--out", str(folder / "v.mp4"), "--stream")
    assert outcome.code == 0, outcome.err
    reader.join(timeout=30)
    assert len(read_video(received[0])) == 15
