"""Clips and their features in WebDataset shards: plain tars, read in order, damaged members skipped and named.

Knows tars and their index; what a sample's members hold is shard_format.py. Nothing is unpickled or unpacked to disk.
"""

import hashlib
import json
import random
import tarfile
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from webdataset import TarWriter
from webdataset.tariterators import base_plus_ext

from fada.data.clip import check_key, write_text
from fada.data.shard_format import PARTS, Sample, decode_sample, encode_sample

INDEX_FILE = "index.json"


class ShardError(ValueError):
    """A folder of shards that cannot be written or read at all."""


class DamagedShardWarning(UserWarning):
    """Members of shards were skipped; the message counts and names them."""


@dataclass(frozen=True)
class ShardInfo:
    """One tar of a set of shards."""

    name: str
    samples: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class ShardIndex:
    """What index.json says about a folder of shards."""

    shards: list[ShardInfo]
    samples: int
    splits: dict[str, int]
    """Samples per split."""
    parts: dict[str, int]
    """Samples that hold each part."""
    features: dict[str, Any] = field(default_factory=dict)
    """Where latents and states come from, for example the fingerprints of the encoders."""


@dataclass(frozen=True)
class Skipped:
    """A member that was not read."""

    shard: str
    member: str
    reason: str

    def __str__(self) -> str:
        return f"{self.shard}/{self.member}: {self.reason}"


def write_shards(
    samples: Iterable[Sample],
    folder: str | Path,
    samples_per_shard: int,
    features: Mapping[str, Any] | None = None,
) -> ShardIndex:
    """Write samples as shard-000000.tar and so on, with index.json; earlier shards of the folder are replaced.

    All tars are written under other names first: a call that is interrupted leaves the earlier shards as they were.

    Args:
        features: where latents and states come from (JSON values), kept in the index.

    Raises:
        ShardError: no samples, or two of the same key.
        ClipError: a key with characters that cannot be used.
    """
    if samples_per_shard < 1:
        raise ValueError(f"samples_per_shard must be at least 1, got {samples_per_shard}")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob("*.partial"):
        leftover.unlink()
    tally = _Tally()
    shards: list[ShardInfo] = []
    try:
        for group in _groups(samples, samples_per_shard):
            shards.append(_write_shard(folder, f"shard-{len(shards):06d}.tar", group, tally))
        if not shards:
            raise ShardError(f"{folder}: no samples to write")
    except BaseException:
        for leftover in folder.glob("*.partial"):
            leftover.unlink()
        raise
    index = ShardIndex(shards, len(tally.keys), tally.splits, tally.parts, dict(features or {}))
    (folder / INDEX_FILE).unlink(missing_ok=True)
    for stale in folder.glob("shard-*.tar"):
        stale.unlink()
    for shard in shards:
        (folder / f"{shard.name}.partial").rename(folder / shard.name)
    write_text(folder / INDEX_FILE, json.dumps(asdict(index), indent=2) + "\n")
    return index


def read_index(folder: str | Path) -> ShardIndex:
    """What index.json says.

    Raises:
        ShardError: it is missing or damaged.
    """
    file = Path(folder) / INDEX_FILE
    if not file.is_file():
        raise ShardError(f"{file}: missing; write the shards again (an interrupted writing leaves no index)")
    try:
        values = json.loads(file.read_text())
        return ShardIndex(**{**values, "shards": [ShardInfo(**shard) for shard in values["shards"]]})
    except (ValueError, TypeError, KeyError) as error:
        raise ShardError(f"{file}: not an index of shards ({error}); write the shards again") from error


def read_shards(
    folder: str | Path,
    split: str | None = None,
    *,
    parts: Collection[str] = PARTS,
    shuffle_seed: int | None = None,
    on_skip: Callable[[Skipped], None] | None = None,
) -> Iterator[Sample]:
    """The samples of a folder, shard by shard. Damaged ones are skipped, and named in a warning at the end.

    Args:
        split: only samples whose meta names this split.
        parts: what to decode of "frames", "audio", "latents", "audio_states"; the rest stays None.
        shuffle_seed: shuffles the shards and the samples within each; None keeps the order of writing.
        on_skip: called for every damaged member.

    Raises:
        ShardError: no index, or a part of an unknown name.
    """
    unknown = set(parts) - set(PARTS)
    if unknown:
        raise ShardError(f"parts: no part named {', '.join(sorted(unknown))}; choose from {', '.join(PARTS)}")
    index = read_index(folder)
    skipped: list[Skipped] = []

    def skip(shard: str, member: str, reason: str) -> None:
        skipped.append(Skipped(shard, member, reason))
        if on_skip is not None:
            on_skip(skipped[-1])

    shuffler = None if shuffle_seed is None else random.Random(shuffle_seed)
    shards = list(index.shards)
    if shuffler is not None:
        shuffler.shuffle(shards)
    for shard in shards:
        yield from _read_shard(Path(folder), shard, split, parts, shuffler, skip)
    if skipped:
        named = "; ".join(str(each) for each in skipped[:8]) + ("; ..." if len(skipped) > 8 else "")
        message = f"{folder}: {len(skipped)} damaged members skipped: {named}"
        warnings.warn(DamagedShardWarning(message), stacklevel=2)


