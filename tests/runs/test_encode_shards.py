"""`fada data encode`: the bytes of `fada data shard` with encoders, however often it was broken off and by whomever."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fada.data.audio.features import LogMelEncoder
from fada.data.shards.location import Location
from fada.data.shards.reading import Sample, ShardError, read_index, read_shards, write_shards
from fada.data.workers.crew import Lost
from fada.files.errors import FolderFault
from fada.packing import encode_shard, shard_workers, shards, tools
from fada.packing.encode import encode_shards
from fada.packing.encode_shard import NOTES
from fada.packing.shard_records import read_records
from fada.packing.shards_in_making import ShardProgress
from fada.packing.tools import load_tools
from fada.run.data import encode_samples
from fada.run.stored_features import load_latents
from fada.teacher.vae import new_vae
from tests.runs.mortal_encoders import load_mortal
from tests.runs.test_shard_clips import put_clip, put_landmarks

HIDDEN = (".fada.json", ".fada.lock", NOTES, ".shard")


class FirstPixels:
    """Stands for an embedder of faces."""

    fingerprint = "first pixels"

    def embed(self, frame: np.ndarray, landmarks: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(frame[0, :4].astype(np.float32).ravel())


class LastPixels:
    """Another one."""

    fingerprint = "last pixels"

    def embed(self, frame: np.ndarray, landmarks: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(frame[-1, -4:].astype(np.float32).ravel())


class AllOf(torch.nn.Module):
    """Stands for a classifier of speech: hears one emotion in everything."""

    def __init__(self, emotion: int) -> None:
        super().__init__()
        self.emotion = emotion

    def fingerprint(self) -> str:
        return f"all of {self.emotion}"

    def label(self, audio: np.ndarray) -> torch.Tensor:
        return torch.eye(7)[self.emotion]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six clips as shards of two, `plain` and with features (`direct`); the encoders' folders `vae` and `audio`."""
    folder = tmp_path_factory.mktemp("encode")
    for number in range(6):
        put_clip(folder / "clips", f"k{number}", split="test" if number == 5 else "train", number=number)
        put_landmarks(folder / "clips", f"k{number}")
    (folder / "clips" / "k1.landmarks.safetensors").unlink()
    torch.manual_seed(0)
    new_vae((8, 16), 4).save_pretrained(str(folder / "vae"))
    LogMelEncoder(8).save_pretrained(folder / "audio")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "SAMPLES_PER_SHARD", 2)
        shards.shard_clips(folder / "clips", folder / "plain")
        load = partial(load_tools, folder / "vae", folder / "audio")
        shards.shard_clips(folder / "clips", folder / "direct", load=load)
    return folder


@pytest.fixture
def load(made: Path) -> Callable[[], Any]:
    return partial(load_tools, made / "vae", made / "audio")


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Fills with the keys of clips as they are encoded."""
    keys: list[str] = []
    plain = tools.encode_samples

    def note(samples: list[Sample], *rest: Any) -> Iterator[Sample]:
        keys.append(samples[0].key)
        return plain(samples, *rest)

    monkeypatch.setattr(tools, "encode_samples", note)
    return keys


def files(folder: Path) -> dict[str, bytes]:
    """Every file of the sets in a folder, but for marks, locks and records."""
    found = (file for file in folder.rglob("*") if file.is_file())
    named = ((file.relative_to(folder), file) for file in found)
    return {str(name): file.read_bytes() for name, file in named if not {*name.parts} & {*HIDDEN}}


def stop_at(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on encoding a clip ends as Ctrl-C ends it."""

    def stopped(samples: list[Sample], *_: Any) -> Iterator[Sample]:
        if samples[0].key == key:
            raise KeyboardInterrupt
        return plain(samples, *_)

    plain = tools.encode_samples
    monkeypatch.setattr(tools, "encode_samples", stopped)


def test_the_bytes_are_those_that_shard_writes_with_the_same_encoders(made: Path, tmp_path: Path, load) -> None:
    told: list[ShardProgress] = []
    result = encode_shards(str(made / "plain"), str(tmp_path / "out"), load, on_progress=told.append)
    assert files(tmp_path / "out") == files(made / "direct")
    assert [index.samples for index in result.indices.values()] == [1, 5]
    assert [(each.done, each.total, each.resumed) for each in told] == [(n, 6, 0) for n in (0, 1, 3, 5, 6)]
    assert len(load_latents(tmp_path / "out/train")) == 5


