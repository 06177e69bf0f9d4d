"""``fada data prepare``: many raw videos into a folder of clips, in parallel, resumable, with a report.

Each finished source leaves a record under ``.prepare/`` in the output folder. The next call skips it when content,
settings and models are the same and its clips are still there; anything else of that source is removed and redone.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain
from operator import attrgetter
from pathlib import Path

from fada.data.prepare.executors import LoadFinder, Task, gone, limit_name, load_attempt, run_here, run_with
from fada.data.prepare.identities import Identity, KnownIdentities, relative_names
from fada.data.prepare.models import FaceFinder, check_model
from fada.data.prepare.reasons import Limits, Reason, Rejection
from fada.data.prepare.records import Records, was_prepared
from fada.data.prepare.report import PrepareReport, SourceRecord
from fada.data.prepare.source import PrepareSettings
from fada.data.workers.process_crew import ProcessCrew
from fada.data.workers.ray_crew import RayCrew, cluster_address
from fada.files.manifest import hash_file
from fada.files.outputs import output_folder
from fada.media.error import MediaError
from fada.media.processors import usable_processors

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
KIND = "clips"
"""What fada's mark says in a folder of prepared clips."""
_VERSION = 3
"""Raise when prepare would make other clips of the same video; old records are then redone."""


@dataclass(frozen=True)
class PrepareProgress:
    """Told after each source."""

    done: int
    total: int
    record: SourceRecord
    is_resumed: bool


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
    workers: int | None = None,
    timeout_minutes: float | None = None,
    cluster: str | None = None,
    on_progress: Callable[[PrepareProgress], None] | None = None,
) -> PrepareReport:
    """Turn raw videos into face-cropped clips, and account for every second that did not become one.

    Args:
        paths: videos, or folders that are searched for videos by extension.
        out: folder for report.json, with KEY.mp4, KEY.wav, KEY.json and KEY.landmarks.safetensors in sub-folders.
        face_landmarker_path: MediaPipe's face landmarker (.task); its SHA-256 goes into the report.
        face_detector_path: MediaPipe's face detector (.tflite); optional, speeds up the search for small faces.
        size: side of the square clips in pixels.
        fps: frames per second of the clips.
        min_seconds: shorter stretches are rejected.
        max_seconds: longer stretches are cut into equal parts.
        margin: side of the square in face heights (forehead to chin).
        correct_offset: shift the sound where it is clearly off by up to 6 frames.
        test_share: share of identities marked as test clips.
        identities: path below the given folder, or file name, to identity; a file not named is an identity of its own,
            named after its path.
        limits: where rejection begins.
        workers: how many work at once; None is 1, on a cluster one per processor.
        timeout_minutes: a source that takes longer is given up on; None waits for ever. One worker without a limit
            works in this process.
        cluster: "ray" for a Ray cluster that runs here, or else one of our own; "ray=HOST:PORT" for that one. ``out``,
            the videos and the models must then lie on a disk that all its machines see.
        on_progress: called after each source.

    Returns:
        The report, also written to ``out``/report.json.

    Raises:
        MediaError: a path does not exist or no path is a video, or ``out`` cannot be written.
        FolderFault: ``out`` holds a video or lies in a folder of them, or holds what fada did not make.
        FolderBusy: another command works in ``out``.
        ClusterError: ray is not installed, or the cluster cannot be used.
        ModelError: a model is missing or unusable, or mediapipe is not installed.
    """
    settings = PrepareSettings(
        size, fps, min_seconds, max_seconds, margin, correct_offset, test_share, limits or Limits()
    )
    _check(settings, workers, timeout_minutes, cluster)
    given = [Path(path) for path in paths]
    files, ignored = find_videos(given)
    names = relative_names(files, [path for path in given if path.is_dir()])
    out = Path(out)
    model_paths: dict[str, str | os.PathLike[str]] = {"face landmarker": face_landmarker_path}
    if face_detector_path is not None:
        model_paths["face detector"] = face_detector_path
    models = {Path(path).name: check_model(path, kind) for kind, path in model_paths.items()}
    if cluster is not None:
        # Elsewhere another folder is the current one.
        names = {path.absolute(): name for path, name in names.items()}
        files, out = list(names), out.absolute()
        model_paths = {kind: Path(path).absolute() for kind, path in model_paths.items()}
    timeout_seconds = None if timeout_minutes is None else 60 * timeout_minutes
    with _held(out, given):
        done = Records(out)
        known = KnownIdentities(identities, names, done.named_by_path())
        records: dict[Path, SourceRecord] = {}
        resumed = 0

        def finish(path: Path, record: SourceRecord, is_resumed: bool = False) -> None:
            records[path] = record
            if on_progress is not None:
                on_progress(PrepareProgress(len(records), len(files), record, is_resumed))

        def tasks() -> Iterator[Task]:
            """The sources that are left to do; taken one by one, so that hashing goes on while others are worked on."""
            nonlocal resumed
            first_with: dict[str, Path] = {}
            for path in files:
                try:
                    sha256 = _hash_file(path)
                except OSError as error:
                    finish(path, _not_done(path, "", Reason.UNDECODABLE, f"cannot be read: {error.strerror}"))
                    continue
                if sha256 in first_with:
                    finish(path, _not_done(path, sha256, Reason.DUPLICATE, f"same content as {first_with[sha256]}"))
                    continue
                first_with[sha256] = path
                if not done.claim_keys(sha256, path.stem):
                    detail = "its clips would have the names of another video's clips; rename the file"
                    finish(path, _not_done(path, sha256, Reason.UNDECODABLE, detail))
                    continue
                identity = known.of(path, sha256)
                fingerprint = _fingerprint(settings, models, identity)
                given_up = fingerprint if timeout_seconds is None else f"{fingerprint}-{limit_name(timeout_seconds)}"
                earlier = done.finished(sha256, path.stem, (fingerprint, given_up))
                if earlier is not None:
                    resumed += 1
                    finish(path, earlier, is_resumed=True)
                else:
                    yield Task(path, sha256, identity, out, settings, fingerprint)

        load_finder = partial(FaceFinder, *model_paths.values())
        for task, record in _run(tasks(), load_finder, out, workers, timeout_seconds, cluster):
            done.write(record)
            finish(task.path, record)
        ordered = tuple(records[path] for path in files)
        report = PrepareReport(out, ordered, models, asdict(settings), resumed, tuple(str(path) for path in ignored))
        report.write()
        return report


