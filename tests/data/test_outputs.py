"""What the data verbs write, and what they leave alone."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fada.data.clips.clip import Clip, ClipError, check_key, list_clips, read_record, write_clip, write_record
from fada.data.lists import ListError, cut_list, read_identities, read_list
from fada.data.prepare import prepare_videos
from fada.data.prepare.records import Records, was_prepared
from fada.data.sampling.splits import split_clips
from fada.data.shards.reading import ShardError
from fada.data.world import make_world
from fada.files.errors import FolderBusy, FolderFault
from fada.files.folders import MARK, kind_of
from fada.files.outputs import output_folder
from fada.packing.shards import shard_clips


def snapshot(folder: Path) -> dict[str, bytes]:
    """Everything in a folder, by path."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def put_clip(folder: Path, key: str = "a", **meta: Any) -> None:
    write_clip(folder, Clip(key, np.zeros((2, 16, 16, 3), np.uint8), np.zeros(1280, np.float32), meta=meta))


@pytest.fixture
def footage(tmp_path: Path) -> Path:
    """A folder of somebody's videos, one of which has the name of a clip of the list beside it."""
    folder = tmp_path / "raw"
    folder.mkdir()
    for name in ("M2.mp4", "M2_1.mp4"):
        (folder / name).write_bytes(b"precious")
    entry = {"ytb_id": "M2", "duration": {"start_sec": 0.0, "end_sec": 0.2},
             "bbox": {"top": 0.0, "bottom": 1.0, "left": 0.0, "right": 1.0}}  # fmt: skip
    (tmp_path / "list.json").write_text(json.dumps({"clips": {"M2_1": entry}}))
    return folder


@pytest.mark.parametrize("out", ["raw", "raw/cuts", "."])
def test_nothing_is_cut_or_prepared_where_the_sources_lie(footage: Path, tmp_path: Path, out: str) -> None:
    before = snapshot(tmp_path)
    with pytest.raises(FolderFault, match=r"(is|lies in|holds) the input"):
        cut_list(read_list(tmp_path / "list.json"), footage, tmp_path / out)
    (tmp_path / "model").write_bytes(b"")
    before["model"] = b""
    with pytest.raises(FolderFault, match=r"(is|lies in|holds) the input"):
        prepare_videos([footage], tmp_path / out, face_landmarker_path=tmp_path / "model")
    assert snapshot(tmp_path) == before


def test_a_file_in_the_way_of_a_cut_is_set_aside(footage: Path, tmp_path: Path) -> None:
    out = tmp_path / "cuts"
    cut_list(read_list(tmp_path / "list.json"), footage, out)
    assert kind_of(out) == "cuts"
    (out / "M2_1.mp4").write_bytes(b"mine")
    report = cut_list(read_list(tmp_path / "list.json"), footage, out)
    assert "M2_1" in report.failed
    assert (out / "M2_1.mp4.aside-1").read_bytes() == b"mine"


def test_no_world_is_drawn_over_footage_or_prepared_clips(footage: Path, tmp_path: Path) -> None:
    with pytest.raises(FolderFault, match=r"holds files that fada did not make \(M2.mp4, M2_1.mp4\)"):
        make_world(footage, 1, size=32, frames=2)
    with output_folder(tmp_path / "clips", "clips", "preparing"):
        put_clip(tmp_path / "clips")
    with pytest.raises(FolderFault, match="holds clips of an earlier command, not world"):
        make_world(tmp_path / "clips", 1, size=32, frames=2)


def test_a_world_of_an_earlier_version_goes_on_and_its_damaged_clips_are_drawn_again(tmp_path: Path) -> None:
    make_world(tmp_path, 2, size=32, frames=2, flawed_share=0.0)
    before = snapshot(tmp_path)
    (tmp_path / MARK).unlink()
    first, second = list_clips(tmp_path)
    (tmp_path / f"{first}.json").write_text("")
    (tmp_path / f"{second}.wav").write_bytes(b"")
    assert make_world(tmp_path, 2, size=32, frames=2, flawed_share=0.0).made == 2
    assert snapshot(tmp_path) == before


def test_damaged_settings_of_a_world_are_written_again_where_its_clips_fit(tmp_path: Path) -> None:
    make_world(tmp_path, 1, size=32, frames=2, flawed_share=0.0)
    before = (tmp_path / "world.json").read_bytes()
    for damaged in (b"", b"[]", b"\xff", b"[" * 100_000):
        (tmp_path / "world.json").write_bytes(damaged)
        assert make_world(tmp_path, 1, size=32, frames=2, flawed_share=0.0).kept == 1
        assert (tmp_path / "world.json").read_bytes() == before
    (tmp_path / "world.json").write_bytes(b"")
    with pytest.raises(ValueError, match=r"world.json: cannot be read, and clips there are of another world"):
        make_world(tmp_path, 1, seed=5, size=32, frames=2, flawed_share=0.0)