def test_a_worker_that_is_killed_is_named_and_its_shard_tried_again(made: Path, tmp_path: Path, caplog) -> None:
    mortal = partial(load_mortal, made / "vae", tmp_path / "died", os.getpid())
    encode_shards(str(made / "plain/test"), str(tmp_path / "out"), mortal, workers=2)
    assert (tmp_path / "died").exists()
    assert files(tmp_path / "out") == files(made / "direct/test")
    (shard,) = (made / "plain/test").glob("*.tar")
    assert caplog.messages == [f"{shard}: its worker died (exit code -9); it is tried again"]


@pytest.mark.slow
def test_two_workers_one_of_which_is_killed_write_the_same_bytes(made: Path, tmp_path: Path) -> None:
    mortal = partial(load_mortal, made / "vae", tmp_path / "died", os.getpid())
    encode_shards(str(made / "plain"), str(tmp_path / "out"), mortal, workers=2)
    assert (tmp_path / "died").exists()
    assert files(tmp_path / "out") == files(made / "direct")


def test_in_which_order_shards_are_finished_makes_no_difference(made: Path, tmp_path: Path, load, monkeypatch) -> None:
    def backwards(tasks: list[Any], crew: Any, on_death: Any) -> Iterator[tuple[Any, Any]]:
        assert crew.size == 3
        return ((task, encode_shard.encode_shard(task, load())) for task in reversed(tasks))

    monkeypatch.setattr(shard_workers, "run_crew", backwards)
    encode_shards(str(made / "plain"), str(tmp_path / "out"), load, workers=3)
    assert files(tmp_path / "out") == files(made / "direct")


def test_what_is_done_is_not_done_again(made: Path, tmp_path: Path, load, encoded, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        stop_at("k4", patch)
        with pytest.raises(KeyboardInterrupt):
            encode_shards(str(made / "plain"), str(tmp_path / "out"), load)
    assert encoded == ["k5", "k0", "k1", "k2", "k3"]
    # What a killed process leaves beside it.
    for place in (tmp_path / "out/train", tmp_path / "out/train" / NOTES):
        assert not list(place.glob(".fada-*"))
        (place / ".fada-0123456789abcdef.partial").mkdir()
    with pytest.raises(ShardError, match="missing"):
        read_index(tmp_path / "out/train")
    encoded.clear()
    told: list[ShardProgress] = []
    result = encode_shards(str(made / "plain"), str(tmp_path / "out"), load, on_progress=told.append)
    assert encoded == ["k4"]
    assert (told[0].done, told[0].resumed, told[-1].done) == (5, 5, 6)
    assert sorted(result.resumed.values()) == [1, 2]
    assert files(tmp_path / "out") == files(made / "direct")
    encode_shards(str(made / "plain"), str(tmp_path / "out"), load)
    assert encoded == ["k4"]
    assert files(tmp_path / "out") == files(made / "direct")


def test_a_finished_shard_that_was_damaged_since_is_made_again(made: Path, tmp_path: Path, load, encoded) -> None:
    encode_shards(str(made / "plain/train"), str(tmp_path / "out"), load)
    first, second, third = sorted((tmp_path / "out").glob("*.tar"))
    data = bytearray(first.read_bytes())
    data[len(data) // 2] ^= 1
    first.write_bytes(data)
    second.unlink()
    # Rows are read from the tar itself where their table is gone.
    for table in (tmp_path / "out" / NOTES).glob("samples-*"):
        table.unlink()
    encoded.clear()
    encode_shards(str(made / "plain/train"), str(tmp_path / "out"), load)
    assert encoded == ["k0", "k1", "k2", "k3"]
    assert files(tmp_path / "out") == files(made / "direct/train")
    assert third.is_file()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "vae",
            r"shard-000000-.*tar was made of something else: the VAE was \w+, now it is \w+; give what it was made",
        ),
        ("audio", r"the audio encoder was \w+, now it is \w+; .* another --out, or --overwrite"),
        ("media", "frames and sound was kept, now it is dropped"),
        ("input", r"the input shard was \w{64}, now it is \w{64}"),
        ("fewer", r"was made of shard 1, and .* has only 1; give the earlier input"),
    ],
)
def test_what_was_made_of_something_else_is_refused_or_made_anew(
    made: Path, tmp_path: Path, load, change: str, message: str
) -> None:
    source, options = str(made / "plain/train"), {}
    encode_shards(source, str(tmp_path / "out"), load)
    if change == "vae":
        torch.manual_seed(1)
        new_vae((8, 16), 4).save_pretrained(str(tmp_path / "vae"))
        load = partial(load_tools, tmp_path / "vae", made / "audio")
    elif change == "audio":
        LogMelEncoder(16).save_pretrained(tmp_path / "audio")
        load = partial(load_tools, made / "vae", tmp_path / "audio")
    elif change == "media":
        options = {"keeps_media": False}
    else:
        samples = list(read_shards(source))
        changed = [replace(samples[1], key="other"), *samples[1:]] if change == "input" else samples[:2]
        write_shards(changed, tmp_path / "in", 2)
        source = str(tmp_path / "in")
    before = files(tmp_path / "out")
    with pytest.raises(ShardError, match=message):
        encode_shards(source, str(tmp_path / "out"), load, **options)
    assert files(tmp_path / "out") == before
    encode_shards(source, str(tmp_path / "out"), load, **options, overwrite=True)
    encode_shards(source, str(tmp_path / "fresh"), load, **options)
    assert files(tmp_path / "out") == files(tmp_path / "fresh")
    assert read_records(Location(tmp_path / "out") / NOTES) == read_records(Location(tmp_path / "fresh") / NOTES)


