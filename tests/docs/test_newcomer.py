"""The README's way from the demo to one's own footage, walked in small: its commands, in its order."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.docs.shell_blocks import ROOT, Command, commands

SHARED = ROOT / ".." / "shared"
LANDMARKER = SHARED / "weights" / "mediapipe" / "face_landmarker_v2_with_blendshapes.task"
MEDIA = SHARED / "media"
DEMO_IN_SMALL = (
    "data.world.clips=4",
    "data.world.test_clips=1",
    "distill.phases.balanced.steps=1",
    "distill.phases.balanced.batch=1",
    "distill.phases.fast.steps=1",
    "distill.phases.fast.batch=1",
    "bench.clips=1",
    "bench.seconds=0.48",
    "bench.teacher_steps=2",
)
FOOTAGE_IN_SMALL = (
    "vae.train.steps=2",
    "teacher.stages.images.steps=2",
    "teacher.stages.clips.steps=2",
    "distill.phases.fast.steps=2",
    "bench.clips=1",
    "bench.seconds=0.48",
    "bench.teacher_steps=2",
    "bench.search_clips=0",
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def way() -> list[Command]:
    """The commands of the README's section, in order."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.partition("## From the demo to your own footage")[2].partition("\n## ")[0]
    parts = section.split("```sh\n")[1:]
    return [command for part in parts for command in commands("README.md", part.partition("```")[0])]


def test_the_way_is_the_one_that_is_walked_here() -> None:
    verbs = [" ".join(command.fada[: 2 if command.fada[0] == "data" else 1]) for command in way() if command.fada]
    assert verbs == ["demo", "generate", "data prepare", "data shard", "distill", "generate"]


def test_the_demo_and_the_first_video(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    demo, generate = (command.fada for command in way()[:2])
    outcome = cli(*demo, *DEMO_IN_SMALL)
    assert outcome.code == 0, outcome.err
    # What the demo says comes next is what the README says.
    assert outcome.out.splitlines()[-1].strip() == " ".join(("fada", *generate))
    outcome = cli(*generate)
    assert outcome.code == 0, outcome.err
    assert "unlike the faces" not in outcome.err
    assert Path("talking.mp4").stat().st_size > 1000


@pytest.mark.skipif(
    not (LANDMARKER.is_file() and MEDIA.is_dir()), reason="needs the trial media and models in ../shared"
)
def test_own_footage_becomes_a_model_that_speaks(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("videos").mkdir()
    for video in sorted((MEDIA / "video").glob("grid_*"))[:4]:
        shutil.copy(video, "videos")
    shutil.copy(LANDMARKER, "face_landmarker.task")
    for command in way():
        if command.fada is None or command.fada[0] == "demo" or "runs/demo" in command.fada:
            continue
        if command.fada[0] == "generate":
            _portrait_and_speech()
        outcome = cli(*command.fada, *(FOOTAGE_IN_SMALL if command.fada[0] == "distill" else ()))
        assert outcome.code == 0, outcome.err
    assert Path("mine.mp4").stat().st_size > 1000


def _portrait_and_speech() -> None:
    """Somebody's, from the footage: the first frame of a video, and half a second of its sound."""
    from PIL import Image

    from fada.media.audio import read_audio, write_wav
    from fada.media.video import read_video

    video = sorted(Path("videos").iterdir())[0]
    Image.fromarray(read_video(video)[0]).save("portrait.jpg")
    write_wav("speech.wav", read_audio(video)[:8000])
