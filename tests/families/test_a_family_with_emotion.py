"""A family that is given an emotion and hears its motion frames: what reaches its networks, in training and calls."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from toy.family import TOY
from toy.networks import NUMBERS, Toy, ToyCodec, new

from fada import family, jobs
from fada.cli.app import run as main
from fada.data.audio.features import LogMelEncoder, window_states
from fada.data.clips.emotion import emotion_of
from fada.data.world import make_world
from fada.data.world.emotion_truth import emotion_of_truth
from fada.diffusion.scheduler import PeRFlowScheduler
from fada.generation.pipelines import PIPELINES, pipeline_of
from fada.packing.shards import shard_clips
from fada.recipe import RecipeError
from fada.recipe.schema import Recipe
from fada.run.data import RunData, prepare_data
from fada.studies.bench_setting import setting_of
from fada.studies.systems import bench_clip, generator
from fada.teacher.inputs import ClipInputs

FELT = replace(
    TOY, name="felt", title="A toy that feels", pipeline="FeltPipeline", conditions=frozenset({"emotion"}),
    hears_motion=True,
)  # fmt: skip
PORTRAIT = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
SOUND = (np.random.default_rng(1).standard_normal(640 * 10) * 0.1).astype(np.float32)
ENCODER = LogMelEncoder(4)


@pytest.fixture(scope="module", autouse=True)
def _felt() -> Iterator[None]:
    family.register(FELT)
    yield
    del family._registered["felt"]


def made(of: family.Family) -> Any:
    torch.manual_seed(0)
    model = new(None, {"prediction_type": "flow_prediction"}, (5, ENCODER.layers, ENCODER.states_dim), (NUMBERS,))
    scheduler = PeRFlowScheduler(prediction_type="flow_prediction", num_windows=4)
    return pipeline_of(of)(
        vae=ToyCodec(), **model.components(), audio_encoder=ENCODER, scheduler=scheduler, frames=4, motion_frames=2,
        size=32, steps=2, context=2,
    )  # type: ignore[arg-type] # fmt: skip


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[ClipInputs]:
    """The inputs of every chunk or batch."""
    found: list[ClipInputs] = []
    original = Toy.inputs_of

    def inputs_of(self: Toy, clips: ClipInputs) -> ClipInputs:
        found.append(clips)
        return original(self, clips)

    monkeypatch.setattr(Toy, "inputs_of", inputs_of)
    return found


@pytest.mark.parametrize("way", ["call", "stream"])
def test_chunks_hear_the_sound_of_the_frames_before(way: str, seen: list[ClipInputs]) -> None:
    pipeline = made(FELT)
    if way == "call":
        pipeline(PORTRAIT, SOUND, decode=False)
    else:
        list(pipeline.stream(PORTRAIT, [SOUND[:1000], SOUND[1000:]]))
    with torch.no_grad():
        windows = window_states(ENCODER(torch.from_numpy(SOUND)[None], 10), 2)[0]
    assert len(seen) == 3
    for number, inputs in enumerate(seen):
        assert inputs.motion_audio is not None
        expected = windows[4 * number - 2 : 4 * number][None] if number else torch.zeros(1, 2, *windows.shape[1:])
        torch.testing.assert_close(inputs.motion_audio, expected)
        assert inputs.has_motion is not None
        assert inputs.has_motion.tolist() == [number > 0]
    # The last chunk has two frames of its own; behind them the last state repeats.
    last = seen[2].audio[0]
    torch.testing.assert_close(last[:2], windows[8:10])
    for frame in last[2:]:
        torch.testing.assert_close(frame[-1], windows[9, 2])


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (None, {}),
        ({"happy": 0.8}, {"happy": 0.8}),
        (emotion_of({"sad": 0.25, "fear": 0.5}), {"sad": 0.25, "fear": 0.5}),
    ],
)
def test_calls_are_given_an_emotion_and_it_is_neutral_where_nothing_is_said(
    asked: Any, expected: dict[str, float], seen: list[ClipInputs]
) -> None:
    pipeline = made(FELT)
    pipeline(PORTRAIT, SOUND[:2560], decode=False, emotion=asked)
    list(pipeline.stream(PORTRAIT, [SOUND[:2560]], emotion=asked))
    assert [inputs.emotion.tolist() for inputs in seen] == [[emotion_of(expected).tolist()]] * 2  # type: ignore[union-attr]


def test_a_wrong_emotion_is_refused_and_so_is_any_by_families_that_are_given_none(seen: list[ClipInputs]) -> None:
    with pytest.raises(ValueError, match="no emotion named 'joy'"):
        made(FELT)(PORTRAIT, SOUND, emotion={"joy": 1.0})
    plain = made(TOY)
    for call in (plain, plain.in_chunks, lambda *each, **more: list(plain.stream(*each, **more))):
        with pytest.raises(ValueError, match="emotion: a ToyPipeline is given none; leave emotion out"):
            call(PORTRAIT, SOUND, emotion={"happy": 1.0})
    assert not seen
    plain(PORTRAIT, SOUND[:2560], decode=False)
    assert (seen[0].emotion, seen[0].motion_audio) == (None, None)


RECIPE = {
    "name": "felt",
    "data": {"world": {"clips": 4, "test_clips": 2, "frames": 10, "emotion": True}},
    "clip": {"frames": 4, "motion_frames": 2, "size": 32},
    "audio": {"kind": "log_mel", "bins": 4},
    "noise": {"prediction_type": "flow_prediction"},
    "engine": {"precision": "fp32"},
}


def recipe(folder: Path, of: family.Family = FELT, **changes: Any) -> Recipe:
    """A recipe whose teacher is there, with random weights."""
    teacher = folder / "teacher"
    if not teacher.exists():
        made(of).save_pretrained(teacher)
    content = {**RECIPE, "output": str(folder / "run"), "teacher": {"kind": of.name, "path": str(teacher)}}
    return Recipe.model_validate({**content, **changes})


def prepared(asked: Recipe) -> RunData:
    return prepare_data(asked, asked.output, Console(file=io.StringIO()))


def test_a_recipe_for_it_needs_a_world_with_emotions(tmp_path: Path) -> None:
    world = {"world": {"clips": 4, "frames": 10}}
    with pytest.raises(ValueError, match=r"data\.world\.emotion: A toy that feels is given an emotion; set it to true"):
        recipe(tmp_path / "a", data=world)
    recipe(tmp_path / "b", TOY, data=world)


def test_a_run_has_the_emotions_of_its_world_where_the_teacher_is_given_them(tmp_path: Path) -> None:
    asked, plain = (prepared(recipe(tmp_path / of.name, of)) for of in (FELT, TOY))
    assert asked.train.facts.has_emotion.all()
    assert not plain.train.facts.has_emotion.any()
    assert [each.emotion for each in plain.test] == [None, None]
    for held in asked.test:
        assert torch.equal(held.emotion, emotion_of_truth(held.meta))  # type: ignore[arg-type]
    for one, two in zip(asked.train, plain.train, strict=True):
        assert torch.equal(one.latents, two.latents)
        assert torch.equal(one.states, two.states)


def test_shards_without_emotions_are_refused(tmp_path: Path) -> None:
    make_world(tmp_path / "w", 2, size=32, frames=8, emotion=True)
    make_world(tmp_path / "p", 2, size=32, frames=8)
    for name in "wp":
        shard_clips(tmp_path / name, tmp_path / f"{name}-shards")
    felt, plain = (str(tmp_path / f"{name}-shards/train") for name in "wp")
    said = r"2 of 2 training clips have no emotion, which the teacher is given, .*; shard .*--emotion-classifier"
    with pytest.raises(RecipeError, match=said):
        prepared(recipe(tmp_path / "a", data={"train_shards": plain, "test_shards": felt}))
    with pytest.raises(RecipeError, match=r"data.test_shards: .*: 2 of 2 clips have no emotion, which"):
        prepared(recipe(tmp_path / "b", data={"train_shards": felt, "test_shards": plain}))
    data = prepared(recipe(tmp_path / "c", data={"train_shards": felt, "test_shards": felt}))
    assert data.train.facts.has_emotion.all()
    assert all(held.emotion is not None for held in data.test)


def test_the_bench_gives_each_clip_its_own_emotion(tmp_path: Path, seen: list[ClipInputs]) -> None:
    asked = recipe(tmp_path)
    data, pipeline = prepared(asked), made(FELT)
    clips = [bench_clip(clip, pipeline.vae, 0.4) for clip in data.test]
    make = generator(pipeline, setting_of(asked, 2, (1.5, 2.0)))
    for clip in clips:
        make(clip, 0)
        assert torch.equal(seen[-1].emotion[0], clip.emotion)  # type: ignore[index,arg-type]
    assert clips[0].measured_hash() != replace(clips[0], emotion=emotion_of({"disgust": 0.5})).measured_hash()


PHASE = {"name": "balanced", "guidance": "sync", "steps": 2, "batch": 2, "lr": 1e-3, "solver": {"steps": 2}}


def test_its_students_learn_with_both(tmp_path: Path, seen: list[ClipInputs]) -> None:
    engine = {"precision": "fp32", "warmup": 1, "checkpoint_every": 2, "preview_every": 1, "log_every": 1}
    asked = recipe(tmp_path, distill={"phases": [PHASE]}, engine=engine)
    assert jobs.dry_run(asked).costs[0].name == "balanced"
    jobs.distill(asked, Console(file=io.StringIO()))
    trained = [inputs for inputs in seen if len(inputs.reference) == 2]
    assert len(trained) == 2
    for inputs in seen:
        assert inputs.emotion is not None
        assert inputs.motion_audio is not None
        assert inputs.motion_audio.shape == (len(inputs.reference), 2, *inputs.audio.shape[2:])


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    from PIL import Image

    from fada.media.audio import write_wav

    Image.fromarray(PORTRAIT).save(tmp_path / "me.png")
    write_wav(tmp_path / "speech.wav", SOUND)
    return ["--image", str(tmp_path / "me.png"), "--audio", str(tmp_path / "speech.wav"), "--out"]


def test_the_command_line_asks_for_it_by_name(
    tmp_path: Path, files: list[str], seen: list[ClipInputs], capsys: pytest.CaptureFixture[str]
) -> None:
    made(FELT).save_pretrained(tmp_path / "felt")
    made(TOY).save_pretrained(tmp_path / "toy")
    call = ["generate", "--model", str(tmp_path / "felt"), *files, str(tmp_path / "me.mp4")]
    assert main([*call, "--emotion", "happy=0.5", "--emotion", "surprise=0.25"]) == 0
    assert seen[0].emotion is not None
    assert seen[0].emotion[0].tolist() == emotion_of({"happy": 0.5, "surprise": 0.25}).tolist()
    for given, said in (
        (["happy"], "--emotion: not of the form NAME=SHARE, as in happy=0.8; got 'happy'"),
        (["happy=much"], "--emotion happy: must be a number, got 'much'"),
        (["joy=1"], "--emotion: no emotion named 'joy'"),
        (["sad=0.7", "sad=0.1"], "--emotion sad: is given twice"),
        (["sad=0.7", "fear=0.7"], "--emotion: shares must be 1 together at most"),
    ):
        options = [part for each in given for part in ("--emotion", each)]
        assert main([*call[:-1], str(tmp_path / "other.mp4"), *options]) != 0
        assert said in " ".join(capsys.readouterr().err.replace("│", " ").split())
    plain = ["generate", "--model", str(tmp_path / "toy"), *files, str(tmp_path / "other.mp4")]
    assert main([*plain, "--emotion", "sad=1"]) != 0
    assert "--emotion: this model is given none" in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert not (tmp_path / "other.mp4").exists()


def test_pipelines_say_whether_they_are_given_one() -> None:
    assert PIPELINES["FeltPipeline"].needs_emotion
    assert not PIPELINES["ToyPipeline"].needs_emotion
