"""Cutting the clips of a list from local copies."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fada.data.lists import ClipList, ListError, cut_list, read_identities
from fada.data.lists.entry import DamagedEntry, ListedClip
from fada.data.lists.hdtf import HeightBox
from fada.media.audio import read_audio
from fada.media.video import read_video, write_video


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds each: one named as the list names it, one as yt-dlp does."""
    folder = tmp_path_factory.mktemp("videos")
    frames = np.full((50, 48, 64, 3), 120, np.uint8)
    sound = (0.3 * np.sin(np.arange(32000) / 10)).astype(np.float32)
    for name in ("Ann1", "More of Ann [idididididi]"):
        write_video(folder / f"{name}.mp4", frames, 25.0, sound)
    return folder


def entry(name: str, video: str, end: float = 1.0, *names: str) -> ListedClip:
    return ListedClip(name, "Ann", video, (video, *names), 0.0, end, HeightBox(0, 0, 12, 12, 24), ("talk",))


CLIPS = (
    entry("Ann1_0", "Ann1"),
    entry("Ann2_0", "Ann2", 0.4, "idididididi"),
    entry("Ann3_0", "Ann3"),
    entry("Ann3_1", "Ann3"),
    entry("Ann1_1", "Ann1", 9.0),
)
LIST = ClipList("HDTF", CLIPS, (DamagedEntry("RD_annotion_time.txt:7", "time 'x' is not minutes:seconds"),))


def test_every_clip_whose_video_is_there_is_cut(videos: Path, tmp_path: Path) -> None:
    report = cut_list(LIST, videos, tmp_path)
    assert report.cut == ("Ann1_0", "Ann2_0")
    assert read_video(tmp_path / "Ann1_0.mp4", fps=None).shape == (25, 24, 24, 3)
    assert len(read_audio(tmp_path / "Ann2_0.mp4")) == 6400
    ours = {".fada.json", ".fada.lock"}
    files = {file.name for file in tmp_path.iterdir()} - ours
    assert files == {"Ann1_0.mp4", "Ann2_0.mp4", "identities.json", "cut.json"}


def test_what_could_not_be_cut_is_named(videos: Path, tmp_path: Path) -> None:
    report = cut_list(LIST, videos, tmp_path)
    assert report.missing == {"Ann3": ("Ann3_0", "Ann3_1")}
    assert "ends at 2.00 s, before 9 s" in report.failed["Ann1_1"]
    written = json.loads((tmp_path / "cut.json").read_text())
    assert written["missing_videos"] == {"Ann3": ["Ann3_0", "Ann3_1"]}
    assert written["damaged_entries"] == [["RD_annotion_time.txt:7", "time 'x' is not minutes:seconds"]]
    assert written["clips"]["Ann1_0"] == {
        "identity": "Ann", "video": "Ann1", "start_seconds": 0.0, "end_seconds": 1.0, "attributes": ["talk"],
    }  # fmt: skip


def test_identities_are_written_for_prepare(videos: Path, tmp_path: Path) -> None:
    cut_list(LIST, videos, tmp_path)
    assert read_identities(tmp_path / "identities.json")["Ann2_0.mp4"] == "Ann"


def test_finished_clips_are_kept_and_others_redone(videos: Path, tmp_path: Path) -> None:
    cut_list(LIST, videos, tmp_path)
    (tmp_path / "Ann2_0.mp4").unlink()
    before = (tmp_path / "Ann1_0.mp4").stat().st_mtime_ns
    report = cut_list(LIST, videos, tmp_path)
    assert (report.cut, report.kept) == (("Ann2_0",), ("Ann1_0",))
    assert (tmp_path / "Ann1_0.mp4").stat().st_mtime_ns == before


def test_a_clip_whose_entry_changed_is_redone(videos: Path, tmp_path: Path) -> None:
    cut_list(LIST, videos, tmp_path)
    changed = ClipList("HDTF", (entry("Ann1_0", "Ann1", 0.2), entry("Ann2_0", "Ann2", 9.0, "idididididi")), ())
    report = cut_list(changed, videos, tmp_path)
    assert report.cut == ("Ann1_0",)
    assert len(read_video(tmp_path / "Ann1_0.mp4", fps=None)) == 5
    # What the earlier list called Ann2_0 must not pass for this one's.
    assert not (tmp_path / "Ann2_0.mp4").exists()


def test_several_processes_cut_the_same(videos: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    report = cut_list(LIST, videos, tmp_path, workers=2, on_progress=lambda done, total: told.append((done, total)))
    assert report.cut == ("Ann1_0", "Ann2_0")
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_a_folder_with_none_of_the_videos_is_refused(videos: Path, tmp_path: Path) -> None:
    with pytest.raises(ListError, match="none of the 1 videos of the list is here; a copy is named Bob or idx, with"):
        cut_list(ClipList("HDTF", (entry("Bob_0", "Bob", 1.0, "idx"),), ()), videos, tmp_path)


def test_a_missing_folder_of_videos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ListError, match="nowhere: no such folder of videos"):
        cut_list(LIST, tmp_path / "nowhere", tmp_path / "out")


@pytest.mark.parametrize(("text", "message"), [("{", "not readable as JSON"), ('{"a.mp4": 1}', "are a JSON object")])
def test_identities_that_are_no_names_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "i.json").write_text(text)
    with pytest.raises(ListError, match=message):
        read_identities(tmp_path / "i.json")
