"""``fada data prepare``: many raw videos into a folder of clips, in parallel, resumable, with a report.

Each finished source leaves a record under ``.prepare/`` in the output folder. The next call skips it when content,
settings and models are the same and its clips are still there; anything else of that source is removed and redone.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path

from fada.data.prepare.models import FaceFinder, check_model
from fada.data.prepare.reasons import Limits, Reason, Rejection
from fada.data.prepare.report import PrepareReport, SourceRecord
from fada.data.prepare.source import PrepareSettings, prepare_source
from fada.media.container import write_bytes
from fada.media.error import MediaError

VIDEO_EXTENSIONS = frozenset(
    [
        ".mp4",
        ".m4v",
        ".mov",
        ".mkv",
        ".webm",
        ".avi",
        ".mpg",
        ".mpeg",
        ".ts",
        ".mts",
        ".m2ts",
        ".flv",
        ".wmv",
        ".3gp",
        ".ogv",
        ".vob",
        ".mxf",
    ]
)
_VERSION = 1
"""Raise when prepare would make other clips of the same video; old records are then redone."""


@dataclass(frozen=True)
class PrepareProgress:
    """Told after each source."""

    done: int
    total: int
    record: SourceRecord
    is_resumed: bool


@dataclass(frozen=True)
class _Task:
    path: Path
    sha256: str
    identity: str
    out: Path
    settings: PrepareSettings
    fingerprint: str


def prepare_videos(
    paths: Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    face_landmarker_path: str | os.PathLike[str],
    face_detector_path: str | os.PathLike[str] | None = None,
    size: int = 512,
    fps: float = 25.0,
    min_seconds: float = 1.0,
    max_seconds: float = 10.0,
    margin: float = 1.9,
    correct_offset: bool = True,
    test_share: float = 0.0,
    identities: Mapping[str, str] | None = None,
    limits: Limits | None = None,
    workers: int = 1,
    on_progress: Callable[[PrepareProgress], None] | None = None,
) -> PrepareReport:
    """Turn raw videos into face-cropped clips, and account for every second that did not become one.

    Args:
        paths: videos, or folders that are searched for videos by extension.
        out: folder for KEY.mp4, KEY.wav, KEY.json, KEY.landmarks.safetensors and report.json.
        face_landmarker_path: MediaPipe's face landmarker (.task); its SHA-256 goes into the report.
        face_detector_path: MediaPipe's face detector (.tflite); optional, speeds up the search for small faces.
        size: side of the square clips in pixels.
        fps: frames per second of the clips.
        min_seconds: shorter stretches are rejected.
        max_seconds: longer stretches are cut into equal parts.
        margin: side of the square in face heights (forehead to chin).
        correct_offset: shift the sound where it is clearly off by up to 6 frames.
        test_share: share of identities marked as test clips.
        identities: file name to identity; a file not named is an identity of its own.
        limits: where rejection begins.
        workers: processes; 1 works in this one.
        on_progress: called after each source.

    Returns:
        The report, also written to ``out``/report.json.

    Raises:
        MediaError: a path does not exist or no path is a video.
        ModelError: a model is missing or unusable, or mediapipe is not installed.
    """
    settings = PrepareSettings(
        size, fps, min_seconds, max_seconds, margin, correct_offset, test_share, limits or Limits()
    )
    _check(settings, workers)
    files, ignored = find_videos(paths)
    models = {Path(face_landmarker_path).name: check_model(face_landmarker_path, "face landmarker")}
    if face_detector_path is not None:
        models[Path(face_detector_path).name] = check_model(face_detector_path, "face detector")
    out = Path(out)
    (out / ".prepare").mkdir(parents=True, exist_ok=True)
    records: dict[Path, SourceRecord] = {}
    tasks: list[_Task] = []
    total, resumed = len(files), 0

    def finish(path: Path, record: SourceRecord, is_resumed: bool = False) -> None:
        records[path] = record
        if on_progress is not None:
            on_progress(PrepareProgress(len(records), total, record, is_resumed))

    first_with: dict[str, Path] = {}
    for path in files:
        sha256 = _hash_file(path)
        identity = (identities or {}).get(path.name, path.stem)
        fingerprint = _fingerprint(settings, models, identity)
        if sha256 in first_with:
            detail = f"same content as {first_with[sha256]}"
            rejection = Rejection(str(path), Reason.DUPLICATE, 0.0, None, detail)
            finish(path, SourceRecord(str(path), sha256, fingerprint, None, 0.0, (), (rejection,)))
            continue
        first_with[sha256] = path
        done = _finished_record(out, sha256, fingerprint)
        if done is not None:
            resumed += 1
            finish(path, done, is_resumed=True)
        else:
            tasks.append(_Task(path, sha256, identity, out, settings, fingerprint))
    model_paths = (face_landmarker_path, face_detector_path)
    for task, record in _run(tasks, workers, model_paths):
        write_bytes(_record_path(out, task.sha256), json.dumps(record.to_json()).encode())
        finish(task.path, record)
    ordered = tuple(records[path] for path in files)
    report = PrepareReport(out, ordered, models, asdict(settings), resumed, tuple(str(path) for path in ignored))
    report.write()
    return report


def _check(settings: PrepareSettings, workers: int) -> None:
    for name in ("size", "fps", "min_seconds", "max_seconds", "margin"):
        if not getattr(settings, name) > 0:
            raise ValueError(f"{name} must be positive, got {getattr(settings, name)}")
    if settings.max_seconds < 2 * settings.min_seconds:
        # A stretch just over max_seconds is halved; its halves must still be long enough.
        raise ValueError(
            f"max_seconds must be at least twice min_seconds, got {settings.max_seconds} and {settings.min_seconds}"
        )
    if not 0 <= settings.test_share <= 1:
        raise ValueError(f"test_share must lie in [0, 1], got {settings.test_share}")
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")


def find_videos(paths: Iterable[str | os.PathLike[str]]) -> tuple[list[Path], list[Path]]:
    """Videos to prepare, each once, and files of given folders that were left out.

    A file named outright is always taken, whatever its extension.

    Raises:
        MediaError: a path does not exist, or nothing is left to do.
    """
    videos: dict[Path, None] = {}
    ignored: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            for file in sorted(path.rglob("*")):
                if file.is_file() and file.suffix.lower() in VIDEO_EXTENSIONS:
                    videos[file] = None
                elif file.is_file():
                    ignored.append(file)
        elif path.exists():
            videos[path] = None
        else:
            raise MediaError(f"{path}: no such file or folder")
    if not videos:
        raise MediaError(
            f"no videos to prepare: the folders hold {len(ignored)} files, none with a video's extension; "
            "name files outright to try them all the same"
        )
    return list(videos), ignored


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fingerprint(settings: PrepareSettings, models: dict[str, str], identity: str) -> str:
    facts = {"version": _VERSION, "settings": asdict(settings), "models": sorted(models.values()), "identity": identity}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _record_path(out: Path, sha256: str) -> Path:
    return out / ".prepare" / f"{sha256}.json"


def _finished_record(out: Path, sha256: str, fingerprint: str) -> SourceRecord | None:
    """What an earlier call left, if it still holds; otherwise its remains are removed."""
    path = _record_path(out, sha256)
    try:
        record = SourceRecord.from_json(json.loads(path.read_text()))
    except (OSError, ValueError, KeyError, TypeError):
        record = None
    if record is not None and record.settings == fingerprint:
        suffixes = (".mp4", ".wav", ".json", ".landmarks.safetensors")
        if all((out / f"{clip.key}{suffix}").is_file() for clip in record.clips for suffix in suffixes):
            return record
    path.unlink(missing_ok=True)
    for leftover in out.glob(f"*-{sha256[:8]}-[0-9][0-9][0-9]*"):
        leftover.unlink()
    return None


_finder: FaceFinder | None = None
"""The models of this worker process."""


def _start_worker(model_paths: tuple[str | os.PathLike[str], str | os.PathLike[str] | None]) -> None:
    global _finder
    _finder = FaceFinder(*model_paths)


def _work(task: _Task) -> SourceRecord:
    assert _finder is not None
    return _prepare(task, _finder)


def _prepare(task: _Task, finder: FaceFinder) -> SourceRecord:
    return prepare_source(task.path, task.sha256, task.out, task.settings, task.fingerprint, finder, task.identity)


def _run(
    tasks: list[_Task], workers: int, model_paths: tuple[str | os.PathLike[str], str | os.PathLike[str] | None]
) -> Iterator[tuple[_Task, SourceRecord]]:
    if not tasks:
        return
    if workers == 1:
        with FaceFinder(*model_paths) as finder:
            for task in tasks:
                yield task, _prepare(task, finder)
        return
    # Loaded here first, so that an unusable model is one clear error and not a broken pool.
    FaceFinder(*model_paths).close()
    crashed: list[_Task] = []
    with _pool(min(workers, len(tasks)), model_paths) as pool:
        futures = {pool.submit(_work, task): task for task in tasks}
        try:
            for future in as_completed(futures):
                try:
                    yield futures[future], future.result()
                except BrokenProcessPool:
                    crashed.append(futures[future])
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    # One file made a worker die and took the others' work with it: each once more, alone.
    for task in crashed:
        try:
            with _pool(1, model_paths) as pool:
                record = pool.submit(_work, task).result()
        except BrokenProcessPool:
            detail = "the decoder or the face model crashed on this file"
            rejection = Rejection(str(task.path), Reason.UNDECODABLE, 0.0, None, detail)
            record = SourceRecord(str(task.path), task.sha256, task.fingerprint, None, 0.0, (), (rejection,))
        yield task, record


def _pool(
    workers: int, model_paths: tuple[str | os.PathLike[str], str | os.PathLike[str] | None]
) -> ProcessPoolExecutor:
    # Spawned, not forked: MediaPipe's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker, initargs=(model_paths,))
