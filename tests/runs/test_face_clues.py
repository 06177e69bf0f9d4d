"""From clips with landmarks to training samples that know their face."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from rich.console import Console
from safetensors.numpy import save_file

from fada.data.audio.features import LogMelEncoder
from fada.data.clips.clip import Clip, ClipError, write_clip
from fada.data.clips.face import FaceClues, face_boxes
from fada.data.prepare import face_embedding
from fada.data.prepare.face_embedding import FIVE_POINTS, FaceEmbedder
from fada.data.shards.reading import read_index, read_shards
from fada.data.shards.stored_clips import face_clues
from fada.packing.shards import shard_clips
from fada.recipe.schema import Recipe
from fada.run.data import prepare_data
from fada.run.stored_features import load_latents
from fada.teacher.vae import new_vae

QUIET = Console(quiet=True)
FRAMES = 8


class CornerEmbedder(FaceEmbedder):
    """Answers with the picture's first pixel and the landmarks of the first eye."""

    def __init__(self, path: object = None, fingerprint: str = "corner") -> None:
        self.fingerprint = fingerprint

    def embed(self, picture: np.ndarray, landmarks: np.ndarray) -> torch.Tensor:
        embedding = torch.zeros(512)
        embedding[:3] = torch.from_numpy(picture[0, 0].astype(np.float32))
        embedding[3:5] = torch.from_numpy(landmarks[FIVE_POINTS[0]])
        return embedding


