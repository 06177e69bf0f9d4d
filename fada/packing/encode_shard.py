"""One shard of frames and sound to one with latents, audio states and masks: what a worker of `fada data encode` does.

A shard is taken whole or not at all: damage that readers step over would be lost for good in a copy.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from diffusers import AutoencoderKL

from fada.assembly.models import AudioEncoder
from fada.data.audio.features import load_audio_encoder
from fada.data.clips.sample_emotion import with_emotion
from fada.data.clips.sample_keypoints import with_keypoints
from fada.data.shards.files import write_tar
from fada.data.shards.format import PARTS, Sample, decode_sample, suffix_of, suffixes_of
from fada.data.shards.location import Location, UnexpectedSize
from fada.data.shards.members import group_members, read_members
from fada.data.shards.ranges import tried_again
from fada.data.shards.reading import ShardError, ShardInfo, Skipped, damage_in, fault_of
from fada.data.shards.rows import rows_of
from fada.data.shards.table import table_of
from fada.packing.shard_records import Finished, put_record
from fada.packing.shards_in_making import ShardFault
from fada.packing.with_masks import with_masks
from fada.run.data import encode_samples, features_of
from fada.teacher.codec import load_codec

Encoders = tuple[AutoencoderKL, AudioEncoder | None]
"""Without an audio encoder no states are made: training makes them of the sound."""
LoadEncoders = Callable[[], Encoders]
"""Called once in each worker, so it must be picklable."""
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


def load_encoders(vae: Path, audio_encoder: Path | None = None) -> Encoders:
    """The encoders in two folders, or a VAE alone.

    Raises:
        FileNotFoundError, ValueError: as `load_codec` and `load_audio_encoder`.
    """
    return load_codec(vae), None if audio_encoder is None else load_audio_encoder(audio_encoder)


def start_encoding(
    load: LoadEncoders, features: dict[str, str], device: str = "cpu"
) -> Callable[[EncodeTask], ShardInfo | ShardFault]:
    """What a worker does with each task, its encoders loaded and on a device.

    Raises:
        ShardError: they are others than those of the command, or there is no such device.
    """
    encoders = load()
    found = features_of(*encoders)
    if found != features:
        raise ShardError(
            f"{socket.gethostname()}: a worker has the encoders {found}, the command {features}; the folders of the "
            "encoders must hold the same on all machines, and must not change meanwhile"
        )
    return partial(encode_shard, encoders=on_device(encoders, device))


def on_device(encoders: Encoders, device: str) -> Encoders:
    """The encoders on a device.

    Raises:
        ShardError: this machine has no such device.
    """
    vae, audio_encoder = encoders
    try:
        place = torch.device(device)
        if place.type != "cpu":
            torch.empty(1, device=place)
        return vae.to(place), None if audio_encoder is None else audio_encoder.to(place)
    except (RuntimeError, AssertionError) as error:
        raise ShardError(
            f"{socket.gethostname()}: cannot encode on {device!r} ({str(error).splitlines()[0]}); give --device cpu, "
            "or work where there is one"
        ) from error


def encode_shard(task: EncodeTask, encoders: Encoders) -> ShardInfo | ShardFault:
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
            made = write_tar(scratch / "encoded.tar", task.number, _encoded(file, task, encoders))
        except _Damaged as damaged:
            return ShardFault(str(damaged))
        table = table_of(rows_of(scratch / "encoded.tar", 0, lambda *_: None, with_sums=True))
        out.put(scratch / "encoded.tar", made.name)
        put_record(out / NOTES, notes, task.number, Finished(task.made_of, made), table)
    return made


def gone(task: EncodeTask) -> ShardFault:
    """What comes of a shard that is not there."""
    return ShardFault(f"{task.named}: the shard is missing")


def _encoded(file: Path, task: EncodeTask, encoders: Encoders) -> Iterator[Sample]:
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
        stored = {part: members[suffix_of(part)] for part in kept if getattr(sample, part) is not None}
        try:
            sample = next(with_emotion(with_keypoints([sample])))
            yield from with_masks(encode_samples([replace(sample, stored=stored)], *encoders, task.keeps))
        except ValueError as error:
            refuse(f"{key}.json", str(error))
    if found != task.shard.samples:
        refuse("*", f"holds {found} samples, the index says {task.shard.samples}")


def _said(task: EncodeTask, member: str, reason: str) -> str:
    return f"{task.source}/{Skipped(task.shard.name, member, reason)}"
