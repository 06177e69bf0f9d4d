"""``fada data cut``, ``split`` and ``sample``, and what prepare takes from them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fada.data.clips.clip import list_clips, read_record
from fada.media.video import write_video


@pytest.fixture
def world(cli, tmp_path: Path) -> Path:
    folder = tmp_path / "world"
    arguments = ("--clips", "3", "--test-clips", "1", "--frames", "4", "--size", "32", "--workers", "1")
    assert cli("world", "make", str(folder), *arguments).code == 0
    return folder


def test_data_cut_makes_clips_and_names_what_is_missing(cli, tmp_path: Path) -> None:
    entries = {
        name: {
            "ytb_id": video,
            "duration": {"start_sec": 0.2, "end_sec": 0.6},
            "bbox": {"top": 0.0, "bottom": 1.0, "left": 0.0, "right": 0.5},
        }
        for name, video in (("seen_0", "seen"), ("gone_0", "[gone]"))
    }
    (tmp_path / "list.json").write_text(json.dumps({"clips": entries | {"bad_0": {}}}))
    write_video(tmp_path / "raw" / "seen.mp4", np.zeros((25, 32, 64, 3), np.uint8), 25.0, np.zeros(16000, np.float32))
    outcome = cli(
        "data", "cut", str(tmp_path / "list.json"), "--videos", str(tmp_path / "raw"), "--out", str(tmp_path / "cuts"),
        "--workers", "1",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert (tmp_path / "cuts" / "seen_0.mp4").is_file()
    for text in ("videos missing: 1", "[gone]", "list.json: clips.bad_0", "ytb_id is missing"):
        assert text in outcome.out


def test_data_prepare_passes_the_identities_on(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fada.data.prepare

    got: dict[str, Any] = {}
    monkeypatch.setattr(
        fada.data.prepare, "prepare_videos",
        lambda videos, out, **options: got.update(options) or SimpleNamespace(tables=lambda: []),
    )  # fmt: skip
    (tmp_path / "identities.json").write_text('{"a.mp4": "Ann"}')
    outcome = cli(
        "data", "prepare", str(tmp_path), "--out", str(tmp_path / "o"), "--face-landmarker", "x.task",
        "--identities", str(tmp_path / "identities.json"), "--test-share", "0.25",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert (got["identities"], got["test_share"]) == ({"a.mp4": "Ann"}, 0.25)


def test_data_split_holds_out_the_named_identities(cli, world: Path, tmp_path: Path) -> None:
    first = list_clips(world)[0]
    identity = read_record(world / f"{first}.json")["meta"]["identity"]
    (tmp_path / "people.txt").write_text(f"\n {identity} \n")
    outcome = cli("data", "split", str(world), "--test-identities", str(tmp_path / "people.txt"))
    assert outcome.code == 0, outcome.err
    tests = sum(read_record(world / f"{key}.json")["meta"]["split"] == "test" for key in list_clips(world))
    assert tests >= 1
    assert outcome.out.strip() == f"{world}: {4 - tests} clips for training, {tests} for testing"


def test_data_sample_draws_the_same_from_clips_and_from_their_shards(cli, world: Path, tmp_path: Path) -> None:
    assert cli("data", "shard", str(world), "--out", str(tmp_path / "shards")).code == 0
    for place in ("world", "shards"):
        out = str(tmp_path / f"{place}.json")
        outcome = cli("data", "sample", str(tmp_path / place), "--count", "2", "--seed", "3", "--out", out)
        assert outcome.out.strip() == f"{out}: 2 of 4 clips, seed 3", outcome.err
    assert (tmp_path / "world.json").read_text() == (tmp_path / "shards.json").read_text()


def test_data_sample_keeps_to_a_split(cli, world: Path, tmp_path: Path) -> None:
    out = tmp_path / "list.json"
    assert cli("data", "sample", str(world), "--split", "test", "--count", "1", "--out", str(out)).code == 0
    drawn = json.loads(out.read_text())
    assert (drawn["split"], drawn["population"]["clips"]) == ("test", 1)
    assert read_record(world / f"{drawn['keys'][0]}.json")["meta"]["split"] == "test"


def test_data_sample_of_too_few_clips_is_an_error(cli, world: Path, tmp_path: Path) -> None:
    outcome = cli("data", "sample", str(world), "--out", str(tmp_path / "list.json"))
    assert outcome.code == 2
    assert "a sample of 100 clips cannot be drawn from 4" in outcome.err
