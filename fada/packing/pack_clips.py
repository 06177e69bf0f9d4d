"""One shard of clips: what a worker of `fada data shard` does.

A shard is written whole or not at all: a clip that cannot be read stops its shard and no other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fada.data.clips.clip import REJECTED, Clip, ClipError, read_clip, read_record
from fada.data.clips.clip_files import clip_file
from fada.data.clips.sample_emotion import with_emotion
from fada.data.clips.sample_keypoints import with_keypoints
from fada.data.prepare.masks import read_landmarks
from fada.data.shards.files import write_tar
from fada.data.shards.index import ShardInfo
from fada.data.shards.location import Location
from fada.data.shards.reading import Sample
from fada.data.shards.rows import rows_of
from fada.data.shards.table import table_of
from fada.packing.shard_records import Finished, put_record
from fada.packing.shards_in_making import ShardFault
from fada.packing.tools import Tools, with_features

NOTES = ".shard"
"""Folder of the records, in that of the shards."""
_FILES = (".mp4", ".wav", ".landmarks.safetensors")
"""A clip's files beside its record."""


@dataclass(frozen=True)
class PackTask:
    """One shard and the clips that it shall hold.

    folder: of the clips; clips: key and decision of the filter (None where there is none), in their order; keeps: parts
    of frames and audio that stay.
    """

    folder: Path
    clips: tuple[tuple[str, Any], ...]
    number: int
    out: str
    made_of: dict[str, str]
    keeps: tuple[str, ...]

    @property
    def named(self) -> str:
        return f"{self.folder}: clips {self.clips[0][0]} to {self.clips[-1][0]}"

    @property
    def file(self) -> Path | None:
        return clip_file(self.folder, self.clips[0][0], ".json")


def state_of(folder: Path, record: dict[str, Any], decision: Any) -> str:
    """What a clip in a shard follows from: its record and its decision, and size and time of its other files."""
    files = {}
    for suffix in _FILES:
        file = clip_file(folder, record["key"], suffix)
        if file.is_file():
            found = file.stat()
            files[suffix] = (found.st_size, found.st_mtime_ns)
    return json.dumps([record, decision, files], sort_keys=True)


def hash_states(states: Iterable[str]) -> str:
    """SHA-256 over what the clips of a shard follow from."""
    digest = hashlib.sha256()
    for state in states:
        digest.update(state.encode() + b"\0")
    return digest.hexdigest()


def pack_clips(task: PackTask, tools: Tools) -> ShardInfo | ShardFault:
    """Write a shard of clips and put it, whole, with its record; nothing is put where one of them cannot be read.

    Raises:
        LocationError: an object store stays away.
        OSError: the output cannot be written.
    """
    out = Location(task.out)
    with ExitStack() as held:
        scratch, notes = (held.enter_context(each.scratch()) for each in (out, out / NOTES))
        try:
            made = write_tar(scratch / "packed.tar", task.number, _samples(task, tools))
            states = [state_of(task.folder, _record(task.folder, key), decision) for key, decision in task.clips]
        except ClipError as error:
            return ShardFault(str(error))
        if hash_states(states) != task.made_of["input"]:
            return ShardFault(f"{task.named}: were changed while they were packed")
        table = table_of(rows_of(scratch / "packed.tar", 0, lambda *_: None, with_sums=True))
        out.put(scratch / "packed.tar", made.name)
        put_record(out / NOTES, notes, task.number, Finished(task.made_of, made), table)
    return made


def gone(task: PackTask) -> ShardFault:
    """What comes of clips that are not there."""
    return ShardFault(f"{task.file}: no such clip any more")


def labelled(meta: dict[str, Any], folder: Path, key: str) -> dict[str, Any]:
    """A clip's meta, where there is a decision of the filter with its set as `quality`, what failed as `flaws`.

    Raises:
        ClipError: what stands there is no decision.
    """
    decision = meta.get("filter")
    if decision is None:
        return meta
    has_all = isinstance(decision, dict) and {"set", "failed_strict"} <= decision.keys()
    if not has_all or decision["set"] not in ("A", "B", None) or not _are_names(decision["failed_strict"]):
        raise ClipError(
            f"{clip_file(folder, key, '.json')}: filter: expected a set (A, B or null) and failed_strict, got "
            f"{decision!r}; run fada data filter again"
        )
    return {**meta, "quality": decision["set"] or REJECTED, "flaws": list(decision["failed_strict"])}


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) and each.isprintable() for each in value)


def decided(meta: dict[str, Any], decision: Any) -> dict[str, Any]:
    """A clip's meta with a decision of the table of scores, where there is one."""
    if decision is None:
        return meta
    # At the end, where the record of an earlier version's clip has it.
    return {**{name: value for name, value in meta.items() if name != "filter"}, "filter": decision}


def landmarks_file(folder: Path, key: str) -> Path:
    """Where prepare stores a clip's landmarks."""
    return clip_file(folder, key, ".landmarks.safetensors")


def _record(folder: Path, key: str) -> dict[str, Any]:
    return read_record(clip_file(folder, key, ".json"))


def _samples(task: PackTask, tools: Tools) -> Iterator[Sample]:
    samples = (_read_sample(task.folder, key, decision) for key, decision in task.clips)
    try:
        yield from with_features(samples, tools, task.keeps)
    except ClipError:
        raise
    except ValueError as error:
        raise ClipError(f"{task.folder}: {error}") from error


def _read_sample(folder: Path, key: str, decision: Any) -> Sample:
    clip = read_clip(folder, key)
    meta = labelled(decided(clip.meta, decision), folder, key)
    sample = Sample(
        key, meta, clip.frames, clip.audio, landmarks=_landmarks(folder, clip), fps=clip.fps,
        sample_rate=clip.sample_rate,
    )  # fmt: skip
    try:
        return next(with_emotion(with_keypoints([sample])))
    except ValueError as error:
        raise ClipError(f"{folder}: {error}") from error


def _landmarks(folder: Path, clip: Clip) -> dict[str, Tensor] | None:
    """What prepare stored beside a clip, in the types in which it wrote it; nothing for drawn clips."""
    file = landmarks_file(folder, clip.key)
    if not file.is_file():
        return None
    found = {
        name: torch.from_numpy(values).to(torch.float16 if name in ("landmarks", "blendshapes") else torch.float32)
        for name, values in read_landmarks(folder, clip.key).items()
    }
    if len(found["landmarks"]) != len(clip.frames):
        raise ClipError(
            f"{file}: {len(clip.frames)} frames expected, got {len(found['landmarks'])}; prepare the clip again"
        )
    return found
