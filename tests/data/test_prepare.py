"""Preparing videos, without the models: a stand-in finds a drawn "face" by its colour."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from drawn_talker import ColourFinder, draw_talker, make_speech, talk

import fada.data.prepare.videos as videos
from fada.data.clips.clip import list_clips, read_clip
from fada.data.clips.clip_files import clip_file
from fada.data.prepare import Reason, draw_masks, prepare_videos, read_landmarks
from fada.data.prepare.models import ModelError
from fada.data.prepare.report import SourceRecord
from fada.data.prepare.sync import measure_sync
from fada.data.shards.reading import ShardError
from fada.media import MediaError
from fada.media.audio import read_audio
from fada.media.video import write_video
from fada.packing.shards import shard_clips


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The stand-in finder, and a model file that is only hashed."""
    monkeypatch.setattr(videos, "FaceFinder", ColourFinder)
    (tmp_path / "model.task").write_bytes(b"model")
    return tmp_path / "model.task"


def prepare(tmp_path: Path, *paths: Path, **options):
    options = {"size": 64, **options}
    return prepare_videos(paths, tmp_path / "clips", face_landmarker_path=tmp_path / "model.task", **options)


def test_a_talking_video_becomes_a_clip(tmp_path) -> None:
    report = prepare(tmp_path, talk(tmp_path / "talk one.mp4"))
    assert len(report.clips) == 1
    assert not report.rejections
    (key,) = list_clips(tmp_path / "clips")
    clip = read_clip(tmp_path / "clips", key)
    assert clip.frames.shape == (100, 64, 64, 3)
    assert len(clip.audio) == 64000
    assert key.startswith("talk_one-")
    assert clip.meta["identity"] == "talk one"
    assert clip.meta["source"] == "talk one.mp4"
    assert len(clip.meta["sha256"]) == 64


def test_landmarks_lie_on_the_face_of_the_clip(tmp_path) -> None:
    (clip,) = prepare(tmp_path, talk(tmp_path / "a.mp4")).clips
    stored = read_landmarks(tmp_path / "clips", clip.key)
    assert stored["landmarks"].shape == (100, 478, 2)
    assert stored["blendshapes"].shape == (100, 52)
    frames = read_clip(tmp_path / "clips", clip.key).frames
    left, top, right, bottom = stored["face_box"][0] * 64
    red = frames[0, ..., 0] > frames[0, ..., 2] + 80
    rows, columns = np.nonzero(red)
    np.testing.assert_allclose(
        [left, top, right, bottom], [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], atol=1.5
    )


@pytest.mark.parametrize("shift", [3, -4])
def test_a_clear_offset_is_measured_and_corrected(tmp_path, shift) -> None:
    (clip,) = prepare(tmp_path, talk(tmp_path / "a.mp4", 6.0, shift=shift)).clips
    assert clip.offset == shift
    assert clip.offset_corrected
    written = read_clip(tmp_path / "clips", clip.key)
    stored = read_landmarks(tmp_path / "clips", clip.key)
    jaw_open = stored["blendshapes"][:, 25]
    # This sound is constant within a frame, so the best lag is certain to half a frame only.
    assert abs(measure_sync(jaw_open, stored["lip_opening"], written.audio).offset) <= 1


@pytest.mark.parametrize(("shift", "kept"), [(3, (3, 150)), (-4, (0, 146))])
def test_a_shift_takes_the_sound_as_it_is_and_leaves_out_what_has_none(tmp_path, shift, kept) -> None:
    path = talk(tmp_path / "a.mp4", 6.0, shift=shift)
    (clip,) = prepare(tmp_path, path).clips
    first, last = kept
    assert (round(clip.start_seconds * 25), round(clip.end_seconds * 25)) == kept
    written = read_clip(tmp_path / "clips", clip.key)
    assert len(written.frames) == last - first
    given = read_audio(path, 16000)
    np.testing.assert_allclose(written.audio, given[640 * (first - shift) : 640 * (last - shift)], atol=1e-4)
    sync = written.meta["sync"]
    assert (sync["offset"], sync["shift"], sync["is_corrected"]) == (shift, shift, True)
    assert sync["method"] in ("prediction", "level")


def test_all_pieces_of_a_stretch_have_its_offset(tmp_path) -> None:
    clips = prepare(tmp_path, talk(tmp_path / "a.mp4", 6.0, shift=3), max_seconds=2.0).clips
    assert len(clips) == 3
    metas = [read_clip(tmp_path / "clips", clip.key).meta["sync"] for clip in clips]
    assert {(meta["offset"], meta["shift"], meta["stretch_frames"]) for meta in metas} == {(3, 3, 150)}


