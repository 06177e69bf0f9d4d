"""Scores of a folder: measured once, kept, measured again when a clip changes; sets in records and table."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

import psutil
import pyarrow
import pytest
from pyarrow import parquet

import fada.data.scores.folder as folder_module
import fada.data.scores.table as table_module
from fada.data.clips.clip import list_clips, read_record, write_record
from fada.data.sampling import pool
from fada.data.scores import (
    SCORES,
    ScoredFolder,
    ScoresError,
    Thresholds,
    draw_scores,
    filter_folder,
    filter_table,
    load_thresholds,
    plot_scores,
    read_scores,
    score_folder,
    tables,
    write_scores,
)
from fada.data.scores.decisions import read_decisions
from fada.data.workers.crew import Lost
from fada.data.workers.process_crew import ProcessCrew
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
        "bits_per_pixel", "iqa", "syncnet_offset", "syncnet_confidence", "syncnet_distance",
        "dnsmos_signal", "dnsmos_background", "dnsmos_overall", "voice_likeness", "yaw", "roll", "wobble",
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


def test_two_processes_measure_what_one_does_also_where_they_are_killed(world: Path, scored: ScoredFolder) -> None:
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


def test_decisions_stand_in_the_table_and_the_records_stay_as_they_are(world: Path) -> None:
    before = {key: (world / f"{key}.json").read_bytes() for key in list_clips(world)}
    decisions = filter_folder(world, score_folder(world), *SETS)
    rows = {row["key"]: row for row in read_scores(world)}
    assert set(rows) == set(list_clips(world))
    assert {key: (world / f"{key}.json").read_bytes() for key in before} == before
    for key, decision in decisions.items():
        meta = read_record(world / f"{key}.json")["meta"]
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


def test_thresholds_on_the_table_decide_as_they_do_on_clips(world: Path, scored: ScoredFolder) -> None:
    filter_folder(world, scored, *SETS)
    loose = Thresholds("loose", {})
    wanted = filter_folder(world, scored, SETS[1], loose)
    there = read_scores(world)
    filter_folder(world, scored, *SETS)
    told: list[tuple[int, int]] = []
    tally = filter_table(world, SETS[1], loose, lambda *said: told.append(said))
    assert read_scores(world) == there
    assert told == [(20, 20)]
    assert tally.clips["A"] == sum(each.set == "A" for each in wanted.values())
    counted = [[list(column.cells) for column in table.columns] for table in tally.tables()]
    again = tables(scored, wanted, SETS[1], loose)
    assert counted == [[list(column.cells) for column in table.columns] for table in again]


def test_a_table_of_an_earlier_version_says_how_to_make_it_once(world: Path, scored: ScoredFolder) -> None:
    filter_folder(world, scored, *SETS)
    table = parquet.read_table(world / "scores.parquet").drop_columns(["clip"])
    parquet.write_table(table, world / "scores.parquet")
    with pytest.raises(ScoresError, match=r"an earlier version's; make it once with fada data filter .* without --thr"):
        filter_table(world, *SETS)
    assert read_decisions(world).of(world, read_record(world / f"{list_clips(world)[0]}.json")) is None


def test_a_decision_holds_for_the_clip_that_was_scored_whatever_its_split(world: Path, scored: ScoredFolder) -> None:
    decisions = filter_folder(world, scored, *SETS)
    first, second = list_clips(world)[:2]
    record = read_record(world / f"{first}.json")
    record["meta"] |= {"split": "other", "identity": "Ann"}
    write_record(world / f"{first}.json", record)
    wav = world / f"{second}.wav"
    wav.write_bytes(wav.read_bytes()[:-3200])
    found = read_decisions(world)
    assert found.of(world, record) == decisions[first].to_json()
    assert found.of(world, read_record(world / f"{second}.json")) is None
    assert found.of(world, {**record, "key": "new"}) is None
    assert found.stale == [second]


def test_a_large_table_is_read_in_pieces_and_drawn_from(
    world: Path, scored: ScoredFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    filter_folder(world, scored, *SETS)
    rows = read_scores(world)
    monkeypatch.setattr(table_module, "PIECE", 3)
    filter_folder(world, scored, *SETS)
    assert read_scores(world) == rows
    wanted = sorted(rows, key=lambda row: hashlib.sha256(row["key"].encode()).digest())[:5]
    assert draw_scores(world, 5) == [row for row in rows if row in wanted]
    assert draw_scores(world, 20) == rows


def test_clips_are_scored_on_a_cluster(world: Path, scored: ScoredFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The crew of a cluster is tried in tests of preparing; here that scoring gives it all that it needs."""
    shutil.rmtree(world / ".scores")
    for key in list_clips(world)[3:]:
        (world / f"{key}.json").unlink()
    crews: list[tuple[Any, ...]] = []

    class Here(ProcessCrew):
        def __init__(self, address: str | None, size: int | None, start: Any, out: Path, **said: Any) -> None:
            crews.append((address, size, out, said["source_of"]("k"), said["gone"]("k")))
            super().__init__(1, start)

        def __enter__(self) -> ProcessCrew:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(pool, "RayCrew", Here)
    monkeypatch.chdir(world.parent)
    found = score_folder(Path("world"), cluster="ray=head:6379", workers=None)
    assert crews == [("head:6379", None, world, world / "k.json", "its record is gone")]
    assert found.scores == {key: scored.scores[key] for key in list_clips(world)}


@pytest.mark.parametrize(
    "damage",
    [
        lambda table: table.set_column(0, "key", pyarrow.array([None] * len(table), pyarrow.string())),
        lambda table: table.set_column(0, "key", pyarrow.array([b"\xff"] * len(table), pyarrow.binary())),
        lambda table: table.set_column(
            table.column_names.index("failed_strict"), "failed_strict", pyarrow.array([0] * len(table))
        ),
    ],
)
def test_a_table_that_cannot_be_is_named(tmp_path: Path, damage: Any) -> None:
    row = dict.fromkeys(("key", "clip", "identity", "split", "source"), "k")
    write_scores(tmp_path, [{**row, "set": "A", "failed_strict": [], "failed_lenient": [], "unmeasured": []}])
    table = parquet.read_table(tmp_path / "scores.parquet")
    parquet.write_table(damage(table), tmp_path / "scores.parquet")
    with pytest.raises(ScoresError, match=r"scores\.parquet: .*make it again with fada data filter"):
        read_decisions(tmp_path)
    (tmp_path / "scores.parquet").write_bytes(b"PAR1" + bytes(100) + b"PAR1")
    with pytest.raises(ScoresError, match=r"scores\.parquet: not a table of scores"):
        read_decisions(tmp_path)
