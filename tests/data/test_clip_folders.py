"""Clips in sub-folders: where prepare puts them, and that whoever reads them finds them there and in flat folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from drawn_talker import ColourFinder, talk

import fada.data.prepare.videos as videos
from fada.cli.app import run
from fada.data.clips.clip import list_clips, read_clip, read_record
from fada.data.clips.clip_files import clip_file, clip_folders, home_of, sub_folder_of
from fada.data.prepare import prepare_videos, read_landmarks
from fada.data.sampling.splits import split_clips
from fada.data.scores import load_thresholds, read_scores, score_folder
from fada.data.scores.sets import filter_folder
from fada.files.errors import FolderFault
from fada.packing.shards import shard_clips

SETS = load_thresholds("strict"), load_thresholds("lenient")
SUFFIXES = (".json", ".landmarks.safetensors", ".mp4", ".wav")


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(videos, "FaceFinder", ColourFinder)
    (tmp_path / "model.task").write_bytes(b"model")


def prepare(tmp_path: Path, *paths: Path, **options):
    options = {"size": 64, **options}
    return prepare_videos(paths, tmp_path / "clips", face_landmarker_path=tmp_path / "model.task", **options)


def flatten(folder: Path) -> None:
    """As earlier versions left a folder of clips: all in one."""
    for sub in clip_folders(folder)[1:]:
        for file in sub.iterdir():
            file.rename(folder / file.name)
        sub.rmdir()


def files_of(folder: Path, key: str) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob(f"{key}.*")}


@pytest.fixture(scope="module")
def two_ways(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same two clips in sub-folders, and in a flat folder as earlier versions made it."""
    top = tmp_path_factory.mktemp("two ways")
    (top / "model.task").write_bytes(b"model")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(videos, "FaceFinder", ColourFinder)
        prepare(top, talk(top / "a.mp4", 2.0), talk(top / "b.mp4", 2.4))
    shutil.copytree(top / "clips", top / "flat")
    flatten(top / "flat")
    return top / "clips", top / "flat"


@pytest.fixture
def copies(two_ways: tuple[Path, Path], tmp_path: Path) -> tuple[Path, Path]:
    """Both, to be changed."""
    nested, flat = (Path(shutil.copytree(each, tmp_path / each.name)) for each in two_ways)
    return nested, flat


def test_sub_folders_are_named_by_the_first_digits_of_the_source() -> None:
    assert sub_folder_of("talk_one-3fab0012-007") == "3f"
    assert sub_folder_of("deadbeef-3fab0012-1007") == "3f"
    for other in ("train-s0-000001", "talk", "talk-3fab0012", "talk-3FAB0012-000", "talk-3fab001-000"):
        assert sub_folder_of(other) is None
        assert home_of("clips", other) == Path("clips")


def test_prepared_clips_lie_in_sub_folders(two_ways) -> None:
    nested, _ = two_ways
    keys = list_clips(nested)
    assert len(keys) == 2
    for key in keys:
        digits = key.split("-")[1][:2]
        assert files_of(nested, key) == {f"{digits}/{key}{suffix}" for suffix in SUFFIXES}


def test_flat_folders_of_earlier_versions_are_read_as_they_are(two_ways) -> None:
    nested, flat = two_ways
    assert list_clips(flat) == list_clips(nested)
    assert len(clip_folders(flat)) == 1
    for key in list_clips(flat):
        assert read_clip(flat, key).meta == read_clip(nested, key).meta
        assert set(read_landmarks(flat, key)) == set(read_landmarks(nested, key))


def test_a_flat_folder_is_gone_on_with_and_holds_what_is_done(tmp_path) -> None:
    first, second = talk(tmp_path / "a.mp4", 2.0), talk(tmp_path / "b.mp4", 2.4)
    (old,) = prepare(tmp_path, first).clips
    flatten(tmp_path / "clips")
    report = prepare(tmp_path, first, second)
    assert report.resumed == 1
    (new,) = report.records[1].clips
    assert files_of(tmp_path / "clips", old.key) == {f"{old.key}{suffix}" for suffix in SUFFIXES}
    assert files_of(tmp_path / "clips", new.key) == {f"{sub_folder_of(new.key)}/{new.key}{each}" for each in SUFFIXES}
    assert list_clips(tmp_path / "clips") == [clip.key for clip in report.clips]


@pytest.mark.parametrize("is_flat", [True, False])
def test_clips_that_are_made_anew_leave_nothing_of_the_old_ones(tmp_path, is_flat) -> None:
    path = talk(tmp_path / "a.mp4")
    assert len(prepare(tmp_path, path, max_seconds=2.0).clips) == 2
    if is_flat:
        flatten(tmp_path / "clips")
    (clip,) = prepare(tmp_path, path).clips
    assert list_clips(tmp_path / "clips") == [clip.key]
    assert {file.name for file in (tmp_path / "clips").rglob("a-*")} == {f"{clip.key}{suffix}" for suffix in SUFFIXES}