_Skip = Callable[[str, str, str], None]


class _Tally:
    """Counts what is written."""

    def __init__(self) -> None:
        self.keys: set[str] = set()
        self.splits: dict[str, int] = {}
        self.parts: dict[str, int] = dict.fromkeys(PARTS, 0)

    def add(self, sample: Sample) -> None:
        if sample.key in self.keys:
            raise ShardError(f"sample key {sample.key!r} comes twice; keys name samples and must differ")
        self.keys.add(check_key(sample.key))
        split = str(sample.meta.get("split", "train"))
        self.splits[split] = self.splits.get(split, 0) + 1
        for part in PARTS:
            self.parts[part] += getattr(sample, part) is not None


def _groups(samples: Iterable[Sample], size: int) -> Iterator[Iterator[Sample]]:
    """Iterators over `size` samples each; only one sample is held at a time."""
    stream = iter(samples)
    for first in stream:

        def group(first: Sample = first) -> Iterator[Sample]:
            yield first
            for _, sample in zip(range(size - 1), stream, strict=False):
                yield sample

        yield group()


def _write_shard(folder: Path, name: str, samples: Iterator[Sample], tally: _Tally) -> ShardInfo:
    partial = folder / f"{name}.partial"
    count = 0
    # A fixed time stamp: equal samples make equal shards.
    with partial.open("wb") as file, TarWriter(file, encoder=False, mtime=0) as writer:
        for sample in samples:
            tally.add(sample)
            writer.write({"__key__": sample.key, **encode_sample(sample)})
            count += 1
    with partial.open("rb") as written:
        digest = hashlib.file_digest(written, "sha256").hexdigest()
    return ShardInfo(name, count, partial.stat().st_size, digest)


def _read_shard(
    folder: Path,
    shard: ShardInfo,
    split: str | None,
    parts: Collection[str],
    shuffler: random.Random | None,
    skip: _Skip,
) -> Iterator[Sample]:
    file = folder / shard.name
    if not file.is_file():
        skip(shard.name, "*", "the shard is missing")
        return
    # Shuffling needs the whole shard's bytes at hand; in order, one sample at a time is enough.
    groups: Iterable[tuple[str, dict[str, bytes]]] = _group_members(_read_members(file, skip))
    if shuffler is not None:
        groups = list(groups)
        shuffler.shuffle(groups)

    def skip_member(member: str, reason: str) -> None:
        skip(shard.name, member, reason)

    found = 0
    for key, members in groups:
        found += 1
        sample = decode_sample(key, members, split, parts, skip_member)
        if sample is not None:
            yield sample
    if found < shard.samples:
        skip(shard.name, "*", f"{shard.samples - found} of {shard.samples} samples could not be found at all")


def _read_members(file: Path, skip: _Skip) -> Iterator[tuple[str, bytes]]:
    """Names and bytes of a tar's files. A damaged header is stepped over, block by block, until the next good one."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        try:
            # ignore_zeros makes tarfile step over blocks that are no header instead of ending there.
            archive = tarfile.TarFile(fileobj=stream, ignore_zeros=True)
        except (tarfile.TarError, OSError) as error:
            skip(file.name, "*", f"not a tar: {error}")
            return
        while True:
            try:
                member = archive.next()
            except (tarfile.TarError, OSError, ValueError) as error:
                archive.offset += tarfile.BLOCKSIZE
                if archive.offset < size:
                    continue
                skip(file.name, "*", f"ends early: {error}")
                return
            if member is None:
                return
            if not member.isfile() or "/" in member.name or ".." in member.name:
                skip(file.name, ascii(member.name), "not a plain file of this shard")
                continue
            yield member.name, _read_bytes(archive, member)


def _read_bytes(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    try:
        content = archive.extractfile(member)
        return b"" if content is None else content.read()
    except (tarfile.TarError, OSError):
        # The end of the file is missing: the hash will tell.
        return b""


def _group_members(members: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Neighbouring members of one key together, as WebDataset does."""
    current: str | None = None
    group: dict[str, bytes] = {}
    for name, data in members:
        key, suffix = base_plus_ext(name)
        if key is None:
            continue
        if key != current and current is not None:
            yield current, group
            group = {}
        current = key
        group[suffix] = data
    if current is not None:
        yield current, group
