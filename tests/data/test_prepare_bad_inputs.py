"""One folder of awkward and bad files, prepared in one go: each ends as a clip or with its reason, none is lost."""

from __future__ import annotations

import json
import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from drawn_talker import ColourFinder, draw_talker, make_speech, talk

import fada.data.prepare.videos as videos
from fada.data.clips.clip_files import home_of
from fada.data.prepare import PrepareReport, Reason, SourceRecord, prepare_videos
from fada.data.prepare.videos import find_videos
from fada.media import MediaError
from fada.media.audio import write_wav
from fada.media.video import write_video

SECONDS = 1.2


def write(path: Path, milliseconds: list[int] | None = None, rotation: int = 0) -> Path:
    """The drawn talker with frames at other times than every 40 ms, or turned by the header."""
    audio, opening = make_speech(SECONDS)
    frames = draw_talker(opening)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        sound = container.add_stream("pcm_s16le" if path.suffix == ".mkv" else "aac", rate=16000, layout="mono")
        if rotation:
            frames = np.ascontiguousarray(np.rot90(frames, -rotation // 90, axes=(1, 2)))
            stream.set_display_rotation(rotation)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for index, pixels in enumerate(frames):
            if milliseconds is not None and index >= len(milliseconds):
                break
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
            frame.pts = 40 * index if milliseconds is None else milliseconds[index]
            frame.time_base = Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        samples = (audio * 32767).astype(np.int16)[None] if path.suffix == ".mkv" else audio[None]
        block = av.AudioFrame.from_ndarray(samples, format=sound.codec_context.format.name, layout="mono")
        block.sample_rate, block.pts, block.time_base = 16000, 0, Fraction(1, 16000)
        container.mux(sound.encode(block))
        container.mux(sound.encode(None))
    return path


def write_mp3(path: Path) -> None:
    with av.open(str(path), "w", format="mp3") as container:
        stream = container.add_stream("libmp3lame", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(make_speech(SECONDS)[0][None], format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def write_huge(path: Path) -> None:
    """A video whose header claims pictures of 10000 x 9000."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
        container.mux(stream.encode(frame.reformat(format="yuv420p")))
        container.mux(stream.encode(None))
    data = bytearray(path.read_bytes())
    place = data.find(b"strf") + 12  # After its length and the structure's own: width and height.
    data[place : place + 8] = (10000).to_bytes(4, "little") + (9000).to_bytes(4, "little")
    path.write_bytes(data)


def fill(folder: Path) -> None:
    audio, opening = make_speech(SECONDS)
    talker = draw_talker(opening)
    talk(folder / "with spaces, ümläut и 名前.mp4", SECONDS)
    steady = list(range(0, 1200, 40))
    # Every third frame comes late, the next one early: the frames' times vary, the talk is the same.
    write(folder / "variable_rate.mkv", [time + 15 * (index % 3 == 1) for index, time in enumerate(steady)])
    write(folder / "rotated.mp4", rotation=90)
    large = np.pad(talker[:26].repeat(20, axis=1).repeat(20, axis=2), ((0, 0), (0, 240), (0, 0), (0, 0)), mode="edge")
    write_video(folder / "4k.mp4", large, audio=audio[: 26 * 640])
    whole = talk(folder / "whole.mp4", SECONDS + 0.2).read_bytes()
    (folder / "truncated.mp4").write_bytes(whole[: len(whole) // 2])
    (folder / "zero_bytes.mp4").touch()
    (folder / "text.mp4").write_text("no video\n" * 40)
    write_mp3(folder / "mp3.mp4")
    write_wav(folder / "wav.mp4", audio)
    write_video(folder / "no_audio.mp4", talker)
    write_video(folder / "silent.mp4", talker, audio=np.zeros(19200, np.float32))
    write_video(folder / "one_frame.mp4", talker[:1], audio=audio[:640])
    write(folder / "time_jump.mkv", [*steady[:-1], 90_000_000])
    write_huge(folder / "huge.avi")
    (folder / "silent_copy.mp4").write_bytes((folder / "silent.mp4").read_bytes())
    (folder / "broken_link.mp4").symlink_to(folder / "nowhere.mp4")
    # Opens, and then every read fails: even root cannot read a process's page 0.
    (folder / "unreadable.mp4").symlink_to("/proc/self/mem")
    os.mkfifo(folder / "pipe.mp4")
    (folder / "notes.txt").write_text("x")


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> PrepareReport:
    """All of them, prepared in this process."""
    folder = tmp_path_factory.mktemp("bad")
    (folder / "in").mkdir()
    (folder / "model.task").write_bytes(b"model")
    fill(folder / "in")
    return prepare(folder)


def prepare(folder: Path, out: Path | None = None) -> PrepareReport:
    (folder / "model.task").write_bytes(b"model")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(videos, "FaceFinder", ColourFinder)
        return prepare_videos(
            [folder / "in"], out or folder / "out", face_landmarker_path=folder / "model.task", size=64
        )


def only(report: PrepareReport, name: str) -> SourceRecord:
    (record,) = [record for record in report.records if Path(record.source).name == name]
    return record


@pytest.mark.parametrize(
    "name", ["with spaces, ümläut и 名前.mp4", "variable_rate.mkv", "rotated.mp4", "4k.mp4", "whole.mp4"]
)
def test_awkward_videos_become_clips(outcome, name) -> None:
    record = only(outcome, name)
    assert not record.rejections
    (clip,) = record.clips
    assert 1.0 < clip.end_seconds < 1.5


def test_names_of_any_script_make_plain_keys(outcome) -> None:
    (clip,) = only(outcome, "with spaces, ümläut и 名前.mp4").clips
    assert clip.key.startswith("with_spaces_ml_ut_-")


@pytest.mark.parametrize(
    ("name", "reason", "detail"),
    [
        ("truncated.mp4", Reason.UNDECODABLE, "cut off, damaged or not media"),
        ("zero_bytes.mp4", Reason.UNDECODABLE, "the file is empty (0 bytes)"),
        ("text.mp4", Reason.UNDECODABLE, "cannot be opened as video or audio"),
        ("mp3.mp4", Reason.UNDECODABLE, "has no video stream that can be decoded (found: audio)"),
        ("wav.mp4", Reason.UNDECODABLE, "has no video stream that can be decoded (found: audio)"),
        ("no_audio.mp4", Reason.NO_AUDIO, "the file has no audio stream"),
        ("silent.mp4", Reason.SILENT_AUDIO, "loudest second at"),
        ("one_frame.mp4", Reason.TOO_SHORT, "0.04 s, at least 1 s wanted"),
        ("time_jump.mkv", Reason.UNDECODABLE, "its time stamps jump by 89999 s"),
        ("huge.avi", Reason.UNDECODABLE, "claims no size for its pictures, or one over 8192x4320"),
        ("silent_copy.mp4", Reason.DUPLICATE, "same content as"),
        ("broken_link.mp4", Reason.UNDECODABLE, "cannot be read: No such file or directory"),
        ("unreadable.mp4", Reason.UNDECODABLE, "cannot be read: Input/output error"),
        ("pipe.mp4", Reason.UNDECODABLE, "cannot be read: not a regular file"),
    ],
)
def test_bad_files_are_rejected_with_their_reason(outcome, name, reason, detail) -> None:
    record = only(outcome, name)
    (rejection,) = record.rejections
    assert (rejection.reason, record.clips) == (reason, ())
    assert detail in rejection.detail


def test_every_file_is_accounted_for(outcome) -> None:
    folder = Path(outcome.records[0].source).parent
    names = [Path(record.source).name for record in outcome.records] + [Path(n).name for n in outcome.ignored_files]
    assert sorted(names) == sorted(file.name for file in folder.iterdir())
    assert all(record.clips or record.rejections for record in outcome.records)
    written = json.loads((outcome.folder / "report.json").read_text())
    assert len(written["sources"]) == len(outcome.records)


@pytest.fixture
def one(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    talk(tmp_path / "in" / "a.mp4", SECONDS)
    return tmp_path


def test_an_output_that_cannot_be_written_is_refused_before_anything_is_done(one) -> None:
    # Root may write into any folder, but not below a file.
    (one / "file").touch()
    with pytest.raises(MediaError, match=r"file/clips: clips cannot be written there \(Not a directory\); choose"):
        prepare(one, one / "file" / "clips")


def test_a_folder_that_cannot_be_listed_is_named(one, monkeypatch) -> None:
    def scandir(folder: str) -> None:
        raise PermissionError(13, "Permission denied", folder)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(MediaError, match=r"in: the folder cannot be listed \(Permission denied\)"):
        find_videos([one / "in"])


def test_remains_of_a_broken_run_are_removed_and_clips_of_other_sources_stay(one) -> None:
    (clip,) = prepare(one).clips
    digits = clip.key.split("-")[1]
    out = one / "out"
    for record in (out / ".prepare").iterdir():
        record.unlink()
    # Another source whose SHA-256 happens to begin with the same eight digits, and remains under an earlier name.
    home = home_of(out, clip.key)
    other = home / f"other-{digits}-000.json"
    other.write_text(json.dumps({"meta": {"sha256": digits + "f" * 56}}))
    sha256 = json.loads((home / f"{clip.key}.json").read_text())["meta"]["sha256"]
    renamed = [home / f"before-{digits}-000{suffix}" for suffix in (".json", ".mp4")]
    for file in renamed:
        file.write_text(json.dumps({"meta": {"sha256": sha256}}))
    partial = home / f".a-{digits}-001.abcd.mp4.partial"
    partial.touch()
    (again,) = prepare(one).clips
    assert again == clip
    assert other.exists()
    assert not any(file.exists() for file in [*renamed, partial])
