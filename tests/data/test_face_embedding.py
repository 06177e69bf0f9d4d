"""Faces aligned as ArcFace wants them, embedded, and refused where something is missing."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from arcface_stub import write_arcface_stub
from drawn_talker import ColourFinder, draw_talker

from fada.data.clips.face import face_boxes
from fada.data.prepare.face_embedding import FIVE_POINTS, TEMPLATE, FaceEmbedder, align_face
from fada.data.prepare.models import ModelError
from fada.data.prepare.portrait_clues import portrait_clues
from fada.media.error import MediaError


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> FaceEmbedder:
    return FaceEmbedder(write_arcface_stub(tmp_path_factory.mktemp("models") / "stub.onnx"))


def ramps(height: int, width: int) -> np.ndarray:
    """Red is the column, green the row, blue 200."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([columns, rows, np.full_like(rows, 200)], axis=2).astype(np.uint8)


def landmarks_at(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """Shares whose five points are given by x and y of pixels' middles."""
    landmarks = np.zeros((478, 2))
    landmarks[list(FIVE_POINTS)] = (points + 0.5) / (width, height)
    return landmarks


def turned(points: np.ndarray, degrees: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return scale * points @ turn + shift


@pytest.mark.parametrize(("degrees", "scale", "shift"), [(0, 1, (0, 0)), (20, 1.3, (70, 10)), (-35, 0.8, (60, 90))])
def test_the_five_points_of_a_turned_and_scaled_face_come_to_the_template(
    degrees: float, scale: float, shift: tuple[float, float]
) -> None:
    points = turned(TEMPLATE, degrees, scale, shift)
    aligned = align_face(ramps(200, 240), landmarks_at(points, 200, 240)).astype(float)
    for (x, y), (column, row) in zip(TEMPLATE, points, strict=True):
        # Between four pixels of a ramp the value is the place.
        left, top = int(x), int(y)
        across, down = x - left, y - top
        corners = aligned[top : top + 2, left : left + 2, :2]
        seen = np.einsum("i,j,ijc->c", (1 - down, down), (1 - across, across), corners)
        np.testing.assert_allclose(seen, (column, row), atol=1.0)


def test_no_other_similarity_brings_the_points_nearer() -> None:
    rng = np.random.default_rng(0)
    points = turned(TEMPLATE, 10, 1.5, (20, 5)) + rng.normal(0, 4, (5, 2))
    aligned = align_face(ramps(200, 240), landmarks_at(points, 200, 240)).astype(float)
    # Three pixels of the ramps say how places in the aligned face and in the picture belong together.
    origin, right = (aligned[y, x, :2] @ (1, 1j) for y, x in ((30, 20), (30, 100)))
    scale = 80 / (right - origin)
    found = (points @ (1, 1j) - origin) * scale + (20 + 30j)
    wanted = TEMPLATE @ (1, 1j)

    def distance(scale: complex, shift: complex) -> float:
        return float(np.square(np.abs(scale * (found - found.mean()) + found.mean() + shift - wanted)).sum())

    best = distance(1, 0)
    for step in (0.03, -0.03, 0.03j, -0.03j):
        assert distance(1 + step, 0) > best
        assert distance(1, 40 * step) > best


def test_beyond_the_picture_it_is_black() -> None:
    aligned = align_face(ramps(60, 112), landmarks_at(TEMPLATE, 60, 112))
    assert (aligned[:59, :, 2] == 200).all()
    assert not aligned[61:].any()


def test_the_embedding_is_the_networks_answer_to_the_face_in_minus_one_to_one(embedder: FaceEmbedder) -> None:
    picture, points = ramps(200, 240), turned(TEMPLATE, 20, 1.3, (70, 10))
    landmarks = landmarks_at(points, 200, 240)
    face = align_face(picture, landmarks).astype(np.float32) / 127.5 - 1
    means = face.transpose(2, 0, 1).reshape(3, 16, 7, 16, 7).mean((2, 4)).reshape(-1)[:512]
    embedding = embedder.embed(picture, landmarks)
    assert embedding.dtype == torch.float32
    np.testing.assert_allclose(embedding, means, atol=1e-5)


def test_the_fingerprint_is_the_files(embedder: FaceEmbedder, tmp_path: Path) -> None:
    again = FaceEmbedder(write_arcface_stub(tmp_path / "same.onnx"))
    assert again.fingerprint == embedder.fingerprint
    assert len(again.fingerprint) == 16


def test_a_missing_file_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.onnx: no face embedder there; give an ArcFace .* glintr100\.onnx"):
        FaceEmbedder(tmp_path / "none.onnx")


def test_a_file_that_is_no_onnx_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(ModelError, match=r"text\.onnx: not readable as ONNX \(.*\); give an ArcFace network"):
        FaceEmbedder(tmp_path / "text.onnx")


@pytest.mark.parametrize("sizes", [{"side": 224}, {"width": 128}])
def test_a_network_of_other_sizes_is_refused(tmp_path: Path, sizes: dict[str, int]) -> None:
    with pytest.raises(ModelError, match=r"one input \(1, 3, 112, 112\) and one output \(1, 512\), this has \[1, 3, "):
        FaceEmbedder(write_arcface_stub(tmp_path / "other.onnx", **sizes))


def test_without_onnxruntime_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelError, match=r"needs onnxruntime: install the extra `hallo` \(pip install 'fada\[hallo\]'"):
        FaceEmbedder(write_arcface_stub(tmp_path / "stub.onnx"))


def test_a_portraits_clues_are_those_of_its_landmarks(embedder: FaceEmbedder) -> None:
    picture = square_talker()
    finder = ColourFinder()
    landmarks = finder.find(picture)[0].points[:, :2] / len(picture)
    clues = portrait_clues(picture, finder, embedder)
    face_box, lip_box = face_boxes(landmarks[None], 1.2, 2.0)
    assert torch.equal(clues.face_box, face_box)
    assert torch.equal(clues.lip_box, lip_box)
    assert torch.equal(clues.embedding, embedder.embed(picture, landmarks))


def test_portraits_without_a_face_or_of_another_kind_are_refused(embedder: FaceEmbedder) -> None:
    with pytest.raises(MediaError, match="the portrait: no face found"):
        portrait_clues(np.zeros((64, 64, 3), np.uint8), ColourFinder(), embedder)
    with pytest.raises(MediaError, match=r"a square uint8 \(S, S, 3\) is needed, got uint8 \(64, 48, 3\)"):
        portrait_clues(np.zeros((64, 48, 3), np.uint8), ColourFinder(), embedder)


def square_talker() -> np.ndarray:
    frame = draw_talker(np.array([0.5]))[0]
    side = max(frame.shape[:2])
    picture = np.zeros((side, side, 3), np.uint8)
    picture[: frame.shape[0], : frame.shape[1]] = frame
    return picture