def put_clip(folder: Path, key: str, split: str = "train") -> np.ndarray:
    """Write a clip whose face lies outside the picture in frames 0 and 1; returns its landmarks."""
    rng = np.random.default_rng(len(key))
    frames = rng.integers(0, 256, (FRAMES, 32, 32, 3), dtype=np.uint8)
    sound = rng.uniform(-0.5, 0.5, FRAMES * 640).astype(np.float32)
    write_clip(folder, Clip(key, frames, sound, meta={"quality": "A", "split": split}), "lossless")
    landmarks = rng.uniform(0.3, 0.7, (FRAMES, 478, 2)).astype(np.float16)
    landmarks[:2, FIVE_POINTS[3]] = -0.1
    save_file({"landmarks": landmarks}, folder / f"{key}.landmarks.safetensors")
    return landmarks.astype(np.float32)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips a, bb and the held-out ccc as `clips`; shards with features and faces (`features`), without (`plain`)."""
    folder = tmp_path_factory.mktemp("faces")
    for key, split in (("a", "train"), ("bb", "train"), ("ccc", "test")):
        put_clip(folder / "clips", key, split)
    torch.manual_seed(0)
    vae = new_vae((8, 16), 4).eval()
    vae.save_pretrained(str(folder / "vae"))
    shard_clips(folder / "clips", folder / "plain", face_embedder=CornerEmbedder())
    vae = AutoencoderKL.from_pretrained(str(folder / "vae")).eval()
    shard_clips(folder / "clips", folder / "features", vae, LogMelEncoder(8), face_embedder=CornerEmbedder())
    return folder


@pytest.fixture
def recipe(smoke: Callable[..., Recipe], tmp_path: Path, made: Path) -> Callable[[Path], Recipe]:
    """``recipe(shards)``: the smoke recipe on those shards."""
    return lambda shards: smoke(
        tmp_path / "run", "data.world=null", f"vae.path={made / 'vae'}",
        *(f"data.{split}_shards={shards / split}" for split in ("train", "test")),
    )  # fmt: skip


def assert_equal(clues: FaceClues | None, other: FaceClues) -> None:
    assert clues is not None
    for name in ("embedding", "face_box", "lip_box"):
        torch.testing.assert_close(getattr(clues, name), getattr(other, name), rtol=0, atol=0)


def test_shards_hold_the_embedding_of_the_first_frame_that_shows_the_face(made: Path) -> None:
    index = read_index(made / "plain/train")
    assert (index.parts["face"], index.features) == (2, {"face_embedder": "corner"})
    for sample in read_shards(made / "plain/train"):
        assert sample.frames is not None
        assert sample.landmarks is not None
        expected = CornerEmbedder().embed(sample.frames[2], sample.landmarks["landmarks"][2].numpy())
        torch.testing.assert_close(sample.face, expected, rtol=0, atol=0)


def test_clips_without_landmarks_are_refused_before_any_is_encoded(tmp_path: Path) -> None:
    for key in ("a", "bb", "ccc"):
        put_clip(tmp_path / "clips", key)
    (tmp_path / "clips/bb.landmarks.safetensors").unlink()
    wanted = r"bb\.landmarks\.safetensors: no such file, and 1 of 3 clips have none; .* make the clips with fada data"
    with pytest.raises(ClipError, match=wanted):
        shard_clips(tmp_path / "clips", tmp_path / "out", face_embedder=CornerEmbedder())
    assert not (tmp_path / "out").exists()


def test_the_command_embeds_faces(tmp_path: Path, capfd, monkeypatch: pytest.MonkeyPatch) -> None:
    from fada.cli.app import run

    put_clip(tmp_path / "clips", "a")
    command = ["data", "shard", str(tmp_path / "clips"), "--out", str(tmp_path / "out"), "--face-embedder", "arc.onnx"]
    assert run(command) != 0
    assert "arc.onnx: no face embedder there" in " ".join(capfd.readouterr().err.split())
    monkeypatch.setattr(face_embedding, "FaceEmbedder", CornerEmbedder)
    assert run(command) == 0
    assert read_index(tmp_path / "out/train").parts["face"] == 1
    assert run(["data", "inspect", str(tmp_path / "out")]) == 0
    shown = capfd.readouterr().out
    assert "face 1" in shown
    assert "face_embedder" in shown


@pytest.mark.parametrize("ratios", [{}, {"face_ratio": 1.2, "lip_ratio": 2.0}])
def test_training_clips_know_embedding_and_boxes(made: Path, ratios: dict[str, float]) -> None:
    stored = {sample.key: sample for sample in read_shards(made / "features/train")}
    clips = load_latents(made / "features/train", **ratios)
    assert [clip.key for clip in clips] == ["a", "bb"]
    for clip in clips:
        sample = stored[clip.key]
        assert sample.face is not None
        assert sample.landmarks is not None
        boxes = face_boxes(sample.landmarks["landmarks"].float().numpy(), *(ratios.values() or (1.0, 1.0)))
        assert_equal(clip.face, FaceClues(sample.face, *boxes))


def test_clues_of_the_first_frames_only_look_no_further(made: Path) -> None:
    sample = next(iter(read_shards(made / "plain/test")))
    assert sample.landmarks is not None
    first = face_clues(sample, 1.2, 2.0, frames=1)
    assert first is not None
    torch.testing.assert_close(first.face_box, face_boxes(sample.landmarks["landmarks"][:1].numpy(), 1.2, 2.0)[0])


def test_a_run_that_encodes_takes_the_faces_over(recipe: Callable[[Path], Recipe], made: Path, tmp_path: Path) -> None:
    encoded = prepare_data(recipe(made / "plain"), tmp_path / "run", QUIET).train
    for own, stored in zip(encoded, load_latents(made / "features/train"), strict=True):
        assert stored.face is not None
        assert_equal(own.face, stored.face)


def test_a_run_encodes_again_when_its_shards_have_faces_of_another_embedder(
    recipe: Callable[[Path], Recipe], tmp_path: Path, made: Path
) -> None:
    for embedder in (None, CornerEmbedder(fingerprint="other")):
        shard_clips(made / "clips", tmp_path / "shards", face_embedder=embedder, overwrite=True)
        clips = prepare_data(recipe(tmp_path / "shards"), tmp_path / "run", QUIET).train
        assert [clip.face is None for clip in clips] == [embedder is None] * 2
    assert read_index(tmp_path / "run/data/train").features["face_embedder"] == "other"


def test_landmarks_alone_tell_nothing(tmp_path: Path) -> None:
    put_clip(tmp_path / "clips", "a")
    shard_clips(tmp_path / "clips", tmp_path / "out", new_vae((8, 16), 4).eval(), LogMelEncoder(8))
    (clip,) = load_latents(tmp_path / "out/train")
    assert clip.face is None
