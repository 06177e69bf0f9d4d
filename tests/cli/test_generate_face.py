"""``fada generate`` with a model that is told of the face."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import Any

import numpy as np
import pytest

import fada.export.opening
from fada.data.prepare import face_embedding, models, portrait_clues
from fada.media.audio import write_wav
from fada.media.image import write_png


class Finder:
    """Stands in for MediaPipe."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Finder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        return None


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """How a model that needs the face was called, and what read it."""
    seen: dict[str, Any] = {}

    class Pipeline:
        needs_face = True
        needs_keypoints = False
        config = SimpleNamespace(fps=25.0)

        def in_chunks(self, image: np.ndarray, audio: np.ndarray, **options: Any) -> Any:
            seen.update(options)
            return Made([SimpleNamespace(frames=np.full((5, 32, 32, 3), 128, np.uint8))])

        def to(self, *place: Any) -> Any:
            return self

        def optimize(self, **options: Any) -> None: ...

    class Made(list[Any]):
        clips, nfe, stage_seconds = 1, 6, {"denoise": 1.0}

    monkeypatch.setattr(fada.export.opening, "load_pipeline", lambda folder, student=None: Pipeline())
    monkeypatch.setattr(models, "FaceFinder", Finder)
    monkeypatch.setattr(face_embedding, "FaceEmbedder", lambda path: ("embedder", path))
    monkeypatch.setattr(portrait_clues, "portrait_clues", lambda *read: read)
    monkeypatch.setattr("fada.data.prepare.prepare_portrait", lambda picture, path: picture[:32, :32])
    return seen


@pytest.fixture
def call(tmp_path: Path, cli: Any) -> Any:
    """``call("--option", …)``: the verb on a small portrait and sound."""
    write_png(tmp_path / "face.png", np.full((40, 40, 3), 120, np.uint8))
    write_wav(tmp_path / "voice.wav", np.zeros(3200, np.float32))
    inputs = ("--image", str(tmp_path / "face.png"), "--audio", str(tmp_path / "voice.wav"))
    out = ("--out", str(tmp_path / "v.mp4"))
    return lambda *options: cli("generate", "--model", "m", *inputs, *out, *options)


def test_the_portraits_face_is_read_as_the_model_will_see_it(seen: dict[str, Any], call: Any) -> None:
    assert call("--face-landmarker", "marks.task", "--face-embedder", "arc.onnx").code == 0
    picture, finder, embedder = seen["face"]
    assert picture.shape == (32, 32, 3)
    assert (finder.path, embedder) == (Path("marks.task"), ("embedder", Path("arc.onnx")))


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ((), "--face-landmarker and --face-embedder: this model is told of the face"),
        (("--face-landmarker", "marks.task"), "--face-embedder: this model is told of the face"),
        (("--face-embedder", "arc.onnx"), "--face-landmarker: this model is told of the face"),
    ],
)
def test_what_is_missing_is_named(seen: dict[str, Any], call: Any, given: tuple[str, ...], missing: str) -> None:
    result = call(*given)
    assert result.code == 2
    assert missing in result.err
    assert not seen
