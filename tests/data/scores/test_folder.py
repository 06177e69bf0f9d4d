"""Scores of a folder: measured once, kept, measured again when a clip changes; sets in records and table."""

import shutil
from pathlib import Path

import psutil
import pytest

import fada.data.scores.folder as folder_module
from fada.data.clip import list_clips, read_record
from fada.data.crew import Lost
from fada.data.scores import (
    SCORES,
    ScoredFolder,
    ScoresError,
    filter_folder,
    load_thresholds,
    plot_scores,
    read_scores,
    score_folder,
    tables,
)
from fada.media.image import read_image

SETS = load_thresholds("strict"), load_thresholds("lenient")


@pytest.fixture
def world(flawed_world: Path, scored: ScoredFolder, tmp_path: Path) -> Path:
    """A copy with scores that may be changed."""
    return Path(shutil.copytree(flawed_world, tmp_path / "world"))


def test_every_clip_has_every_score_by_name(scored: ScoredFolder) -> None:
    assert len(scored.scores) == 20
    assert all(list(scores) == list(SCORES) for scores in scored.scores.values())
    one = next(iter(scored.scores.values()))
    assert [name for name, value in one.items() if value is None] == [
        "bits_per_pixel", "iqa", "syncnet_offset", "syncnet_confidence", "syncnet_distance", "yaw", "roll", "wobble",
        "second_face", "face_pixels",
    ]  # fmt: skip


def test_scores_are_measured_once(world: Path) -> None:
    again = score_folder(world)
    assert (again.measured, again.kept) == (0, 20)


def test_a_clip_that_changed_is_measured_again_a_decision_is_no_change(world: Path) -> None:
    filter_folder(world, score_folder(world), *SETS)
    assert score_folder(world).measured == 0
    first = list_clips(world)[0]
    wav = world / f"{first}.wav"
    wav.write_bytes(wav.read_bytes()[:-3200])
    assert score_folder(world).measured == 1


def test_two_processes_measure_what_one_does(world: Path, scored: ScoredFolder) -> None:
    shutil.rmtree(world / ".scores")
    for key in list_clips(world)[4:]:
        (world / f"{key}.json").unlink()
    two = score_folder(world, workers=2)
    assert two.scores == {key: scored.scores[key] for key in list_clips(world)}


def test_killed_processes_cost_no_clip(world: Path, scored: ScoredFolder) -> None:
    shutil.rmtree(world / ".scores")
    for key in list_clips(world)[6:]:
        (world / f"{key}.json").unlink()
    killed: list[int] = []

    def kill_all(done: int, total: int) -> None:
        for child in psutil.Process().children() if not killed else ():
            if "spawn_main" in " ".join(child.cmdline()):
                killed.append(child.pid)
                child.kill()

    found = score_folder(world, workers=2, on_progress=kill_all)
    assert len(killed) == 2
    assert not found.damaged
    assert found.scores == {key: scored.scores[key] for key in list_clips(world)}


def test_a_clip_that_no_process_survives_is_named_and_the_others_stay(
    world: Path, scored: ScoredFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = list_clips(world)[:2]
    for key in (first, second):
        (world / ".scores" / f"{key}.json").unlink()
    lost = iter([(first, Lost("died", 2, "exit code -9")), (second, ({"seconds": 1.0}, {}, {}))])
    monkeypatch.setattr(folder_module, "in_processes", lambda *_: lost)
    found = score_folder(world, workers=2)
    reason = "its worker died 2 times (exit code -9): killed, crashed, or no memory was left"
    assert found.damaged == {first: reason}
    assert len(found.scores) == 19


def test_what_could_not_be_measured_has_its_reason_in_the_table(world: Path, scored: ScoredFolder) -> None:
    filter_folder(world, scored, *SETS)
    row = read_scores(world)[0]
    reasons = scored.unmeasured[row["key"]]
    assert reasons == dict.fromkeys(("yaw", "roll", "wobble"), "no landmarks, only where the drawn face is")
    assert row["unmeasured"] == [f"{name}: {why}" for name, why in reasons.items()]
    assert score_folder(world).unmeasured == scored.unmeasured


def test_a_damaged_clip_is_named_and_the_others_go_on(world: Path) -> None:
    first = list_clips(world)[0]
    (world / f"{first}.mp4").write_bytes(b"no video")
    found = score_folder(world)
    assert list(found.damaged) == [first]
    assert len(found.scores) == 19


def test_decisions_stand_in_the_records_and_in_the_table(world: Path) -> None:
    decisions = filter_folder(world, score_folder(world), *SETS)
    rows = {row["key"]: row for row in read_scores(world)}
    assert set(rows) == set(list_clips(world))
    for key, decision in decisions.items():
        meta = read_record(world / f"{key}.json")["meta"]
        assert meta["filter"] == decision.to_json()
        assert (rows[key]["set"], rows[key]["failed_strict"]) == (decision.set, decision.failed_strict)
        assert rows[key]["identity"] == meta["identity"]


def test_a_folder_without_a_table_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ScoresError, match=r"scores.parquet: no scores here; make them with: fada data filter"):
        read_scores(tmp_path)
    (tmp_path / "scores.parquet").write_bytes(b"nonsense")
    with pytest.raises(ScoresError, match="not a table of scores"):
        read_scores(tmp_path)


def test_tables_count_sets_and_removals(world: Path) -> None:
    scored = score_folder(world)
    decisions = filter_folder(world, scored, *SETS)
    sets, removed = tables(scored, decisions, *SETS)
    counted = [int(cell) for cell in sets.columns[1].cells]
    assert counted[1] + counted[2] == 20
    assert counted[0] == sum(decision.set == "A" for decision in decisions.values())
    row = list(removed.columns[0].cells).index("sync.offset")
    strictly = [decision.failed_strict for decision in decisions.values() if "offset" in decision.failed_strict]
    alone = sum(names == ["offset"] for names in strictly)
    assert [list(column.cells)[row] for column in removed.columns[1:3]] == ["-1 to 1", f"{len(strictly)} ({alone})"]


def test_histograms_are_a_picture(tmp_path: Path, scored: ScoredFolder) -> None:
    plot_scores(tmp_path / "plots" / "scores.png", scored.scores, *SETS)
    assert min(read_image(tmp_path / "plots" / "scores.png").shape[:2]) > 300
