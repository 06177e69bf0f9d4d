"""``fada world make``, ``fada data shard`` and ``fada data inspect``, one after the other on a small drawn world."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fada.data.clips.clip import list_clips
from fada.data.shards.reading import ShardError, read_index
from fada.media.image import read_image


@pytest.fixture
def world(cli, tmp_path: Path) -> Path:
    folder = tmp_path / "world"
    outcome = cli(
        "world", "make", str(folder), "--clips", "2", "--test-clips", "1", "--frames", "6", "--size", "32",
        "--flawed", "0.5", "--workers", "1",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert outcome.out.strip() == f"{folder}: 3 clips drawn, 0 were there"
    return folder


@pytest.fixture
def shards(cli, world: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "shards"
    outcome = cli("data", "shard", str(world), "--out", str(folder))
    assert outcome.code == 0, outcome.err
    return folder


def test_world_make_writes_the_clips_it_was_asked_for(world: Path) -> None:
    assert len(list_clips(world)) == 3


def test_world_make_again_keeps_what_is_there(cli, world: Path) -> None:
    outcome = cli(
        "world", "make", str(world), "--clips", "3", "--test-clips", "1", "--frames", "6", "--size", "32",
        "--flawed", "0.5", "--workers", "1",
    )  # fmt: skip
    assert outcome.out.strip() == f"{world}: 1 clips drawn, 3 were there"


def test_data_shard_gives_each_split_a_folder(shards: Path) -> None:
    assert {split: read_index(shards / split).samples for split in ("train", "test")} == {"train": 2, "test": 1}


def test_data_shard_wants_both_encoders_or_none(cli, world: Path, tmp_path: Path) -> None:
    outcome = cli("data", "shard", str(world), "--out", str(tmp_path / "s"), "--vae", str(tmp_path))
    assert outcome.code == 2
    assert "give both --vae and --audio-encoder" in outcome.err.replace("│", "")


def test_data_shard_refuses_a_folder_without_a_vae(cli, world: Path, tmp_path: Path) -> None:
    outcome = cli(
        "data", "shard", str(world), "--out", str(tmp_path / "s"), "--vae", str(tmp_path), "--audio-encoder", "x"
    )
    assert outcome.code == 2
    assert "no config.json here" in outcome.err


def test_data_inspect_counts_clips_and_qualities(cli, shards: Path) -> None:
    outcome = cli("data", "inspect", str(shards))
    assert outcome.code == 0, outcome.err
    assert "2 readable of 2" in outcome.out
    assert "A 1, B 1" in outcome.out


def test_data_inspect_of_a_large_set_reads_some_records_and_the_table(cli, shards: Path, monkeypatch) -> None:
    from fada.cli import inspection

    monkeypatch.setattr(inspection, "MOST_READ", 1)
    monkeypatch.setattr(inspection, "read_shards", None)
    outcome = cli("data", "inspect", str(shards / "train"))
    assert outcome.code == 0, outcome.err
    assert "1 readable of 1 that were looked at, of 2" in outcome.out
    assert "A 1, B 1" in outcome.out
    assert "per hour of video" in outcome.out


def test_data_inspect_writes_a_contact_sheet(cli, shards: Path, tmp_path: Path) -> None:
    outcome = cli("data", "inspect", str(shards), "--sheet", str(tmp_path / "sheet.png"), "--rows", "3")
    assert outcome.code == 0, outcome.err
    assert read_image(tmp_path / "sheet.png").shape[0] > 3 * 32


def test_data_inspect_says_where_there_are_no_shards(cli, world: Path, tmp_path: Path) -> None:
    outcome = cli("data", "inspect", str(world))
    assert outcome.code == 2
    assert "clips, not shards; add --page" in outcome.err
    (tmp_path / "empty").mkdir()
    outcome = cli("data", "inspect", str(tmp_path / "empty"))
    assert outcome.code == 2
    assert "no shards here (no index.json); make them with fada data shard" in outcome.err


def test_a_sheet_of_features_alone_is_refused(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fada.cli import inspection

    monkeypatch.setattr(inspection, "read_shards", lambda *_, **__: iter(()))
    with pytest.raises(ShardError, match="holds no frames, only features"):
        inspection.contact_sheet_of(shards, 2)


def test_data_prepare_hands_its_options_on(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fada.data import prepare

    seen: dict[str, Any] = {}

    def prepare_videos(videos: list[Path], out: Path, **options: Any) -> SimpleNamespace:
        seen.update(options, videos=videos, out=out)
        options["on_progress"](SimpleNamespace(done=1, total=1))
        return SimpleNamespace(tables=lambda: ["what came of it"])

    monkeypatch.setattr(prepare, "prepare_videos", prepare_videos)
    outcome = cli(
        "data", "prepare", "a.mp4", "b.mp4", "--out", "clips", "--face-landmarker", "f.task", "--size", "64",
        "--test-share", "0.2",
    )  # fmt: skip
    assert outcome.out == "what came of it\n"
    assert seen["videos"] == [Path("a.mp4"), Path("b.mp4")]
    assert (seen["out"], seen["face_landmarker_path"], seen["size"], seen["test_share"]) == (
        Path("clips"), Path("f.task"), 64, 0.2,
    )  # fmt: skip


def test_data_prepare_needs_a_landmarker(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FADA_FACE_LANDMARKER", raising=False)
    outcome = cli("data", "prepare", "a.mp4", "--out", "clips")
    assert outcome.code == 2
    assert "--face-landmarker" in outcome.err