def test_a_voice_from_elsewhere_belongs_to_no_set(tmp_path) -> None:
    audio, _ = make_speech(4.0, seed=8)
    write_video(tmp_path / "v.mp4", draw_talker(make_speech(4.0, seed=1)[1]), audio=audio)
    (clip,) = prepare(tmp_path, tmp_path / "v.mp4").clips
    assert clip.confidence < 2.1
    assert (clip.quality, clip.flaws[0], clip.offset_corrected) == ("rejected", "unknown_sync", False)
    with pytest.raises(ShardError):
        shard_clips(tmp_path / "clips", tmp_path / "shards")


def test_offset_correction_can_be_switched_off(tmp_path) -> None:
    (clip,) = prepare(tmp_path, talk(tmp_path / "a.mp4", 6.0, shift=3), correct_offset=False).clips
    assert clip.offset == 3
    assert not clip.offset_corrected
    assert "audio_offset" in clip.flaws
    assert clip.quality == "B"


def test_large_offsets_are_left_alone_and_flagged(tmp_path) -> None:
    (clip,) = prepare(tmp_path, talk(tmp_path / "a.mp4", 6.0, shift=9)).clips
    assert clip.offset == 9
    assert not clip.offset_corrected
    assert "audio_offset" in clip.flaws
    assert clip.quality == "rejected"


def test_long_videos_are_cut_into_equal_clips(tmp_path) -> None:
    report = prepare(tmp_path, talk(tmp_path / "a.mp4", 5.0), max_seconds=2.0)
    assert [round((clip.end_seconds - clip.start_seconds) * 25) for clip in report.clips] == [42, 41, 42]
    assert [clip.start_seconds for clip in report.clips][1:] == [clip.end_seconds for clip in report.clips][:-1]


def reject(tmp_path: Path, frames: np.ndarray, audio: np.ndarray | None, **options) -> list[Reason]:
    write_video(tmp_path / "v.mp4", frames, audio=audio)
    report = prepare(tmp_path, tmp_path / "v.mp4", **options)
    assert not report.clips
    assert not list_clips(tmp_path / "clips")
    return [rejection.reason for rejection in report.rejections]


def test_video_without_sound_is_rejected(tmp_path) -> None:
    assert reject(tmp_path, draw_talker(np.ones(30)), None) == [Reason.NO_AUDIO]


def test_silent_video_is_rejected(tmp_path) -> None:
    assert reject(tmp_path, draw_talker(np.ones(30)), np.zeros(19200, np.float32)) == [Reason.SILENT_AUDIO]


def test_video_without_a_face_is_rejected(tmp_path) -> None:
    audio, _ = make_speech(2.0)
    assert reject(tmp_path, np.full((50, 96, 96, 3), 128, np.uint8), audio) == [Reason.NO_FACE]


def test_two_large_faces_are_rejected(tmp_path) -> None:
    audio, opening = make_speech(4.0)
    assert reject(tmp_path, draw_talker(opening, second=True), audio) == [Reason.SEVERAL_FACES]


def test_small_faces_are_rejected(tmp_path) -> None:
    audio, opening = make_speech(4.0)
    assert reject(tmp_path, draw_talker(opening, height=40), audio) == [Reason.TOO_SMALL_FACE]


def test_still_mouths_are_rejected(tmp_path) -> None:
    audio, opening = make_speech(4.0)
    assert reject(tmp_path, draw_talker(0 * opening), audio) == [Reason.STILL_MOUTH]


def test_short_videos_are_rejected(tmp_path) -> None:
    audio, opening = make_speech(0.8)
    assert reject(tmp_path, draw_talker(opening), audio) == [Reason.TOO_SHORT]


def test_steady_sound_that_the_lips_do_not_follow_is_not_speech(tmp_path) -> None:
    _, opening = make_speech(4.0)
    hum = 0.3 * np.sin(2 * np.pi * 700 * np.arange(64000) / 16000).astype(np.float32)
    assert reject(tmp_path, draw_talker(opening), hum) == [Reason.NOT_SPEECH]


def test_a_shaking_head_is_rejected(tmp_path) -> None:
    audio, opening = make_speech(4.0)
    frames = draw_talker(opening, height=82)
    frames[1::2] = np.roll(frames[1::2], 6, axis=2)
    assert reject(tmp_path, frames, audio) == [Reason.STRONG_HEAD_MOTION]


