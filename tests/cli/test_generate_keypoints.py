"""``fada generate`` with a model that is shown where eyes and nose are."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import fada.export.opening
from fada.data.clips import clip_keypoints
from fada.data.clips.clip import Clip, ClipError, write_clip
from fada.data.clips.keypoints import Keypoints
from fada.data.prepare import models, portrait_clues
from fada.data.world import make_world
from fada.data.world.keypoints import keypoints_of_truth
from fada.media.audio import write_wav
from fada.media.image import write_png

FACE = torch.tensor([[0.3, 0.3], [0.6, 0.3], [0.45, 0.5], [0.4, 0.7], [0.5, 0.7]])
SOUND = 16000


def face(shift: float = 0.0) -> Keypoints:
    return Keypoints(FACE + shift, torch.ones(5, dtype=torch.bool), torch.tensor([0.4, 0.65, 0.5, 0.75]))


class Finder:
    """Stands in for MediaPipe."""

    def __init__(self, path: Path) -> None: ...

    def __enter__(self) -> Finder:
        return self

    def __exit__(self, *fault: object) -> None: ...


class Made(list[Any]):
    """What a call returns."""

    clips, nfe, stage_seconds = 1, 6, {"denoise": 1.0}


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """How a model that is shown keypoints was called; the portrait's own are `face()`, a driving clip's move right."""
    seen: dict[str, Any] = {}

    class Pipeline:
        needs_face, needs_keypoints = False, True
        config = SimpleNamespace(fps=25.0)
        family = SimpleNamespace(guidance=SimpleNamespace(names=("reference", "audio")))

        def in_chunks(self, image: np.ndarray, audio: np.ndarray, **options: Any) -> Any:
            seen.update(options)
            return Made([SimpleNamespace(frames=np.full((25, 32, 32, 3), 128, np.uint8))])

        def to(self, *place: Any) -> Any:
            return self

        def optimize(self, **options: Any) -> None: ...

    moving = [face(0.01 * frame) for frame in range(30)]
    driving = Keypoints(*(torch.stack(each) for each in zip(*(k.tensors().values() for k in moving), strict=True)))
    monkeypatch.setattr(fada.export.opening, "load_pipeline", lambda folder, student=None: Pipeline())
    monkeypatch.setattr(models, "FaceFinder", Finder)
    monkeypatch.setattr(portrait_clues, "portrait_keypoints", lambda picture, finder: face(0.1))
    monkeypatch.setattr(clip_keypoints, "keypoints_of_clip", lambda clip: driving)
    monkeypatch.setattr("fada.data.prepare.prepare_portrait", lambda picture, path: picture)
    return seen


@pytest.fixture
def call(tmp_path: Path, cli: Any) -> Any:
    """``call("--option", …)``: the verb on a small portrait and a second of sound."""
    write_png(tmp_path / "face.png", np.full((32, 32, 3), 120, np.uint8))
    write_wav(tmp_path / "voice.wav", np.zeros(SOUND, np.float32))
    inputs = ("--image", str(tmp_path / "face.png"), "--audio", str(tmp_path / "voice.wav"))
    return lambda *options: cli("generate", "--model", "m", *inputs, "--out", str(tmp_path / "v.mp4"), *options)


def test_without_a_driving_clip_the_head_keeps_still_where_the_portrait_has_it(seen: dict[str, Any], call: Any) -> None:
    assert call("--face-landmarker", "marks.task").code == 0
    assert seen["keypoints"].points.shape == (25, 5, 2)
    assert torch.equal(seen["keypoints"].points, (FACE + 0.1).expand(25, 5, 2))


def test_a_driving_clip_moves_the_head_from_where_the_portrait_has_it(seen: dict[str, Any], call: Any) -> None:
    assert call("--face-landmarker", "marks.task", "--keypoints", "clip.mp4").code == 0
    expected = FACE[:3] + 0.1 + 0.01 * torch.arange(25)[:, None, None]
    torch.testing.assert_close(seen["keypoints"].points[:, :3], expected)
    # Mouths are the portrait's: the sound moves them.
    assert torch.equal(seen["keypoints"].points[:, 3:], (FACE[3:] + 0.1).expand(25, 2, 2))


def test_unchanged_keypoints_are_those_of_the_clip_and_without_a_landmarker_its_first_frame_is_the_portraits(
    seen: dict[str, Any], call: Any
) -> None:
    moved = FACE[:3] + 0.01 * torch.arange(25)[:, None, None]
    for options in (("--face-landmarker", "marks.task", "--retargeting", "unchanged"), ()):
        assert call("--keypoints", "clip.mp4", "--overwrite", *options).code == 0
        torch.testing.assert_close(seen["keypoints"].points[:, :3], moved)


@pytest.mark.parametrize("named", ["v.mp4", "v.json", "v"])
def test_the_driving_clip_is_never_overwritten(seen: dict[str, Any], call: Any, tmp_path: Path, named: str) -> None:
    (tmp_path / "v.mp4").write_bytes(b"a driving clip")
    result = call("--keypoints", str(tmp_path / named), "--overwrite")
    assert result.code == 2
    assert (tmp_path / "v.mp4").read_bytes() == b"a driving clip"
    assert not seen


def test_with_neither_it_says_what_to_give(seen: dict[str, Any], call: Any) -> None:
    result = call()
    assert result.code == 2
    assert "--keypoints or --face-landmarker: this model is shown where eyes and nose are" in result.err
    assert not seen


def test_a_model_that_is_shown_none_refuses_them(
    seen: dict[str, Any], call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(fada.export.opening.load_pipeline(Path())), "needs_keypoints", False)
    result = call("--keypoints", "clip.mp4")
    assert result.code == 2
    assert "--keypoints: this model is shown none; leave it out" in result.err


def test_an_unknown_way_of_retargeting_names_those_there_are(seen: dict[str, Any], call: Any) -> None:
    result = call("--keypoints", "clip.mp4", "--retargeting", "clever")
    assert result.code == 2
    assert "'clever' is not one of 'naive', 'unchanged'" in result.err


def test_keypoints_of_a_drawn_clip_are_its_truth_and_any_file_of_it_names_it(tmp_path: Path) -> None:
    make_world(tmp_path / "world", 1, size=32, frames=6)
    (record,) = (tmp_path / "world").glob("train-*.json")
    expected = keypoints_of_truth(json.loads(record.read_text())["meta"])
    assert expected is not None
    for name in (record, record.with_suffix(".mp4"), record.with_suffix("")):
        found = clip_keypoints.keypoints_of_clip(name)
        assert torch.equal(found.points, expected.points)


def test_a_clip_that_tells_of_no_face_is_refused_by_name(tmp_path: Path) -> None:
    write_clip(tmp_path, Clip("plain", np.zeros((4, 32, 32, 3), np.uint8), np.zeros(2560, np.float32)), "lossless")
    with pytest.raises(
        ClipError, match=r"plain\.mp4: nothing says where its face is .*; give a clip of fada data prep"
    ):
        clip_keypoints.keypoints_of_clip(tmp_path / "plain.mp4")
    with pytest.raises(ClipError, match="other"):
        clip_keypoints.keypoints_of_clip(tmp_path / "other.mp4")
