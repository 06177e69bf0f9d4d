"""One shard of frames and sound to one with latents, audio states and masks: what a worker of `fada data encode` does.

A shard is taken whole or not at all: damage that readers step over would be lost for good in a copy.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from fada.data.clips.sample_emotion import with_emotion
from fada.data.clips.sample_keypoints import with_keypoints
from fada.data.shards.files import write_tar
from fada.data.shards.format import PARTS, Sample, decode_sample, suffix_of, suffixes_of
from fada.data.shards.location import Location, UnexpectedSize
from fada.data.shards.members import group_members, read_members
from fada.data.shards.ranges import tried_again
from fada.data.shards.reading import ShardInfo, Skipped, damage_in, fault_of
from fada.data.shards.rows import rows_of
from fada.data.shards.table import table_of
from fada.packing.shard_records import Finished, put_record
from fada.packing.shards_in_making import ShardFault
from fada.packing.tools import Tools, with_features

NOTES = ".encode"
"""Folder of the records, in that of the shards."""
_PASSED_ON = tuple(part for part in PARTS if part not in ("latents", "audio_states"))
"""Parts that are read, and written as they are."""


@dataclass(frozen=True)
class EncodeTask:
    """One shard and what shall become of it; folders are paths or URLs."""

    source: str
    shard: ShardInfo
    number: int
    out: str
    made_of: dict[str, str]
    """What decides the result, as the record keeps it."""
    keeps: tuple[str, ...]
    """Parts of frames and audio that stay."""
    anew: tuple[str, ...] = ()
    """Parts that another network made for the input, and this one makes again."""

    @property
    def named(self) -> str:
        return f"{self.source}/{self.shard.name}"

    @property
    def file(self) -> Path | None:
        """The shard on this machine; None in an object store."""
        folder = Location(self.source).folder
        return None if folder is None else folder / self.shard.name


class _Damaged(Exception):
    """A sample that cannot be taken over; its message is that of the fault."""


def encode_shard(task: EncodeTask, tools: Tools) -> ShardInfo | ShardFault:
    """Encode a shard and put it, whole, with its record; nothing is put where something of it is damaged.

    Raises:
        LocationError: an object store stays away.
        OSError: the output cannot be written.
    """
    source, out = Location(task.source), Location(task.out)
    with ExitStack() as held:
        try:
            fetched = partial(source.fetched, task.shard.name, task.shard.bytes)
            file = tried_again(f"{source}/{task.shard.name}", lambda: held.enter_context(fetched()))
        except FileNotFoundError:
            return gone(task)
        except UnexpectedSize as error:
            return ShardFault(f"{task.named}: {error}")
        fault = fault_of(file, task.shard)
        if fault is not None:
            damage = damage_in(file, task.shard)
            return ShardFault(f"{task.named}: {fault}" if damage is None else _said(task, *damage))
        scratch, notes = (held.enter_context(each.scratch()) for each in (out, out / NOTES))
        try:
            made = write_tar(scratch / "encoded.tar", task.number, _encoded(file, task, tools))
        except _Damaged as damaged:
            return ShardFault(str(damaged))
        table = table_of(rows_of(scratch / "encoded.tar", 0, lambda *_: None, with_sums=True))
        out.put(scratch / "encoded.tar", made.name)
        put_record(out / NOTES, notes, task.number, Finished(task.made_of, made), table)
    return made


def gone(task: EncodeTask) -> ShardFault:
    """What comes of a shard that is not there."""
    return ShardFault(f"{task.named}: the shard is missing")


def _encoded(file: Path, task: EncodeTask, tools: Tools) -> Iterator[Sample]:
    """The shard's samples in their order, with features.

    Raises:
        _Damaged: at the first fault.
    """

    def refuse(*said: str) -> None:
        raise _Damaged(_said(task, *said[-2:]))

    found = 0
    for key, members in group_members(read_members(file, suffixes_of(_PASSED_ON), refuse)):
        sample = decode_sample(key, members, None, _PASSED_ON, refuse)
        assert sample is not None
        found += 1
        if sample.frames is None or sample.audio is None:
            refuse(key, "no frames or no sound to encode")
        # Masks follow from landmarks and the size of the latents.
        kept = [part for part in _PASSED_ON if part != "masks" or sample.landmarks is None]
        without: dict[str, Any] = dict.fromkeys(task.anew)
        sample = replace(sample, **without)
        stored = {part: members[suffix_of(part)] for part in kept if getattr(sample, part) is not None}
        try:
            sample = next(with_emotion(with_keypoints([sample])))
            yield from with_features([replace(sample, stored=stored)], tools, task.keeps)
        except ValueError as error:
            refuse(f"{key}.json", str(error))
    if found != task.shard.samples:
        refuse("*", f"holds {found} samples, the index says {task.shard.samples}")


def _said(task: EncodeTask, member: str, reason: str) -> str:
    return f"{task.source}/{Skipped(task.shard.name, member, reason)}"