def test_a_damaged_shard_is_named_and_costs_no_other(made: Path, tmp_path: Path, load, encoded) -> None:
    source = shutil.copytree(made / "plain/train", tmp_path / "in")
    _, second, third = sorted(source.glob("*.tar"))
    whole = second.read_bytes()
    place = whole.index(b"RIFF")
    second.write_bytes(whole[:place] + b"riff" + whole[place + 4 :])
    third.unlink()
    with pytest.raises(
        ShardError,
        match=rf"2 of 3 shards were not encoded: {second}/k2\.wav: changed since it was written \(SHA-256 differs\); "
        rf"{third}: the shard is missing\. The other 1 are kept; .* give the same command",
    ):
        encode_shards(str(source), str(tmp_path / "out"), load)
    assert encoded == ["k0", "k1"]
    assert not (tmp_path / "out/index.json").exists()
    for file in (second, third):
        shutil.copy(made / "plain/train" / file.name, file)
    encode_shards(str(source), str(tmp_path / "out"), load)
    assert encoded == ["k0", "k1", "k2", "k3", "k4"]
    assert files(tmp_path / "out") == files(made / "direct/train")


def test_a_shard_that_no_worker_survives_is_named(made: Path, tmp_path: Path, load, monkeypatch) -> None:
    monkeypatch.setattr(
        shard_workers,
        "run_crew",
        lambda tasks, crew, on_death: ((each, Lost("died", 2, "exit code -9")) for each in tasks),
    )
    with pytest.raises(
        ShardError, match=r"1 of 1 .*its worker died 2 times \(exit code -9\): killed, crashed, or no m"
    ):
        encode_shards(str(made / "plain/test"), str(tmp_path / "out"), load, workers=3)


def test_a_worker_with_other_encoders_says_so(made: Path) -> None:
    with pytest.raises(ShardError, match=r"a worker has the encoders .*, the command .*same on all machines"):
        tools.with_tools(encode_shard.encode_shard, partial(load_tools, made / "vae", made / "audio"), {"vae": "0"})