def test_shards_do_not_lie_among_their_clips_and_replace_nothing_unasked(tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    put_clip(clips, "a")
    put_clip(clips, "b", split="test")
    for out in (clips, tmp_path):
        with pytest.raises(FolderFault, match="input"):
            shard_clips(clips, out)
    shard_clips(clips, tmp_path / "shards")
    assert kind_of(tmp_path / "shards") == "shards"
    before = snapshot(tmp_path)
    with pytest.raises(ShardError, match="train: holds a set of 1 clips; give another folder, or --overwrite"):
        shard_clips(clips, tmp_path / "shards")
    assert snapshot(tmp_path) == before
    (tmp_path / "shards" / MARK).unlink()
    (tmp_path / "shards" / ".fada.lock").unlink()
    shard_clips(clips, tmp_path / "shards", overwrite=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(FolderFault, match=r"did not make \(notes.txt\)"):
        shard_clips(clips, tmp_path / "other")


def test_two_commands_in_one_folder_are_told_of_each_other(tmp_path: Path) -> None:
    put_clip(tmp_path / "clips", "a", identity="Ann")
    child = os.fork()
    if child == 0:  # holds the folder until it is killed
        with output_folder(tmp_path / "held", "shards", "writing shards"):
            (tmp_path / "ready").touch()
            os.read(os.pipe()[0], 1)
    try:
        while not (tmp_path / "ready").exists():
            pass
        with pytest.raises(FolderBusy, match=rf"held: is in use \(process {child} on .*, writing shards"):
            shard_clips(tmp_path / "clips", tmp_path / "held")
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
    shard_clips(tmp_path / "clips", tmp_path / "held")


@pytest.mark.parametrize("split", ["../../up", "", ".", "a/b", "/x", "a b", 3, None, ["a"]])
def test_a_split_names_a_folder_and_is_a_plain_word(tmp_path: Path, split: object) -> None:
    put_clip(tmp_path / "clips", "a", identity="Ann", split=split)
    before = snapshot(tmp_path)
    with pytest.raises(ClipError, match=r"a.json: meta.split: .* cannot name a file or folder.*make the clip again"):
        shard_clips(tmp_path / "clips", tmp_path / "out")
    with pytest.raises(ClipError, match=r"meta.split"):
        split_clips(tmp_path / "clips", 0.5)
    assert {name: data for name, data in snapshot(tmp_path).items() if ".fada" not in name} == before


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"key": "b"}, "key is 'b', not the name of its file"),
        ({"frames": "2"}, "frames is '2', expected a whole number"),
        ({"frames": True}, "frames is 'True', expected"),
        ({"frames": 0}, "frames is '0', expected"),
        ({"sample_rate": 10**9}, "sample_rate is '1000000000', expected"),
        ({"fps": 0}, "fps is '0', expected a number above 0"),
        ({"fps": float("nan")}, "fps is 'None', expected a number above 0"),
        ({"meta": []}, "meta is '.*', expected a mapping"),
        ({"meta": {"quality": "../A"}}, "meta.quality: '../A' cannot name"),
        ({"meta": {"identity": "\x1b[2J"}}, "meta.identity is .*, expected a printable name"),
        ({"meta": {"flaws": "all"}}, "meta.flaws is 'all', expected a list of words"),
        ({"meta": json.loads("[" * 40 + "]" * 40)}, "nested more than 32 deep"),
    ],
)
def test_a_record_is_what_it_stands_for_or_an_error(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    record = {"key": "a", "frames": 2, "fps": 25.0, "sample_rate": 16000, "meta": {}} | changed
    (tmp_path / "a.json").write_text(json.dumps(record))
    with pytest.raises(ClipError, match=rf"a.json: .*{message}.*; make the clip again"):
        read_record(tmp_path / "a.json")


def test_a_record_holds_null_for_what_json_does_not_know(tmp_path: Path) -> None:
    record = {"key": "a", "frames": 2, "fps": 25.0, "sample_rate": 16000, "meta": {"x": [float("nan"), 1.5]}}
    write_record(tmp_path / "a.json", record)
    assert read_record(tmp_path / "a.json")["meta"] == {"x": [None, 1.5]}


@pytest.mark.parametrize("key", ["", ".", "a.b", "../a", "a/b", "a\0", "x" * 201, "é", 3, None])
def test_a_key_that_cannot_name_files_is_refused_shortly(key: object) -> None:
    with pytest.raises(ClipError, match="use 1 to 200 of the characters") as caught:
        check_key(key)
    assert len(str(caught.value)) < 200


def test_a_videos_id_that_begins_with_a_dash_is_a_key() -> None:
    assert check_key("-aBcDeFgHiJ_1") == "-aBcDeFgHiJ_1"


def test_only_what_prepare_writes_is_removed_with_a_source(tmp_path: Path) -> None:
    sha256 = "ab" * 32
    with output_folder(tmp_path, "clips", "preparing"):
        pass
    own = [f"talk-abababab-000{suffix}" for suffix in (".mp4", ".wav", ".json", ".landmarks.safetensors")]
    mine = ["talk-abababab-000.notes.txt", "talk-abababab-000.mp4.bak", "talk-abababab.mp4"]
    for name in (*own, *mine):
        (tmp_path / name).write_text("x")
    assert Records(tmp_path).finished(sha256, "talk", ["f"]) is None
    assert {file.name for file in tmp_path.iterdir() if not file.name.startswith(".")} == set(mine)


@pytest.mark.parametrize("damaged", [b"", b"[]", b"\xff", b"[" * 100_000, b'{"clips": 3}'])
def test_a_damaged_note_of_a_source_is_no_crash(tmp_path: Path, damaged: bytes) -> None:
    records = Records(tmp_path)
    note = tmp_path / ".prepare" / f"{'ab' * 32}.json"
    note.write_bytes(damaged)
    assert was_prepared(tmp_path)
    assert records.finished("ab" * 32, "talk", ["f"]) is None


@pytest.mark.parametrize("text", ["[" * 100_000, "\ufeff[]", '{"a": 3}', '{"a.mp4": "\\u001b[2J"}', '{"a": ""}'])
def test_identities_are_names(tmp_path: Path, text: str) -> None:
    (tmp_path / "i.json").write_text(text)
    with pytest.raises(ListError, match=r"i.json: "):
        read_identities(tmp_path / "i.json")
