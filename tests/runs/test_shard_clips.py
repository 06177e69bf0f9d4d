"""Clips to shards: which of them, with what labels and features."""

import json
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from fada.data.audio.features import LogMelEncoder
from fada.data.clips.clip import Clip, ClipError, read_clip, read_record, write_clip
from fada.data.prepare import draw_masks
from fada.data.scores.decisions import hash_clip
from fada.data.scores.table import write_scores
from fada.data.shards.format import PARTS
from fada.data.shards.reading import Sample, ShardError, read_index, read_shards
from fada.packing import pack_clips as pack_clips_module
from fada.packing import shards
from fada.packing.pack_clips import NOTES, labelled
from fada.packing.shards import shard_clips
from fada.packing.shards_in_making import ShardProgress
from fada.packing.tools import load_tools
from fada.packing.with_masks import MASK_BLUR
from fada.teacher.vae import encode_frames, new_vae
from tests.runs.mortal_encoders import load_mortal

FRAMES = 5


def put_clip(folder: Path, key: str, decision: Any = None, **meta: Any) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (FRAMES, 32, 32, 3), dtype=np.uint8)
    said = {"quality": "A", "flaws": ["padded"], "split": "train", **meta}
    sound = np.sin(np.arange(FRAMES * 640, dtype=np.float32))
    write_clip(folder, Clip(key, frames, sound, meta=said if decision is None else {**said, "filter": decision}))


def put_landmarks(folder: Path, key: str, frames: int = FRAMES) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    arrays = {
        "landmarks": rng.uniform(0.3, 0.7, (frames, 478, 2)).astype(np.float16),
        "blendshapes": rng.uniform(size=(frames, 52)).astype(np.float16),
        "lip_opening": rng.uniform(size=frames).astype(np.float32),
        "face_box": rng.uniform(size=(frames, 4)).astype(np.float32),
    }
    save_file(arrays, folder / f"{key}.landmarks.safetensors")
    return arrays


def decision(of: str | None, *failed: str) -> dict[str, Any]:
    return {"set": of, "failed_strict": list(failed), "failed_lenient": [] if of else list(failed)}


@pytest.fixture
def filtered(tmp_path: Path) -> Path:
    """Four clips: in set A, in set B, in none, and never filtered."""
    folder = tmp_path / "clips"
    put_clip(folder, "a", decision("A"), quality="B")
    put_clip(folder, "b", decision("B", "sync"))
    put_clip(folder, "none", decision(None, "sync", "blur"))
    put_clip(folder, "old", quality="B")
    return folder


def read(folder: Path) -> dict[str, Sample]:
    return {sample.key: sample for sample in read_shards(folder)}


def test_a_decision_gives_quality_and_flaws_and_without_one_they_stay(filtered: Path, tmp_path: Path) -> None:
    made = shard_clips(filtered, tmp_path / "out")
    labels = {key: (each.meta["quality"], each.meta["flaws"]) for key, each in read(tmp_path / "out/train").items()}
    assert labels == {"a": ("A", []), "b": ("B", ["sync"]), "old": ("B", ["padded"])}
    assert made.left_out == {"train": 1}


def test_clips_of_no_set_are_packed_only_where_all_are_asked_for(filtered: Path, tmp_path: Path) -> None:
    made = shard_clips(filtered, tmp_path / "out", takes_all=True)
    assert made.left_out == {}
    rejected = read(tmp_path / "out/train")["none"].meta
    assert (rejected["quality"], rejected["flaws"]) == ("rejected", ["sync", "blur"])


def test_the_command_says_how_many_clips_it_left_out(filtered: Path, tmp_path: Path, capfd) -> None:
    from fada.cli.app import run

    assert run(["data", "shard", str(filtered), "--out", str(tmp_path / "out")]) == 0
    assert capfd.readouterr().out.splitlines() == [
        f"{tmp_path}/out/train: 3 clips in 1 shards",
        "train: 1 clips left out, the filter put them into no set; --all takes them too",
    ]
    assert run(["data", "shard", str(filtered), "--out", str(tmp_path / "out"), "--all", "--overwrite"]) == 0
    assert capfd.readouterr().out == f"{tmp_path}/out/train: 4 clips in 1 shards\n"