def test_frames_and_sound_may_go_and_face_and_landmarks_stay(made: Path, tmp_path: Path, load) -> None:
    clips = tmp_path / "clips"
    shutil.copytree(made / "clips", clips, ignore=shutil.ignore_patterns("k1.*"))
    face: Any = FirstPixels()
    shards.shard_clips(clips, tmp_path / "plain", face_embedder=face)
    shards.shard_clips(clips, tmp_path / "direct", load=lambda: replace(load(), face_embedder=face))
    encode_shards(str(tmp_path / "plain/train"), str(tmp_path / "whole"), load)
    assert files(tmp_path / "whole") == files(tmp_path / "direct/train")
    encode_shards(str(tmp_path / "plain/train"), str(tmp_path / "small"), load, keeps_media=False)
    index = read_index(tmp_path / "small")
    assert index.parts == {**read_index(tmp_path / "whole").parts, "frames": 0, "audio": 0}
    assert index.features == read_index(tmp_path / "whole").features
    for small, whole in zip(read_shards(tmp_path / "small"), read_shards(tmp_path / "whole"), strict=True):
        assert (small.key, small.meta, small.frames, small.audio) == (whole.key, whole.meta, None, None)
        assert small.latents is not None
        assert small.face is not None
        assert whole.latents is not None
        assert whole.face is not None
        assert torch.equal(small.latents, whole.latents)
        assert torch.equal(small.face, whole.face)
    with pytest.raises(ShardError, match="small: 0 of 4 clips hold frames and 0 sound, and features are made of both"):
        encode_shards(str(tmp_path / "small"), str(tmp_path / "again"), load)


def test_faces_and_emotions_are_found_here_too_and_found_anew_by_other_networks(
    made: Path, tmp_path: Path, load
) -> None:
    clips = tmp_path / "clips"
    shutil.copytree(made / "clips", clips, ignore=shutil.ignore_patterns("k1.*", "k5.*"))
    true = {"emotion": {"label": [0.0, 0.0, 0.0, 0.75, 0.25, 0.0, 0.0]}}
    record = json.loads((clips / "k2.json").read_text())
    record["meta"]["truth"] = true
    (clips / "k2.json").write_text(json.dumps(record))
    first: Any = replace(load(), face_embedder=FirstPixels(), emotion_classifier=AllOf(2))
    other: Any = replace(load(), face_embedder=LastPixels(), emotion_classifier=AllOf(5))
    shards.shard_clips(clips, tmp_path / "plain")
    for name, tools_of in (("first", first), ("other", other)):
        shards.shard_clips(clips, tmp_path / f"direct-{name}", load=lambda tools_of=tools_of: tools_of)
    encode_shards(str(tmp_path / "plain"), str(tmp_path / "found"), lambda: first)
    assert files(tmp_path / "found") == files(tmp_path / "direct-first")
    encode_shards(str(tmp_path / "found"), str(tmp_path / "anew"), lambda: other)
    assert files(tmp_path / "anew") == files(tmp_path / "direct-other")
    found = {each.key: each for each in read_shards(tmp_path / "anew/train")}
    assert {key: each.emotion.argmax().item() for key, each in found.items()} == {"k0": 5, "k2": 3, "k3": 5, "k4": 5}
    # Without networks of their own what was found stays, and the index says by which.
    encode_shards(str(tmp_path / "found"), str(tmp_path / "passed"), load)
    assert files(tmp_path / "passed") == files(tmp_path / "direct-first")


def test_faces_need_landmarks_of_all_clips(made: Path, tmp_path: Path, load) -> None:
    face: Any = FirstPixels()
    with pytest.raises(ShardError, match=r"train: 4 of 5 clips have landmarks, and a face embedding needs them"):
        encode_shards(str(made / "plain"), str(tmp_path / "out"), lambda: replace(load(), face_embedder=face))
    assert not (tmp_path / "out").exists()


def test_what_fada_did_not_make_or_encode_is_not_touched(made: Path, tmp_path: Path, load) -> None:
    source = str(made / "plain/train")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    with pytest.raises(FolderFault, match=r"holds files that fada did not make \(notes.txt\)"):
        encode_shards(source, str(tmp_path / "mine"), load)
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked/.fada.json").write_text('{"kind": "shards"}')
    (tmp_path / "linked/train").symlink_to(tmp_path / "mine")
    with pytest.raises(FolderFault, match="linked/train: is a link"):
        encode_shards(str(made / "plain"), str(tmp_path / "linked"), load)
    assert [file.name for file in (tmp_path / "mine").iterdir()] == ["notes.txt"]
    for out in (source, f"{source}/inner", str(made)):
        with pytest.raises(ShardError, match=r"is the input .*, or one holds the other; give a folder of its own"):
            encode_shards(source, out, load)
    shards.shard_clips(made / "clips", tmp_path / "sharded")
    before = files(tmp_path / "sharded")
    with pytest.raises(ShardError, match="sharded/test: holds a set of 1 clips; give another folder, or --overwrite"):
        encode_shards(str(made / "plain"), str(tmp_path / "sharded"), load)
    assert files(tmp_path / "sharded") == before
    (tmp_path / "sharded/train/mine.tar").write_bytes(b"mine")
    encode_shards(str(made / "plain"), str(tmp_path / "sharded"), load, overwrite=True)
    assert files(tmp_path / "sharded") == {**files(made / "direct"), "train/mine.tar": b"mine"}


