"""Preparing in worker processes: crashes, hangs and kills cost no source and change no clip."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from drawn_talker import BLUE, CYAN, WHITE, ColourFinder, TrapFinder, talk, trap

import fada.data.prepare.executors as executors
import fada.data.prepare.videos as videos
from fada.data.clips.clip_files import clip_file, clip_folders
from fada.data.prepare import ModelError, PrepareReport, Reason, SourceRecord, prepare_videos
from fada.data.prepare.models import FaceFinder

SCRIPT = """
import sys
import fada.data.prepare.videos as videos
from drawn_talker import {finder} as Finder
videos.FaceFinder = Finder
if __name__ == "__main__":
    source, out, model = sys.argv[1:]
    videos.prepare_videos([source], out, face_landmarker_path=model, size=64, workers=2, timeout_minutes=10)
"""


class NoModel(FaceFinder):
    """Cannot be loaded."""

    def __init__(self, *paths: object) -> None:
        raise ModelError("not a face landmarker")


class Exiting(FaceFinder):
    """Takes its process along while it is loaded."""

    def __init__(self, *paths: object) -> None:
        os._exit(3)


def prepare(folder: Path, out: Path, finder: type, *, workers: int = 2, seconds: float | None = 15.0) -> PrepareReport:
    (folder / "model.task").write_bytes(b"model")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(videos, "FaceFinder", finder)
        return prepare_videos(
            [folder / "in"],
            out,
            face_landmarker_path=folder / "model.task",
            size=64,
            workers=workers,
            timeout_minutes=None if seconds is None else seconds / 60,
        )


def plain(report: PrepareReport) -> list[SourceRecord]:
    """The records without what depends on the machine."""
    return [replace(record, seconds_taken=0.0) for record in report.records]


def files(out: Path) -> dict[str, bytes]:
    """Every clip's files, byte for byte."""
    found = (file for folder in clip_folders(out) for file in folder.iterdir())
    return {
        str(file.relative_to(out)): file.read_bytes() for file in found if file.is_file() and file.name != "report.json"
    }


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two good videos, one that kills its worker once, one that does so every time, one that hangs."""
    folder = tmp_path_factory.mktemp("sources")
    (folder / "in").mkdir()
    talk(folder / "in" / "a.mp4", 1.2)
    talk(folder / "in" / "b.mp4", 1.6)
    trap(folder / "in" / "dies_once.mp4", WHITE)
    trap(folder / "in" / "dies_always.mp4", CYAN)
    trap(folder / "in" / "hangs.mp4", BLUE)
    return folder


@pytest.fixture(scope="module")
def alone(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PrepareReport]:
    """The same videos in this process, without traps."""
    out = tmp_path_factory.mktemp("alone")
    return out, prepare(sources, out, ColourFinder, workers=1, seconds=None)


@pytest.fixture(scope="module")
def trapped(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PrepareReport]:
    """With two worker processes and all the traps."""
    out = tmp_path_factory.mktemp("trapped")
    return out, prepare(sources, out, TrapFinder)


def only(report: PrepareReport, name: str) -> SourceRecord:
    (record,) = [record for record in report.records if Path(record.source).name == name]
    return record


@pytest.mark.parametrize("name", ["a.mp4", "b.mp4", "dies_once.mp4"])
def test_workers_that_die_or_hang_change_no_other_source(alone, trapped, name) -> None:
    before, after = (replace(only(report, name), seconds_taken=0.0) for _, report in (alone, trapped))
    assert after == before
    assert after.clips
    for clip in after.clips:
        for suffix in (".mp4", ".wav", ".json", ".landmarks.safetensors"):
            after_file, before_file = (clip_file(folder, clip.key, suffix) for folder in (trapped[0], alone[0]))
            assert after_file.read_bytes() == before_file.read_bytes()


def test_a_source_that_hangs_is_given_up_on_with_its_reason(trapped) -> None:
    (rejection,) = only(trapped[1], "hangs.mp4").rejections
    assert rejection.reason == Reason.UNDECODABLE
    assert rejection.detail.startswith("not done within 0.25 minutes, given up")
    assert "--timeout-minutes" in rejection.detail


def test_a_source_that_kills_every_worker_is_rejected(trapped) -> None:
    (rejection,) = only(trapped[1], "dies_always.mp4").rejections
    assert rejection.reason == Reason.UNDECODABLE
    assert rejection.detail == "the decoder or the face model crashed on this file, 2 times"


def test_sources_given_up_on_are_tried_again_only_under_another_limit(sources, trapped) -> None:
    out, report = trapped
    same = prepare(sources, out, ColourFinder)
    assert same.resumed == 5
    assert same.records == report.records
    other = prepare(sources, out, ColourFinder, workers=1, seconds=None)
    assert other.resumed == 4
    assert only(other, "hangs.mp4").clips


@pytest.mark.parametrize(
    ("finder", "error", "message"),
    [
        (NoModel, ModelError, "not a face landmarker"),
        (Exiting, RuntimeError, r"3 workers died .* \(exit code 3\).*__main"),
    ],
)
def test_workers_that_cannot_start_end_the_run(sources, tmp_path, monkeypatch, finder, error, message) -> None:
    # In a worker process this file is no module of its own.
    monkeypatch.setitem(sys.modules, "test_prepare_executors", sys.modules[__name__])
    monkeypatch.setattr(finder, "__module__", "test_prepare_executors")
    with pytest.raises(error, match=message):
        prepare(sources, tmp_path, finder)


@pytest.fixture
def broken_source(monkeypatch: pytest.MonkeyPatch):
    """Lets every source fail with an error."""

    def fail_with(error: Exception) -> None:
        def prepare_source(*_: object) -> SourceRecord:
            raise error

        monkeypatch.setattr(executors, "prepare_source", prepare_source)

    return fail_with


def test_an_error_nobody_foresaw_rejects_its_source_until_the_next_run(sources, tmp_path, broken_source) -> None:
    broken_source(IndexError("tuple index"))
    for _ in range(2):
        report = prepare(sources, tmp_path, ColourFinder, workers=1, seconds=None)
        assert report.resumed == 0
        assert [rejection.reason for rejection in report.rejections] == [Reason.UNDECODABLE] * 5
        assert "IndexError: tuple index, at test_prepare_executors.py:" in report.rejections[0].detail


def test_a_full_disk_ends_the_run_and_blames_no_source(sources, tmp_path, broken_source) -> None:
    broken_source(OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(OSError, match=r"No space left on device: .*out"):
        prepare(sources, tmp_path / "out", ColourFinder, workers=1, seconds=None)
    assert not list((tmp_path / "out" / ".prepare").iterdir())


def test_senseless_time_limits_are_refused(sources, tmp_path) -> None:
    with pytest.raises(ValueError, match=r"timeout_minutes must be positive, got 0.0; None sets no limit"):
        prepare(sources, tmp_path, ColourFinder, seconds=0.0)


def start(folder: Path, out: Path, finder: type) -> subprocess.Popen[bytes]:
    """``prepare_videos`` in a process group of its own."""
    script = folder / f"{finder.__name__}.py"
    script.write_text(SCRIPT.format(finder=finder.__name__))
    command = [sys.executable, script, folder / "in", out, folder / "model.task"]
    # Before what is there: it may say which fada is tested.
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    return subprocess.Popen(command, start_new_session=True, env=os.environ | environment)


def finished(out: Path) -> dict[str, int]:
    """Records of finished sources, and when each was written."""
    return {file.name: file.stat().st_mtime_ns for file in (out / ".prepare").glob("[0-9a-f]*.json")}


def wait_until(condition) -> None:
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("nothing happened for a minute")


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Six videos of different content."""
    (tmp_path / "in").mkdir()
    for number in range(6):
        talk(tmp_path / "in" / f"v{number}.mp4", 1.2 + 0.2 * number)
    (tmp_path / "model.task").write_bytes(b"model")
    return tmp_path