@contextmanager
def _held(out: Path, given: list[Path]) -> Iterator[None]:
    """The folder of clips, ours and apart from the videos, while the block runs."""
    with ExitStack() as held:
        try:
            held.enter_context(output_folder(out, KIND, "preparing clips", inputs=given, was_ours=was_prepared))
        except OSError as error:
            raise MediaError(
                f"{out}: clips cannot be written there ({error.strerror}); choose another folder"
            ) from error
        yield


def _not_done(path: Path, sha256: str, reason: Reason, detail: str) -> SourceRecord:
    rejection = Rejection(str(path), reason, 0.0, None, detail)
    return SourceRecord(str(path), sha256, "not done", None, 0.0, (), (rejection,))


def _check(settings: PrepareSettings, workers: int | None, timeout_minutes: float | None, cluster: str | None) -> None:
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
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    if timeout_minutes is not None and not timeout_minutes > 0:
        raise ValueError(f"timeout_minutes must be positive, got {timeout_minutes}; None sets no limit")
    if cluster is not None:
        cluster_address(cluster)


def find_videos(paths: Iterable[str | os.PathLike[str]]) -> tuple[list[Path], list[Path]]:
    """Videos to prepare, each once, and files of given folders that were left out.

    A file named outright is always taken, whatever its extension.

    Raises:
        MediaError: a path does not exist, a folder cannot be listed, or nothing is left to do.
    """
    videos: dict[Path, None] = {}
    ignored: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            for file in _files_below(path):
                if file.suffix.lower() in VIDEO_EXTENSIONS:
                    videos[file] = None
                else:
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


def _files_below(folder: Path) -> list[Path]:
    """Everything but folders, broken links too: what cannot be read shall be reported, not passed over."""

    def refuse(error: OSError) -> None:
        raise MediaError(f"{error.filename}: the folder cannot be listed ({error.strerror})") from error

    return sorted(Path(root, name) for root, _, names in os.walk(folder, onerror=refuse) for name in names)


def _hash_file(path: Path) -> str:
    """SHA-256 of a file.

    Raises:
        OSError: it cannot be read.
    """
    if path.exists() and not path.is_file():
        # A pipe would keep us waiting for ever.
        raise OSError(0, "not a regular file")
    return hash_file(path)


def _fingerprint(settings: PrepareSettings, models: dict[str, str], identity: Identity) -> str:
    facts = {"version": _VERSION, "settings": asdict(settings), "models": sorted(models.values()), "identity": identity}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _run(
    tasks: Iterable[Task],
    load_finder: LoadFinder,
    out: Path,
    workers: int | None,
    timeout_seconds: float | None,
    cluster: str | None,
) -> Iterator[tuple[Task, SourceRecord]]:
    tasks = iter(tasks)
    first = next(tasks, None)
    if first is None:
        return
    tasks = chain([first], tasks)
    start = partial(load_attempt, load_finder)
    if cluster is not None:
        with RayCrew(cluster_address(cluster), workers, start, out, source_of=attrgetter("path"), gone=gone) as crew:
            yield from run_with(tasks, crew, timeout_seconds)
    elif (workers or 1) == 1 and timeout_seconds is None:
        yield from run_here(tasks, load_finder)
    else:
        size = workers or 1
        processes = ProcessCrew(size, start, max(1, usable_processors() // size))
        yield from run_with(tasks, processes, timeout_seconds)
