"""Keypoints on their way into a run: from a drawn world or shards, into training samples and held-out clips."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.numpy import save_file

from fada.cli.app import run as command
from fada.data.audio.features import LogMelEncoder
from fada.data.clips.clip import Clip, ClipError, read_record, write_clip, write_record
from fada.data.clips.keypoints import Keypoints, keypoints_of_landmarks, read_stored
from fada.data.sampling.dataset import BatchShape, ClipSampler
from fada.data.shards.reading import read_index, read_shards, write_shards
from fada.data.world import make_world
from fada.data.world.keypoints import keypoints_of_truth
from fada.packing.encode import encode_shards
from fada.packing.shards import shard_clips
from fada.packing.tools import Tools
from fada.recipe.errors import RecipeError
from fada.recipe.schema import Recipe
from fada.run.data import RunData, prepare_data
from fada.run.stored_features import load_latents
from fada.teacher.vae import new_vae

Smoke = Callable[..., Recipe]
QUIET = Console(quiet=True)
WORLD = ("vae.channels=[8,8]", "vae.train.steps=1", "data.world.clips=3", "data.world.test_clips=1")


def prepared(recipe: Recipe, keypoints: bool = True) -> tuple[RunData, str]:
    text = io.StringIO()
    console = Console(file=text, width=10_000)
    return prepare_data(recipe, recipe.output, console, keypoints=keypoints), text.getvalue()


def equal(one: Keypoints | None, two: Keypoints | None) -> None:
    assert one is not None
    assert two is not None
    for name, value in one.tensors().items():
        assert torch.equal(value, two.tensors()[name]), name


def of_world(run: Path, key: str) -> Keypoints:
    found = keypoints_of_truth(read_record(run / "data/clips" / f"{key}.json")["meta"])
    assert found is not None
    return read_stored(found.stored())


def test_a_drawn_world_gives_them_by_itself_and_nothing_else_changes(smoke: Smoke, tmp_path: Path) -> None:
    asked, _ = prepared(smoke(tmp_path / "asked", *WORLD))
    plain, _ = prepared(smoke(tmp_path / "plain", *WORLD), keypoints=False)
    assert asked.train.facts.has_keypoints.all()
    for clip in asked.train:
        equal(clip.keypoints, of_world(tmp_path / "asked", clip.key))
    for held in asked.test:
        equal(held.keypoints, of_world(tmp_path / "asked", held.key))
    assert [clip.keypoints for clip in (*plain.train, *plain.test)] == [None] * (len(plain.train) + len(plain.test))
    one, two = (ClipSampler(data.train, 4, 1, 1) for data in (asked, plain))
    for step in range(3):
        first, second = (each.batch(step, BatchShape(2)) for each in (one, two))
        for name in ("latents", "reference", "motion", "has_motion", "audio"):
            assert torch.equal(getattr(first, name), getattr(second, name))
    assert read_index(tmp_path / "plain/data/train").parts["keypoints"] == 0


def test_a_run_that_has_none_yet_makes_its_shards_anew_when_asked(smoke: Smoke, tmp_path: Path) -> None:
    recipe = smoke(tmp_path / "run", *WORLD)
    before = list(prepared(recipe, keypoints=False)[0].train)
    after, said = prepared(recipe)
    assert "has no keypoints" in said
    for one, two in zip(before, after.train, strict=True):
        assert torch.equal(one.latents, two.latents)
    assert "has no keypoints" not in prepared(recipe)[1]
    # Once there they are no reason to make anything anew.
    assert "made anew" not in prepared(recipe, keypoints=False)[1]


def lose_a_frame(truth: dict[str, Any]) -> None:
    truth |= {name: value[:-1] for name, value in truth.items() if isinstance(value, list)}


def lose_the_person(truth: dict[str, Any]) -> None:
    del truth["person"]


@pytest.mark.parametrize("damage", [lambda truth: truth.update(person={}), lose_the_person, lose_a_frame])
def test_a_clip_whose_truth_is_damaged_is_drawn_again(
    smoke: Smoke, tmp_path: Path, damage: Callable[[dict[str, Any]], None]
) -> None:
    recipe = smoke(tmp_path / "run", *WORLD)
    prepared(recipe, keypoints=False)
    file = sorted((tmp_path / "run/data/clips").glob("train-*.json"))[1]
    whole = file.read_bytes()
    record = read_record(file)
    damage(record["meta"]["truth"])
    write_record(file, record)
    data, said = prepared(recipe)
    assert f"{file.stem}.json" in said
    assert json.loads(file.read_bytes()) == json.loads(whole)
    assert data.train.facts.has_keypoints.all()


def put_prepared(folder: Path, key: str, landmarks: bool = True) -> np.ndarray:
    """A clip as prepare leaves it; returns its landmarks."""
    rng = np.random.default_rng(len(key))
    frames = rng.integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    write_clip(folder, Clip(key, frames, np.zeros(8 * 640, np.float32), meta={"quality": "A"}), "lossless")
    points = rng.uniform(0.2, 0.8, (8, 478, 2)).astype(np.float16)
    if landmarks:
        save_file({"landmarks": points, "yaw": np.zeros(8, np.float32)}, folder / f"{key}.landmarks.safetensors")
    return points


def test_shards_of_footage_get_them_from_landmarks_and_of_drawn_clips_from_the_truth(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    points = put_prepared(tmp_path / "clips", "a")
    make_world(tmp_path / "world", 1, size=32, frames=6)
    for source in ("clips", "world"):
        assert command(["data", "shard", str(tmp_path / source), "--out", str(tmp_path / f"{source}-shards")]) == 0
    (filmed,), (drawn,) = (list(read_shards(tmp_path / f"{source}-shards/train")) for source in ("clips", "world"))
    assert filmed.keypoints is not None
    assert drawn.keypoints is not None
    expected = keypoints_of_landmarks(points.astype(np.float32))
    equal(read_stored(filmed.keypoints), read_stored(expected.stored()))
    truth = keypoints_of_truth(drawn.meta)
    assert truth is not None
    equal(read_stored(drawn.keypoints), read_stored(truth.stored()))
    assert command(["data", "inspect", str(tmp_path / "world-shards")]) == 0
    assert "keypoints 1" in capfd.readouterr().out


def test_a_damaged_truth_stops_sharding_and_names_its_clip(tmp_path: Path) -> None:
    make_world(tmp_path / "world", 1, size=32, frames=6)
    file = tmp_path / "world/train-s0-000000.json"
    record = read_record(file)
    record["meta"]["truth"]["size"] = "big"
    write_record(file, record)
    with pytest.raises(ClipError, match=r"/world: train-s0-000000: truth: not that of a drawn face .*; draw the clip"):
        shard_clips(tmp_path / "world", tmp_path / "out")


@pytest.fixture
def shards(smoke: Smoke, tmp_path: Path) -> Callable[..., Recipe]:
    """``shards(*names)``: a recipe that trains on the sharded clips of these names, and holds them out, too."""

    def made(*names: str, landmarks: bool = True) -> Recipe:
        for name in names:
            put_prepared(tmp_path / "clips", name, landmarks=landmarks or name == "a")
        shard_clips(tmp_path / "clips", tmp_path / "shards", overwrite=True)
        sets = [f"data.{split}_shards={tmp_path / 'shards/train'}" for split in ("train", "test")]
        return smoke(tmp_path / "run", "data.world=null", *sets, "vae.channels=[8,8]", "vae.train.steps=1")

    return made


def test_a_run_that_encodes_takes_them_over(shards: Callable[..., Recipe]) -> None:
    data, _ = prepared(shards("a", "bb"))
    assert [clip.key for clip in data.train] == [clip.key for clip in data.test] == ["a", "bb"]
    for clip, held in zip(data.train, data.test, strict=True):
        equal(clip.keypoints, held.keypoints)


def test_clips_without_them_are_refused_where_the_teacher_is_shown_them(shards: Callable[..., Recipe]) -> None:
    recipe = shards("a", "bb", landmarks=False)
    said = r"1 of 2 training clips have no keypoints, which the teacher is shown, bb among them; .* fada data prepare"
    with pytest.raises(RecipeError, match=said):
        prepared(recipe)
    prepared(recipe, keypoints=False)


def test_encoding_shards_of_the_version_before_adds_them(tmp_path: Path) -> None:
    points = put_prepared(tmp_path / "clips", "a")
    shard_clips(tmp_path / "clips", tmp_path / "new")
    write_shards(read_shards(tmp_path / "new/train", parts=("frames", "audio", "landmarks")), tmp_path / "old", 2)
    assert read_index(tmp_path / "old").parts["keypoints"] == 0
    torch.manual_seed(0)
    encoders = Tools(new_vae((8, 16), 4).eval(), LogMelEncoder(8))
    encode_shards(str(tmp_path / "old"), str(tmp_path / "encoded"), lambda: encoders)
    assert read_index(tmp_path / "encoded").parts["keypoints"] == 1
    (clip,) = load_latents(tmp_path / "encoded", keypoints=True)
    equal(clip.keypoints, read_stored(keypoints_of_landmarks(points.astype(np.float32)).stored()))


SHARED = Path(__file__).resolve().parents[2] / ".." / "shared"
MODEL = SHARED / "weights" / "mediapipe" / "face_landmarker_v2_with_blendshapes.task"
VIDEO = SHARED / "media" / "video" / "grid_A2_test_video.mp4"


@pytest.mark.skipif(
    not (MODEL.is_file() and VIDEO.is_file()), reason="needs the trial media and MediaPipe models in ../shared"
)
def test_prepared_footage_has_its_eyes_and_nose_where_they_are_found_in_the_cut_pictures(tmp_path: Path) -> None:
    from fada.data.prepare import FaceFinder, prepare_videos
    from fada.data.shards.held_out import clip_of

    prepare_videos([VIDEO], tmp_path / "clips", face_landmarker_path=MODEL, size=256)
    shard_clips(tmp_path / "clips", tmp_path / "shards", takes_all=True)
    (sample,) = read_shards(tmp_path / "shards/train")
    clip = clip_of(sample, keypoints=True)
    assert clip.keypoints is not None
    assert clip.keypoints.points.shape == (len(clip.frames), 5, 2)
    assert clip.keypoints.visible.all()
    with FaceFinder(MODEL) as finder:
        for number in (0, 30, 74):
            (face,) = finder.find(clip.frames[number])
            again = keypoints_of_landmarks(face.points[None, :, :2] / 256)
            # Found in another cut of the same frame: a face height is about half of the picture.
            assert float((again.points[0] - clip.keypoints.points[number]).abs().max()) < 0.02
            assert float((again.lip_box[0] - clip.keypoints.lip_box[number]).abs().max()) < 0.02