def test_a_face_that_goes_away_leaves_two_clips_and_a_note(tmp_path) -> None:
    audio, opening = make_speech(8.0)
    frames = draw_talker(opening)
    frames[80:120] = 128
    write_video(tmp_path / "v.mp4", frames, audio=audio)
    report = prepare(tmp_path, tmp_path / "v.mp4")
    assert [(clip.start_seconds, clip.end_seconds) for clip in report.clips] == [(0.0, 3.2), (4.8, 8.0)]
    assert [(item.reason, item.start_seconds, item.end_seconds) for item in report.rejections] == [
        (Reason.FACE_LOST, 3.2, 4.8)
    ]


def test_short_gaps_are_bridged(tmp_path) -> None:
    audio, opening = make_speech(4.0)
    frames = draw_talker(opening)
    # Something as bright as the face hides it.
    frames[50:55, 6:90, 8:92] = 220
    write_video(tmp_path / "v.mp4", frames, audio=audio)
    (clip,) = prepare(tmp_path, tmp_path / "v.mp4").clips
    assert clip.end_seconds == 4.0


def test_a_cut_ends_a_clip_also_where_the_next_scene_has_a_face_in_the_same_place(tmp_path) -> None:
    audio, opening = make_speech(4.0)
    frames = draw_talker(opening)
    frames[60:, :, 96:] = 10  # another room
    write_video(tmp_path / "v.mp4", frames, audio=audio)
    clips = prepare(tmp_path, tmp_path / "v.mp4").clips
    assert [(clip.start_seconds, clip.end_seconds) for clip in clips] == [(0.0, 2.4), (2.4, 4.0)]


def test_undecodable_files_are_rejected_with_their_error(tmp_path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "zero.mp4").touch()
    report = prepare(tmp_path, tmp_path / "text.mp4", tmp_path / "zero.mp4")
    assert [rejection.reason for rejection in report.rejections] == [Reason.UNDECODABLE] * 2
    assert "0 bytes" in report.rejections[1].detail


def test_the_same_content_twice_is_done_once(tmp_path) -> None:
    talk(tmp_path / "a.mp4")
    (tmp_path / "b.mp4").write_bytes((tmp_path / "a.mp4").read_bytes())
    report = prepare(tmp_path, tmp_path / "a.mp4", tmp_path / "b.mp4")
    assert len(report.clips) == 1
    assert [item.reason for item in report.rejections] == [Reason.DUPLICATE]


def test_finished_sources_are_skipped(tmp_path) -> None:
    path = talk(tmp_path / "a.mp4")
    first = prepare(tmp_path, path)
    second = prepare(tmp_path, path)
    assert (first.resumed, second.resumed) == (0, 1)
    assert second.records == first.records


def test_half_done_sources_are_redone(tmp_path) -> None:
    path = talk(tmp_path / "a.mp4")
    (clip,) = prepare(tmp_path, path).clips
    clip_file(tmp_path / "clips", clip.key, ".wav").unlink()
    report = prepare(tmp_path, path)
    assert report.resumed == 0
    assert read_clip(tmp_path / "clips", clip.key).frames.shape[0] == 100


def test_a_damaged_record_is_redone(tmp_path) -> None:
    path = talk(tmp_path / "a.mp4")
    prepare(tmp_path, path)
    (record,) = (tmp_path / "clips" / ".prepare").iterdir()
    record.write_text('{"source": ')
    assert prepare(tmp_path, path).resumed == 0


def test_other_settings_replace_the_clips(tmp_path) -> None:
    path = talk(tmp_path / "a.mp4")
    prepare(tmp_path, path, max_seconds=2.0)
    report = prepare(tmp_path, path)
    assert report.resumed == 0
    assert list_clips(tmp_path / "clips") == [clip.key for clip in report.clips]


def test_report_is_written_and_round_trips(tmp_path) -> None:
    report = prepare(tmp_path, talk(tmp_path / "a.mp4"))
    written = json.loads((tmp_path / "clips" / "report.json").read_text())
    assert written["clips"] == 1
    assert written["models"]["model.task"].startswith("9372c470")
    assert SourceRecord.from_json(written["sources"][0]) == report.records[0]
    kept, rejected, spent = report.rows()
    assert (kept.row_count, rejected.row_count) == (1, 0)
    assert {"decode", "faces and cuts", "cut", "write", "all"} <= set(spent.columns[0].cells)


def test_the_summary_is_as_short_for_many_clips_as_for_one(tmp_path) -> None:
    (tmp_path / "[bad].mp4").write_text("no video")
    report = prepare(tmp_path, talk(tmp_path / "a.mp4", 5.0), tmp_path / "[bad].mp4", max_seconds=2.0)
    counts, reasons, _ = report.tables()
    rows = dict(zip(counts.columns[0].cells, counts.columns[1].cells, strict=True))
    assert counts.title == f"3 clips in {tmp_path / 'clips'}"
    assert (rows["videos"], rows["minutes"]) == ("2, of which 0 were done before", "0.1")
    assert sum(int(count) for name, count in rows.items() if name.startswith("quality")) == 3
    assert [str(cell) for cell in reasons.columns[1].cells] == ["1"]
    assert [str(cell) for cell in reasons.columns[2].cells] == ["[bad].mp4"]