def test_what_a_kill_left_in_a_sub_folder_goes(tmp_path) -> None:
    (clip,) = prepare(tmp_path, talk(tmp_path / "a.mp4", 2.0)).clips
    left = clip_file(tmp_path / "clips", clip.key, ".mp4").with_name(".fada-0123456789abcdef.partial.mp4")
    left.touch()
    assert prepare(tmp_path, tmp_path / "a.mp4").resumed == 1
    assert not left.exists()
    left.touch()
    assert run(["data", "filter", str(tmp_path / "clips"), "--workers", "1"]) == 0
    assert not left.exists()


def test_no_clip_is_written_through_a_link(tmp_path) -> None:
    (clip,) = prepare(tmp_path, talk(tmp_path / "a.mp4", 2.0)).clips
    sub = clip_file(tmp_path / "clips", clip.key, ".mp4").parent
    sub.rename(tmp_path / "elsewhere")
    sub.symlink_to(tmp_path / "elsewhere")
    before = sorted((tmp_path / "elsewhere").iterdir())
    with pytest.raises(FolderFault, match=rf"clips/{sub.name}: is a link, which may lead anywhere, and clips belong"):
        prepare(tmp_path, tmp_path / "a.mp4", max_seconds=1.5, min_seconds=0.5)
    assert sorted((tmp_path / "elsewhere").iterdir()) == before
    assert list_clips(tmp_path / "clips") == []
    sub.unlink()
    sub.touch()
    with pytest.raises(FolderFault, match=rf"clips/{sub.name}: is a file, and clips belong into a folder"):
        prepare(tmp_path, tmp_path / "a.mp4")


def test_clips_in_a_sub_folder_that_is_not_theirs_are_not_listed(copies) -> None:
    nested, _ = copies
    key = list_clips(nested)[0]
    home = home_of(nested, key)
    home.rename(nested / ("00" if home.name != "00" else "01"))
    assert key not in list_clips(nested)


def test_scores_decisions_and_shards_are_those_of_a_flat_folder(copies, tmp_path) -> None:
    tables, shards = [], []
    for folder in copies:
        filter_folder(folder, score_folder(folder), *SETS)
        assert score_folder(folder).measured == 0
        tables.append(read_scores(folder))
        shard_clips(folder, tmp_path / f"shards of {folder.name}", takes_all=True)
        shards.append([file.read_bytes() for file in sorted((tmp_path / f"shards of {folder.name}").rglob("*.tar"))])
    assert len(tables[0]) == 2
    assert tables[0] == tables[1]
    assert len(shards[0]) == 1
    assert shards[0] == shards[1]


def test_scores_lie_in_sub_folders_as_their_clips_do(copies) -> None:
    nested, flat = copies
    score_folder(nested)
    assert {str(file.relative_to(nested / ".scores")) for file in (nested / ".scores").rglob("*.json")} == {
        f"{sub_folder_of(key)}/{key}.json" for key in list_clips(nested)
    }
    # Of an earlier version they lie side by side, and are kept.
    score_folder(flat)
    flatten(flat / ".scores")
    assert score_folder(flat).kept == 2


def test_the_split_is_written_where_the_record_lies(copies) -> None:
    for folder in copies:
        assert split_clips(folder, test_share=1.0) == {"test": 2}
        for key in list_clips(folder):
            assert read_record(clip_file(folder, key, ".json"))["meta"]["split"] == "test"
            assert len(list(folder.rglob(f"{key}.json"))) == 1


def test_the_page_links_videos_and_draws_posters_wherever_they_lie(copies, tmp_path) -> None:
    for folder in copies:
        filter_folder(folder, score_folder(folder), *SETS)
        assert run(["data", "inspect", str(folder), "--page", str(folder / "page.html")]) == 0
        text = (folder / "page.html").read_text()
        data, posters = (
            json.loads(text.split(f'id="{name}"')[1].split(">", 1)[1].split("</script>")[0])
            for name in ("data", "posters")
        )
        assert [(folder / link).is_file() for link in data["files"]] == [True, True]
        assert all(posters)


def test_a_sample_is_drawn_of_clips_in_sub_folders(copies, tmp_path) -> None:
    for number, folder in enumerate(copies):
        split_clips(folder, test_share=1.0)
        out = tmp_path / f"{number}.json"
        assert run(["data", "sample", str(folder), "--count", "1", "--split", "test", "--out", str(out)]) == 0
    assert (tmp_path / "0.json").read_bytes() == (tmp_path / "1.json").read_bytes()
