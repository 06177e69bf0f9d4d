"""Clips to shards: which of them, with what labels and features."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from fada.build.shards import MASK_BLUR, labelled, shard_clips
from fada.data.audio_features import LogMelEncoder
from fada.data.clip import Clip, ClipError, write_clip
from fada.data.prepare import draw_masks
from fada.data.shard_format import PARTS
from fada.data.shards import Sample, ShardError, read_shards
from fada.teacher.vae import encode_frames, new_vae

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


@pytest.mark.parametrize("said", [{"set": "C", "failed_strict": []}, {"set": "A"}, "A"])
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
    assert index.parts == {**dict.fromkeys(PARTS, 1), "face": 0}
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