def test_progress_is_told_after_each_source(tmp_path) -> None:
    told = []
    prepare(tmp_path, talk(tmp_path / "a.mp4", 2.0), on_progress=told.append)
    assert [(item.done, item.total, item.is_resumed) for item in told] == [(1, 1, False)]


def test_folders_are_searched_and_other_files_named(tmp_path) -> None:
    (tmp_path / "in").mkdir()
    talk(tmp_path / "in" / "a.mp4", 2.0)
    (tmp_path / "in" / "note.txt").write_text("x")
    report = prepare(tmp_path, tmp_path / "in")
    assert len(report.records) == 1
    assert [Path(name).name for name in report.ignored_files] == ["note.txt"]


def test_identities_can_be_given_and_held_out(tmp_path) -> None:
    report = prepare(tmp_path, talk(tmp_path / "a.mp4"), identities={"a.mp4": "P01"}, test_share=1.0)
    meta = read_clip(tmp_path / "clips", report.clips[0].key).meta
    assert (meta["identity"], meta["split"]) == ("P01", "test")


def test_sources_of_one_name_in_two_folders_are_two_persons(tmp_path) -> None:
    for number, person in enumerate(("id0", "id1")):
        (tmp_path / "in" / person / "v").mkdir(parents=True)
        talk(tmp_path / "in" / person / "v" / "00001.mp4", 1.2 + number)
    report = prepare(tmp_path, tmp_path / "in")
    metas = [read_clip(tmp_path / "clips", clip.key).meta for clip in report.clips]
    assert [(meta["identity"], meta["identity_from"]) for meta in metas] == [
        ("id0/v/00001", "path"),
        ("id1/v/00001", "path"),
    ]
    assert prepare(tmp_path, tmp_path / "in").resumed == 2


def test_folders_prepared_one_by_one_keep_their_persons_apart(tmp_path) -> None:
    for number, person in enumerate(("id0", "id1")):
        (tmp_path / person).mkdir()
        talk(tmp_path / person / "1.mp4", 1.2 + number)
    for _ in range(2):
        names = [prepare(tmp_path, tmp_path / person).records[0].identity for person in ("id0", "id1")]
        assert names == ["1", "id1/1"]


def test_a_source_whose_clips_would_have_the_names_of_others_is_not_done(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(videos, "_hash_file", lambda path: f"0123456789abcdef{path.parent.name}")
    for person in ("a", "b"):
        (tmp_path / person).mkdir()
        talk(tmp_path / person / "1.mp4", 1.2)
    report = prepare(tmp_path, tmp_path / "a", tmp_path / "b")
    assert [clip.key for clip in report.clips] == ["1-01234567-000"]
    (rejection,) = report.rejections
    assert rejection.detail == "its clips would have the names of another video's clips; rename the file"
    again = prepare(tmp_path, tmp_path / "b")
    assert [item.detail for item in again.rejections] == [rejection.detail]
    assert list_clips(tmp_path / "clips") == ["1-01234567-000"]


def test_missing_paths_are_refused(tmp_path) -> None:
    with pytest.raises(MediaError, match="no such file or folder"):
        prepare(tmp_path, tmp_path / "none.mp4")


def test_folders_without_videos_are_refused(tmp_path) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(MediaError, match="no videos to prepare: the folders hold 0 files"):
        prepare(tmp_path, tmp_path / "in")


def test_a_missing_model_says_where_to_get_it(tmp_path) -> None:
    with pytest.raises(ModelError, match=r"no face landmarker model there; get face_landmarker.*and give its path"):
        prepare_videos([talk(tmp_path / "a.mp4", 1.0)], tmp_path / "c", face_landmarker_path=tmp_path / "none.task")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "size must be positive, got 0"),
        ({"min_seconds": 6.0}, "at least twice min_seconds, got 10.0 and 6.0"),
        ({"test_share": 2.0}, r"test_share must lie in \[0, 1\], got 2.0"),
        ({"workers": 0}, "workers must be at least 1, got 0"),
    ],
)
def test_senseless_settings_are_refused(tmp_path, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        prepare(tmp_path, tmp_path, **options)


def test_masks_of_unknown_kind_are_refused() -> None:
    with pytest.raises(ValueError, match="full, face, lip or background, got 'nose'"):
        draw_masks(np.zeros((1, 478, 2)), 8, "nose")
