"""Scores of a whole folder of clips: in parallel, and only of clips that have none yet.

Each clip's scores are kept in `.scores/KEY.json`, in sub-folders as the clips; the table is made of them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

from fada.data.clips.clip import ClipError, list_clips, read_clip, read_record
from fada.data.clips.clip_files import clip_file
from fada.data.prepare.models import FaceFinder, check_model
from fada.data.sampling.pool import in_processes, on_cluster
from fada.data.scores import dnsmos, voice
from fada.data.scores.catalogue import SCORES
from fada.data.scores.dnsmos import SpeechQuality
from fada.data.scores.face import find_face
from fada.data.scores.measure import VERSION, Scores, score_clip
from fada.data.scores.quality import ImageQuality
from fada.data.scores.syncnet import SyncNet, SyncNetError
from fada.data.scores.voice import VoiceLikeness
from fada.data.stages import add_up
from fada.data.workers.crew import Lost
from fada.engine.clock import Clock
from fada.files.manifest import hash_file
from fada.files.whole import write_text

Reasons = dict[str, str]
"""Why scores are missing, by score."""
Identity = tuple[str, ...]
"""SHA-256 of the face model, the metric of image quality, SHA-256 of SyncNet's weights; where DNSMOS and the speaker
embedding are used, theirs."""


@dataclass(frozen=True)
class Models:
    """What scoring may use besides the clips themselves."""

    face_landmarker: Path | None = None
    """MediaPipe's model, for clips that have no landmarks beside them."""
    iqa: str | None = None
    """A metric of pyiqa."""
    iqa_weights: Path | None = None
    syncnet: Path | None = None
    """SyncNet's weights."""
    dnsmos: Path | None = None
    """DNSMOS's network."""
    voices: Path | None = None
    """The speaker embedding's weights."""

    def absolute(self) -> Models:
        """The same by absolute paths."""
        given: dict[str, Any] = {each.name: getattr(self, each.name) for each in fields(self)}
        given |= {name: path.absolute() for name, path in given.items() if isinstance(path, Path)}
        return Models(**given)

    def identity(self) -> Identity:
        """What scores depend on.

        Raises:
            ModelError: the face model is missing.
            SyncNetError: SyncNet's weights are missing.
            SpeechQualityError: DNSMOS's network is missing, or another file.
            VoiceError: the speaker embedding's weights are, likewise.
        """
        if self.syncnet is not None and not self.syncnet.is_file():
            raise SyncNetError(f"--syncnet {self.syncnet}: no such file; give syncnet_v2.model")
        face = "" if self.face_landmarker is None else check_model(self.face_landmarker, "face landmarker")
        lips = "" if self.syncnet is None else hash_file(self.syncnet)
        # Only where they are used: scores from before there were these stay what they are.
        speech = () if self.dnsmos is None else (dnsmos.check_weights(self.dnsmos),)
        speaker = () if self.voices is None else (voice.check_weights(self.voices),)
        return (face, self.iqa or "", lips, *speech, *speaker)


@dataclass(frozen=True)
class _Tools:
    """The models, loaded."""

    finder: FaceFinder | None
    quality: ImageQuality | None
    syncnet: SyncNet | None
    dnsmos: SpeechQuality | None
    voices: VoiceLikeness | None

    @classmethod
    def load(cls, models: Models) -> _Tools:
        return cls(
            None if models.face_landmarker is None else FaceFinder(models.face_landmarker),
            None if models.iqa is None else ImageQuality(models.iqa, models.iqa_weights),
            None if models.syncnet is None else SyncNet(models.syncnet),
            None if models.dnsmos is None else SpeechQuality(models.dnsmos),
            None if models.voices is None else VoiceLikeness(models.voices),
        )

    def close(self) -> None:
        if self.finder is not None:
            self.finder.close()


@dataclass(frozen=True)
class ScoredFolder:
    """What a call of `score_folder` found."""

    scores: dict[str, Scores]
    """By clip."""
    measured: int
    kept: int
    """Clips whose scores were there already."""
    damaged: dict[str, str] = field(default_factory=dict)
    """Clips that could not be read, and why."""
    unmeasured: dict[str, Reasons] = field(default_factory=dict)
    """By clip, where there are any: scores that it could not be given, and why."""
    stages: dict[str, float] = field(default_factory=dict)
    """Seconds by stage, of all that was measured."""