def test_the_command_says_where_shards_of_an_earlier_call_stay(tmp_path: Path, capfd) -> None:
    from fada.cli.app import run

    for key, split in (("a", "train"), ("b", "test")):
        put_clip(tmp_path / "clips", key, split=split)
    command = ["data", "shard", str(tmp_path / "clips"), "--out", str(tmp_path / "out")]
    assert run(command) == 0
    put_clip(tmp_path / "clips", "b", decision(None, "sync"), split="test")
    assert run([*command, "--overwrite"]) == 0
    last = capfd.readouterr().out.splitlines()[-1]
    assert last == f"{tmp_path}/out/test: nothing was left to write; what lies there is from an earlier call"


def test_a_folder_without_clips_to_pack_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ShardError, match="empty: no clips here"):
        shard_clips(tmp_path / "empty", tmp_path / "out")
    put_clip(tmp_path / "bad", "none", decision(None, "sync"))
    with pytest.raises(ShardError, match="the filter put all clips into no set; take them with --all"):
        shard_clips(tmp_path / "bad", tmp_path / "out")


@pytest.mark.parametrize(
    "said",
    [{"set": "C", "failed_strict": []}, {"set": "A"}, "A", {"set": "A", "failed_strict": [None]},
     {"set": "A", "failed_strict": "blur"}, {"set": "A", "failed_strict": ["a\nb"]}],
)  # fmt: skip
def test_what_is_no_decision_is_refused(said: Any) -> None:
    with pytest.raises(
        ClipError, match=r"clips/k\.json: filter: expected a set \(A, B or null\).*run fada data filter"
    ):
        labelled({"filter": said}, Path("clips"), "k")


def test_features_landmarks_and_masks_are_stored_beside_frames_and_sound(tmp_path: Path) -> None:
    put_clip(tmp_path / "clips", "k")
    arrays = put_landmarks(tmp_path / "clips", "k")
    torch.manual_seed(0)
    vae, encoder = new_vae((8, 16), 4).eval(), LogMelEncoder(8)
    index = shard_clips(tmp_path / "clips", tmp_path / "out", vae, encoder).indices["train"]
    sample = read(tmp_path / "out/train")["k"]
    assert index.parts == {**dict.fromkeys(PARTS, 1), "face": 0, "emotion": 0}
    assert sample.frames is not None
    assert sample.audio is not None
    assert sample.audio_states is not None
    assert sample.latents is not None
    assert sample.landmarks is not None
    assert sample.masks is not None
    torch.testing.assert_close(sample.latents, encode_frames(vae, sample.frames).half(), rtol=0, atol=0)
    states = encoder(torch.from_numpy(sample.audio)[None], FRAMES)[0]
    torch.testing.assert_close(sample.audio_states, states.bfloat16(), rtol=0, atol=0)
    for name, values in arrays.items():
        torch.testing.assert_close(sample.landmarks[name], torch.from_numpy(values), rtol=0, atol=0)
    for kind in ("lip", "face"):
        drawn = draw_masks(arrays["landmarks"].astype(np.float32), 16, kind, blur=MASK_BLUR)  # type: ignore[arg-type]
        assert sample.masks[kind].dtype == torch.uint8
        np.testing.assert_allclose(sample.masks[kind].numpy() / 255, drawn, atol=0.5 / 255 + 1e-6)
    assert json.loads((tmp_path / "out/train/index.json").read_text())["features"]["masks"] == (
        "lip x 2, face x 1.2, blur 0.02"
    )


def test_without_encoders_there_are_landmarks_but_no_features(tmp_path: Path) -> None:
    put_clip(tmp_path / "clips", "k")
    put_clip(tmp_path / "clips", "drawn")
    put_landmarks(tmp_path / "clips", "k")
    index = shard_clips(tmp_path / "clips", tmp_path / "out").indices["train"]
    assert index.parts == {**dict.fromkeys(PARTS, 0), "frames": 2, "audio": 2, "landmarks": 1, "keypoints": 1}
    assert index.features == {}


def test_landmarks_of_another_length_are_refused(tmp_path: Path) -> None:
    put_clip(tmp_path / "clips", "k")
    put_landmarks(tmp_path / "clips", "k", frames=FRAMES - 1)
    with pytest.raises(ClipError, match=r"k\.landmarks\.safetensors: 5 frames expected, got 4; prepare the clip again"):
        shard_clips(tmp_path / "clips", tmp_path / "out")


def score(folder: Path, **sets: str | None) -> None:
    """A table of scores that puts clips into sets."""
    rows = []
    for key, of in sets.items():
        record = read_record(folder / f"{key}.json")
        said = dict.fromkeys(("identity", "split", "source"), "")
        said["clip"] = hash_clip(folder, record)
        rows.append({"key": key, **said, **decision(of, *([] if of == "A" else ["blur"]))})
    write_scores(folder, rows)