def test_records_that_are_none_count_for_nothing(made: Path, tmp_path: Path, load, encoded) -> None:
    encode_shards(str(made / "plain/train"), str(tmp_path / "out"), load)
    (tmp_path / "out/index.json").unlink()
    records = sorted((tmp_path / "out" / NOTES).glob("*.json"))
    said = json.loads(records[1].read_text())
    records[0].write_text("{")
    records[1].write_text(json.dumps({**said, "shard": {**said["shard"], "name": "../../x.tar"}}))
    encoded.clear()
    encode_shards(str(made / "plain/train"), str(tmp_path / "out"), load)
    assert encoded == ["k0", "k1", "k2", "k3"]
    assert files(tmp_path / "out") == files(made / "direct/train")


def test_the_command_encodes_resumes_and_refuses(made: Path, tmp_path: Path, capfd, monkeypatch) -> None:
    from fada.cli.app import run

    for name in ("COLUMNS", "TERMINAL_WIDTH"):
        monkeypatch.setenv(name, "200")

    command = ["data", "encode", str(made / "plain/train"), "--out", str(tmp_path / "out")]
    encoders = ["--vae", str(made / "vae"), "--audio-encoder", str(made / "audio")]
    assert run([*command, *encoders]) == 0
    said = capfd.readouterr()
    assert said.out == f"{tmp_path}/out: 5 clips in 3 shards\n"
    assert said.err.startswith("encoding clips: 0 of 5 (0%)")
    assert " clips/s" in said.err.splitlines()[-1]
    assert run([*command, *encoders]) == 0
    assert capfd.readouterr().out == f"{tmp_path}/out: 5 clips in 3 shards, 3 of them encoded before\n"
    assert run([*command, *encoders, "--drop-media"]) == 2
    assert "frames and sound was kept, now it is dropped" in capfd.readouterr().err
    assert run([*command, "--vae", str(tmp_path), "--audio-encoder", str(made / "audio")]) == 2
    assert "no config.json here; give a folder of a diffusers AutoencoderKL" in capfd.readouterr().err


def test_sound_is_not_heard_at_another_rate_than_the_pictures_have() -> None:
    sample = Sample("k", {}, np.zeros((6, 16, 16, 3), np.uint8), np.zeros(3200, np.float32), fps=30.0)
    torch.manual_seed(0)
    said = "k: has 30 frames per second, but the audio encoder hears at 25: .*; set clip.fps"
    with pytest.raises(ValueError, match=said):
        next(encode_samples([sample], new_vae((8, 8), 4), LogMelEncoder(8)))
    (made,) = encode_samples([replace(sample, fps=25.01)], new_vae((8, 8), 4), LogMelEncoder(8))
    assert made.audio_states is not None


def test_a_clip_of_another_frame_rate_costs_its_shard_alone(tmp_path: Path, load) -> None:
    frames, sound = np.zeros((6, 16, 16, 3), np.uint8), np.zeros(3840, np.float32)
    samples = (Sample(f"k{number}", {}, frames, sound, fps=30.0 if number == 1 else 25.0) for number in range(4))
    write_shards(samples, tmp_path / "plain", 2)
    with pytest.raises(ShardError, match=r"1 of 2 shards .*k1: has 30 frames per second.* The other 1 "):
        encode_shards(str(tmp_path / "plain"), str(tmp_path / "out"), load)
    assert [file.name[:12] for file in (tmp_path / "out").glob("*.tar")] == ["shard-000001"]