def score_folder(
    folder: Path,
    models: Models | None = None,
    *,
    workers: int | None = 1,
    cluster: str | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> ScoredFolder:
    """Measure every clip of a folder that has not been measured as it is now.

    Args:
        models: what to use besides the clips.
        workers: processes; 1 works in this one; None on a cluster is one per processor.
        cluster: as of `prepare_videos`; the clips and models must lie where all its machines see them.
        on_progress: called with (clips done, clips in all).

    Raises:
        ClipError: there is no such folder.
        ModelError: the face model is missing or unusable.
        QualityError: the metric of image quality cannot be had.
        SyncNetError: SyncNet cannot be had.
        SpeechQualityError: DNSMOS cannot be had.
        VoiceError: the speaker embedding cannot be had.
        ClusterError: ray is not installed, or the cluster cannot be used.
    """
    models = models or Models()
    if cluster is not None:
        # Other machines stand in other folders.
        folder, models = folder.absolute(), models.absolute()
    model = models.identity()
    keys = list_clips(folder)
    scores: dict[str, Scores] = {}
    reasons: dict[str, Reasons] = {}
    for key in keys:
        kept = _kept(folder, key, model)
        if kept is not None:
            scores[key], reasons[key] = kept
    missing = [key for key in keys if key not in scores]
    there = len(scores)
    damaged: dict[str, str] = {}
    stages: list[dict[str, float]] = []
    for number, (key, found) in enumerate(_run(folder, missing, models, model, workers, cluster), 1):
        if isinstance(found, str):
            damaged[key] = found
        else:
            scores[key], reasons[key], spent = found
            stages.append(spent)
        if on_progress is not None:
            on_progress(there + number, len(keys))
    ordered = {key: scores[key] for key in keys if key in scores}
    unmeasured = {key: reasons[key] for key in ordered if reasons[key]}
    return ScoredFolder(ordered, len(missing), there, damaged, unmeasured, add_up(stages))


def _state(folder: Path, key: str, model: Identity) -> str:
    """What a clip's scores depend on, without reading its pictures."""
    has_landmarks = clip_file(folder, key, ".landmarks.safetensors").is_file()
    files = [clip_file(folder, key, suffix) for suffix in (".mp4", ".wav")]
    sizes = [file.stat().st_size for file in files if file.is_file()]
    record = read_record(clip_file(folder, key, ".json"))
    record["meta"].pop("filter", None)
    face, *others = model
    # Landmarks that are there are used: then another face model changes nothing.
    facts = [VERSION, sizes, record, "landmarks" if has_landmarks else face, *others]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _path(folder: Path, key: str) -> Path:
    return clip_file(folder / ".scores", key, ".json")


def _kept(folder: Path, key: str, model: Identity) -> tuple[Scores, Reasons] | None:
    try:
        record = json.loads(_path(folder, key).read_bytes())
        # An earlier version knew fewer scores.
        kept: tuple[Scores, Reasons] = dict.fromkeys(SCORES) | record["scores"], record["unmeasured"]
        return kept if record["state"] == _state(folder, key, model) else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


Measured = tuple[Scores, Reasons, dict[str, float]]
"""Scores, why some are missing, and the seconds of each stage."""


def _measure(folder: Path, key: str, tools: _Tools, model: Identity) -> Measured | str:
    """Measure a clip and leave its scores on disk; what is wrong with it where it cannot be read."""
    clock = Clock()
    reasons: Reasons = {}
    try:
        with clock("read"):
            clip = read_clip(folder, key)
        with clock("face"):
            face = find_face(folder, clip, tools.finder)
        scores = score_clip(clip, face, tools.quality, tools.syncnet, tools.dnsmos, tools.voices, clock, reasons)
    except (ClipError, ValueError) as error:
        return str(error)
    kept = {"state": _state(folder, key, model), "scores": scores, "unmeasured": reasons}
    write_text(_path(folder, key), json.dumps(kept) + "\n")
    return scores, reasons, clock.rounded()


_tools: _Tools | None = None
"""The models of this worker process."""


def _start_worker(models: Models) -> None:
    global _tools
    _tools = _Tools.load(models)


def _work(folder: Path, model: Identity, key: str) -> Measured | str:
    assert _tools is not None
    return _measure(folder, key, _tools, model)


def _run(
    folder: Path, keys: list[str], models: Models, model: Identity, workers: int | None, cluster: str | None
) -> Iterator[tuple[str, Measured | str]]:
    if not keys:
        return
    tools = _Tools.load(models)
    try:
        if cluster is None and (workers == 1 or len(keys) < 2):
            for key in keys:
                yield key, _measure(folder, key, tools, model)
            return
    finally:
        # With several processes it was loaded so that an unusable model is one clear error and not a broken pool.
        tools.close()
    work = partial(_work, folder, model)
    outcomes: Iterator[tuple[str, Measured | str | Lost]]
    if cluster is None:
        outcomes = in_processes(work, keys, workers or 1, _start_worker, (models,))
    else:
        outcomes = on_cluster(
            work, keys, cluster, workers, _start_worker, (models,),
            folder=folder, file_of=lambda key: clip_file(folder, key, ".json"), gone=lambda key: "its record is gone",
        )  # fmt: skip
    for key, outcome in outcomes:
        if isinstance(outcome, Lost):
            yield (
                key,
                f"its worker died {outcome.attempts} times ({outcome.detail}): killed, crashed, or no memory was left",
            )
        else:
            yield key, outcome
