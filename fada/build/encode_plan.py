"""What `fada data encode` has to do of a set: its shards, each with what decides the result, and which are done.

A finished shard is taken over where its record names the same input, encoders and options and its file still holds what
was written; one that was made of anything else stops the command, or is made anew where it may be.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from fada.build.data import ENCODING
from fada.build.encode_records import NOTES, Finished, read_records
from fada.build.encode_shard import EncodeTask
from fada.build.shards import DRAWN_MASKS
from fada.data.location import Location
from fada.data.shards import (
    INDEX_FILE,
    ShardError,
    ShardIndex,
    ShardInfo,
    check_replaced,
    fault_of,
    read_index,
    shards_in_index,
)
from fada.files.folders import inside
from fada.files.manifest import hash_file

_NAMES = {
    "input": "the input shard",
    "vae": "the VAE",
    "audio_encoder": "the audio encoder",
    "masks": "how masks are drawn",
    "encoding": "the version of the encoding",
    "media": "frames and sound",
}
"""What a shard is made of, for people."""
logger = logging.getLogger(__name__)


@dataclass
class EncodeSet:
    """One set and the shards of its output that are done."""

    source: Location
    out: Location
    index: ShardIndex
    features: dict[str, object]
    tasks: dict[int, EncodeTask]
    finished: dict[int, Finished] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    @property
    def open_tasks(self) -> list[EncodeTask]:
        """What is still to be done."""
        return [task for number, task in self.tasks.items() if number not in self.finished]


def plan_set(
    source: Location, out: Location, features: dict[str, str], keeps_media: bool, overwrite: bool
) -> EncodeSet:
    """What is to be done of a set and what is done already.

    Raises:
        ShardError: what lies there follows from something else, and may not be replaced.
    """
    index = read_index(source)
    common = {**features, "masks": DRAWN_MASKS, "media": "kept" if keeps_media else "dropped"}
    common["encoding"] = str(ENCODING)
    tasks = {
        number: EncodeTask(
            str(source), shard, number, str(out), {"input": _hash_of(source, shard), **common}, keeps_media
        )
        for number, shard in enumerate(index.shards)
    }
    # Masks of an earlier drawing stay only where there are no landmarks to draw them from.
    passed_on = {name: value for name, value in index.features.items() if name not in common}
    masks = DRAWN_MASKS if index.parts.get("landmarks") else index.features.get("masks")
    made = EncodeSet(source, out, index, {**features, **({"masks": masks} if masks else {}), **passed_on}, tasks)
    records = read_records(out / NOTES)
    if not overwrite:
        _check_records(made, records)
        named = {shard.name for shard in shards_in_index(out).values()}
        if INDEX_FILE in out.files() and not (named and named <= {each.shard.name for each in records.values()}):
            check_replaced(out, overwrite)
    for number, record in records.items():
        if number in tasks and record.made_of == tasks[number].made_of and _is_whole(out, record.shard):
            made.finished[number] = record
    return made


def _check_records(planned: EncodeSet, records: dict[int, Finished]) -> None:
    for number, record in records.items():
        if number not in planned.tasks:
            raise ShardError(
                f"{planned.out}: {record.shard.name} was made of shard {number}, and {planned.source} has only "
                f"{len(planned.tasks)}; give the earlier input, another --out, or --overwrite to make the set anew"
            )
        now = planned.tasks[number].made_of
        differing = [
            f"{_NAMES.get(name, name)} was {record.made_of.get(name, 'none')}, now it is {now.get(name, 'none')}"
            for name in sorted({*now, *record.made_of})
            if now.get(name) != record.made_of.get(name)
        ]
        if differing:
            raise ShardError(
                f"{planned.out}: {record.shard.name} was made of something else: {'; '.join(differing)}; give what it "
                "was made of, another --out, or --overwrite to make such shards anew"
            )


def _hash_of(source: Location, shard: ShardInfo) -> str:
    """SHA-256 of an input shard: as the index says it, of the first versions' shards as it is."""
    if shard.sha256:
        return shard.sha256
    try:
        with source.fetched(shard.name) as file:
            return hash_file(file)
    except FileNotFoundError:
        return ""


def _is_whole(out: Location, shard: ShardInfo) -> bool:
    """Whether a finished shard is still what was written; of a store, whether it is there."""
    if out.folder is None:
        return shard.name in out.files()
    file = inside(out.folder, shard.name)
    fault = fault_of(file, shard) if file.is_file() else "is missing"
    if fault is not None:
        logger.warning("%s: %s; it is made again", file, fault)
    return fault is None