def test_the_table_of_scores_decides_and_the_records_stay_as_they_are(tmp_path: Path, caplog) -> None:
    folder = tmp_path / "clips"
    for key in ("a", "b", "none", "unscored", "changed"):
        put_clip(folder, key)
    put_clip(folder, "old", decision("B", "sync"))
    score(folder, a="A", b="B", none=None, changed="B", old="A")
    put_clip(folder, "changed", since=True)
    before = {file.name: file.read_bytes() for file in folder.glob("*.json")}
    made = shard_clips(folder, tmp_path / "out")
    samples = read(tmp_path / "out/train")
    labels = {key: (each.meta["quality"], each.meta["flaws"]) for key, each in samples.items()}
    assert labels == {
        "a": ("A", []),
        "b": ("B", ["blur"]),
        "changed": ("A", ["padded"]),
        "old": ("A", []),
        "unscored": ("A", ["padded"]),
    }
    assert samples["b"].meta["filter"] == decision("B", "blur")
    assert made.left_out == {"train": 1}
    assert {file.name: file.read_bytes() for file in folder.glob("*.json")} == before
    (said,) = caplog.messages
    assert said.startswith(f"{folder}: 1 clips are others than those that were scored, changed among them")


@pytest.fixture
def seven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Seven clips, five to train on, which make shards of two; and the encoders `vae` and `audio`."""
    monkeypatch.setattr(shards, "SAMPLES_PER_SHARD", 2)
    for number in range(7):
        put_clip(tmp_path / "clips", f"k{number}", split="train" if number < 5 else "test")
    put_landmarks(tmp_path / "clips", "k0")
    torch.manual_seed(0)
    new_vae((8, 16), 4).save_pretrained(str(tmp_path / "vae"))
    LogMelEncoder(8).save_pretrained(tmp_path / "audio")
    return tmp_path


def files(folder: Path, notes: str = NOTES) -> dict[str, bytes]:
    """Every file of the sets in a folder, but for marks, locks and records."""
    found = (file for file in folder.rglob("*") if file.is_file() and not file.name.startswith(".fada"))
    return {str(file.relative_to(folder)): file.read_bytes() for file in found if notes not in file.parts}


def test_what_is_done_is_not_done_again(seven: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = partial(load_tools, seven / "vae", seven / "audio", None)
    shard_clips(seven / "clips", seven / "whole", load=load)
    plain, done = pack_clips_module.read_clip, []

    def stop_at(folder: Path, key: str) -> Clip:
        if key == "k4":
            raise KeyboardInterrupt
        done.append(key)
        return plain(folder, key)

    with monkeypatch.context() as patch:
        patch.setattr(pack_clips_module, "read_clip", stop_at)
        with pytest.raises(KeyboardInterrupt):
            shard_clips(seven / "clips", seven / "out", load=load)
    assert done == ["k5", "k6", "k0", "k1", "k2", "k3"]
    with pytest.raises(ShardError, match="missing"):
        read_index(seven / "out/train")
    done.clear()
    monkeypatch.setattr(pack_clips_module, "read_clip", lambda folder, key: done.append(key) or plain(folder, key))
    told: list[ShardProgress] = []
    made = shard_clips(seven / "clips", seven / "out", load=load, on_progress=told.append)
    assert done == ["k4"]
    assert [(each.done, each.total, each.resumed) for each in told] == [(6, 7, 6), (7, 7, 6)]
    assert made.resumed == {"test": 1, "train": 2}
    assert files(seven / "out") == files(seven / "whole")


def test_shards_of_a_broken_off_call_that_follow_from_something_else_are_named(seven: Path) -> None:
    shard_clips(seven / "clips", seven / "out")
    (seven / "out/train/index.json").unlink()
    with pytest.raises(ShardError, match=r"shard-0\S+ was made of something else: the audio encoder was none, now it"):
        shard_clips(seven / "clips", seven / "out", load=partial(load_tools, seven / "vae", seven / "audio", None))
    put_clip(seven / "clips", "k3", split="train", other=True)
    with pytest.raises(ShardError, match=r"shard-000001-\S+ .*: the hash of its clips was \w{64}, now it is \w{64}"):
        shard_clips(seven / "clips", seven / "out")
    shard_clips(seven / "clips", seven / "out", overwrite=True)
    shard_clips(seven / "clips", seven / "fresh")
    assert files(seven / "out") == files(seven / "fresh")


def test_a_worker_that_is_killed_is_named_and_costs_nothing(seven: Path, caplog) -> None:
    mortal = partial(load_mortal, seven / "vae", seven / "died", os.getpid())
    shard_clips(seven / "clips", seven / "out", load=mortal, workers=1)
    assert (seven / "died").exists()
    shard_clips(seven / "clips", seven / "whole", load=partial(load_tools, seven / "vae", seven / "audio", None))
    assert files(seven / "out") == files(seven / "whole")
    # The one that has landmarks.
    assert read_index(seven / "out/train").parts["keypoints"] == 1
    assert caplog.messages == [f"{seven / 'clips'}: clips k5 to k6: its worker died (exit code -9); it is tried again"]


def test_a_clip_that_cannot_be_read_stops_its_shard_alone(seven: Path) -> None:
    whole = (seven / "clips/k2.mp4").read_bytes()
    (seven / "clips/k2.mp4").write_bytes(b"no video")
    wanted = (
        r"1 of 3 shards were not written: .*clips/k2: .*The other 2 are kept; mend these clips or remove them, and give"
    )
    with pytest.raises(ClipError, match=wanted):
        shard_clips(seven / "clips", seven / "out")
    assert sorted(file.name[:12] for file in (seven / "out/train").glob("*.tar")) == ["shard-000000", "shard-000002"]
    assert read_index(seven / "out/test").samples == 2
    (seven / "clips/k2.mp4").write_bytes(whole)
    # Another time stamp: the shard that was not written is not there, so nothing says that it was made of another clip.
    made = shard_clips(seven / "clips", seven / "out")
    assert made.resumed == {"test": 1, "train": 2}
    shard_clips(seven / "clips", seven / "fresh")
    assert files(seven / "out") == files(seven / "fresh")


def test_clips_that_change_while_they_are_packed_are_named(seven: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = pack_clips_module.read_clip

    def change(folder: Path, key: str) -> Clip:
        found = plain(folder, key)
        if key == "k3":
            put_clip(folder, "k3", split="train", other=True)
        return found

    monkeypatch.setattr(pack_clips_module, "read_clip", change)
    with pytest.raises(ClipError, match="clips k2 to k3: were changed while they were packed"):
        shard_clips(seven / "clips", seven / "out")


def test_frames_may_go_beside_latents_and_only_there(seven: Path, capfd) -> None:
    from fada.cli.app import run

    encoders = ["--vae", str(seven / "vae"), "--audio-encoder", str(seven / "audio")]
    command = ["data", "shard", str(seven / "clips"), "--out"]
    assert run([*command, str(seven / "small"), *encoders, "--drop-frames"]) == 0
    said = capfd.readouterr()
    assert said.out.splitlines()[-1] == f"{seven}/small/train: 5 clips in 3 shards"
    assert said.err.startswith("packing clips: 0 of 7 (0%)")
    assert run([*command, str(seven / "none"), *encoders, "--drop-media"]) == 0
    assert run([*command, str(seven / "whole"), *encoders]) == 0
    assert read_index(seven / "small/train").parts == {**read_index(seven / "whole/train").parts, "frames": 0}
    assert read_index(seven / "none/train").parts == {**read_index(seven / "small/train").parts, "audio": 0}
    for small, whole in zip(read_shards(seven / "small/train"), read_shards(seven / "whole/train"), strict=True):
        assert small.latents is not None
        assert whole.latents is not None
        assert small.audio is not None
        assert torch.equal(small.latents, whole.latents)
        np.testing.assert_array_equal(small.audio, whole.audio)
    assert run([*command, str(seven / "bad"), "--drop-frames"]) == 2
    assert "clips without latents keep frames and sound" in " ".join(capfd.readouterr().err.replace("│", "").split())


def test_a_clip_that_cannot_be_encoded_stops_its_shard_alone(seven: Path) -> None:
    clip = read_clip(seven / "clips", "k2")
    write_clip(seven / "clips", replace(clip, fps=30.0))
    load = partial(load_tools, seven / "vae", seven / "audio", None)
    with pytest.raises(ClipError, match=r"1 of 3 shards were not written: .*clips: k2: has 30 frames per second"):
        shard_clips(seven / "clips", seven / "out", load=load)
    assert sorted(file.name[:12] for file in (seven / "out/train").glob("*.tar")) == ["shard-000000", "shard-000002"]