def test_killed_at_any_point_and_repeated_it_ends_as_the_unbroken_run(many: Path) -> None:
    unbroken = prepare(many, many / "unbroken", ColourFinder, workers=1, seconds=None)
    out = many / "broken"
    moments = (
        lambda: (out / ".prepare").is_dir(),
        lambda: any(out.glob("??/.*.partial*")),
        lambda: len(finished(out)) >= 1,
        lambda: len(finished(out)) >= 4,
    )
    done: dict[str, int] = {}
    for moment in moments:
        process = start(many, out, ColourFinder)
        wait_until(lambda moment=moment, process=process: moment() or process.poll() is not None)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        # What was finished before is as it was: nothing is done twice.
        assert done.items() <= finished(out).items()
        done = finished(out)
    report = prepare(many, out, ColourFinder, workers=1, seconds=None)
    assert report.resumed == len(done) >= 4
    assert done.items() <= finished(out).items()
    assert plain(report) == plain(unbroken)
    assert files(out) == files(many / "unbroken")


def test_hanging_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    trap(tmp_path / "in" / "hangs.mp4", BLUE)
    (tmp_path / "model.task").write_bytes(b"model")
    process = start(tmp_path, tmp_path / "out", TrapFinder)
    wait_until(lambda: list(tmp_path.glob("worker-*")))
    (worker,) = (int(file.name.removeprefix("worker-")) for file in tmp_path.glob("worker-*"))
    assert psutil.pid_exists(worker)
    process.kill()
    process.wait()
    wait_until(lambda: not psutil.pid_exists(worker) or psutil.Process(worker).status() == psutil.STATUS_ZOMBIE)
