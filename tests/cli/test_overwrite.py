"""Files that a verb writes replace others only when that is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def world(cli, tmp_path: Path) -> Path:
    outcome = cli(
        "world", "make", str(tmp_path / "world"), "--clips", "2", "--size", "32", "--frames", "3", "--workers", "1"
    )
    assert outcome.code == 0, outcome.err
    return tmp_path / "world"


def verbs(world: Path, out: Path) -> dict[str, list[str]]:
    return {
        "schema": ["recipe", "schema", "--out", str(out)],
        "sample": ["data", "sample", str(world), "--count", "1", "--out", str(out)],
        "sheet": ["data", "inspect", str(world.parent / "shards"), "--sheet", str(out)],
    }


@pytest.mark.parametrize("verb", ["schema", "sample", "sheet"])
def test_a_file_that_is_there_is_replaced_only_with_overwrite(cli, tmp_path: Path, world: Path, verb: str) -> None:
    assert cli("data", "shard", str(world), "--out", str(tmp_path / "shards")).code == 0
    out = tmp_path / "out"
    out.write_text("mine")
    refused = cli(*verbs(world, out)[verb])
    assert refused.code == 2
    assert "exists; give another name, or --overwrite to replace it" in refused.err
    assert out.read_text() == "mine"
    replaced = cli(*verbs(world, out)[verb], "--overwrite")
    assert replaced.code == 0, replaced.err
    assert out.read_bytes() != b"mine"


@pytest.mark.parametrize(
    "verb",
    [
        ["data", "inspect", "DIR", "--page"],
        ["data", "filter", "DIR", "--histograms"],
        ["bench", "tiny/smoke", "--speed", "--out"],
    ],
)
def test_what_would_be_replaced_is_known_before_any_work(cli, tmp_path: Path, world: Path, verb: list[str]) -> None:
    (tmp_path / "out").write_text("mine")
    outcome = cli(*[str(world) if part == "DIR" else part for part in verb], str(tmp_path / "out"))
    assert outcome.code == 2
    assert "exists; give another name, or --overwrite" in outcome.err
    assert (tmp_path / "out").read_text() == "mine"


def test_a_list_replaces_no_clip(cli, tmp_path: Path, world: Path) -> None:
    record = next(file for file in sorted(world.glob("[!.]*.json")) if file.name != "world.json")
    before = record.read_bytes()
    outcome = cli("data", "sample", str(world), "--count", "1", "--out", str(record), "--overwrite")
    assert outcome.code == 2
    assert "is a file of the input" in outcome.err
    assert record.read_bytes() == before


def test_a_split_that_is_no_word_is_refused(cli, tmp_path: Path, world: Path) -> None:
    outcome = cli("data", "sample", str(world), "--split", "../up", "--out", str(tmp_path / "l.json"))
    assert outcome.code == 2
    assert "--split: '../up' cannot name a file or folder" in outcome.err


def test_check_names_what_is_not_on_this_machine_and_passes(cli) -> None:
    outcome = cli("recipe", "check", "sd15/fast")
    assert (outcome.code, outcome.out) == (0, "sd15/fast: good\n")
    assert "sd15/fast: vae.path: '" in outcome.err
    assert "is not on this machine" in outcome.err
