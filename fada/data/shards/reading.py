"""Clips and their features in WebDataset shards: plain tars, read in order, damaged members skipped and named.

Knows the shards of a folder and their index; the bytes of a tar are shard_members.py, what a sample's members hold
shard_format.py, folders and object stores location.py. Nothing is unpickled or unpacked.
"""

import random
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fada.data.clips.clip import check_key
from fada.data.shards.files import INDEX_FILE, SHARD_NAME, put_set, write_tar
from fada.data.shards.format import PARTS, Sample, check_members, decode_sample, suffixes_of
from fada.data.shards.index import ShardError, ShardIndex, ShardInfo, fault_of, parse_index
from fada.data.shards.location import Location, LocationError, UnexpectedSize
from fada.data.shards.members import Skip, group_members, read_members
from fada.data.shards.rows import rows_of
from fada.data.shards.table import TableMaker
from fada.terminal import printable

LONGEST_SHOWN = 300
"""Letters of a member's name or of a reason."""


class DamagedShardWarning(UserWarning):
    """Members of shards were skipped; the message counts and names them."""


@dataclass(frozen=True)
class Skipped:
    """A member that was not read; its name and the reason may be shown anywhere."""

    shard: str
    member: str
    reason: str

    def __post_init__(self) -> None:
        for name in ("shard", "member", "reason"):
            object.__setattr__(self, name, printable(getattr(self, name), LONGEST_SHOWN))

    def __str__(self) -> str:
        return f"{self.shard}/{self.member}: {self.reason}"


def write_shards(
    samples: Iterable[Sample],
    folder: str | Path | Location,
    samples_per_shard: int,
    features: Mapping[str, Any] | None = None,
    *,
    overwrite: bool = False,
) -> ShardIndex:
    """Write samples as tars with their table and index.json, into a folder or an object store.

    A tar's name holds its hash, the table's name that of the tars, and the index is written last: until then the
    earlier index and its shards are valid, so an interrupted call changes nothing. Then the shards and the table go
    that only the earlier index names, and what a killed call left: files that hold what was written, by their hash;
    others stay.

    Args:
        features: where latents and states come from (JSON values), kept in the index.
        overwrite: replace an earlier set of shards.

    Raises:
        ShardError: no samples, or two of the same key; or an earlier set is there and may not be replaced.
        ClipError: a key with characters that cannot be used.
        LocationError: the object store cannot be reached.
    """
    if samples_per_shard < 1:
        raise ValueError(f"samples_per_shard must be at least 1, got {samples_per_shard}")
    location = Location(folder)
    check_replaced(location, overwrite)
    earlier = shards_in_index(location)
    tally, rows = _Tally(), TableMaker()
    shards: list[ShardInfo] = []
    with location.scratch() as scratch:
        try:
            for group in _groups(samples, samples_per_shard):
                file = scratch / f"{len(shards)}.tar"
                shard = write_tar(file, len(shards), tally.counted(group))
                for row in rows_of(file, len(shards), lambda *_: None, with_sums=True):
                    rows.add(row)
                shards.append(shard)
                location.put(file, shard.name)
            if not shards:
                raise ShardError(f"{location}: no samples to write")
        except BaseException:
            for shard in shards:
                if shard.name not in earlier:
                    with suppress(LocationError):
                        location.remove(shard.name)
            raise
        index = ShardIndex(shards, len(tally.keys), tally.splits, tally.parts, dict(features or {}))
        put_set(location, scratch, index, rows.made(), earlier)
    return index


def check_replaced(folder: str | Path | Location, overwrite: bool) -> None:
    """Know that shards may be written: there is no earlier set, or it may be replaced.

    Raises:
        ShardError: saying how many clips the earlier set has.
    """
    location = Location(folder)
    if overwrite or INDEX_FILE not in location.files():
        return
    try:
        held = f"a set of {read_index(location).samples} clips"
    except ShardError:
        held = f"an {INDEX_FILE} that cannot be read"
    raise ShardError(f"{location}: holds {held}; give another folder, or --overwrite to replace it")


def read_index(folder: str | Path | Location) -> ShardIndex:
    """What index.json says.

    Raises:
        ShardError: it is missing or damaged.
        LocationError: the object store cannot be reached.
    """
    file = f"{Location(folder)}/{INDEX_FILE}"
    try:
        text = Location(folder).read(INDEX_FILE)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ShardError(f"{file}: missing; write the shards again (the index is written last)") from error
    try:
        return parse_index(text)
    except ValueError as error:
        raise ShardError(f"{file}: not an index of shards ({error}); write the shards again") from error


def read_shards(
    folder: str | Path | Location,
    split: str | None = None,
    *,
    parts: Collection[str] = PARTS,
    shuffle_seed: int | None = None,
    on_skip: Callable[[Skipped], None] | None = None,
) -> Iterator[Sample]:
    """The samples of a folder or object store, shard by shard. Damaged ones are skipped, and named in a warning at the
    end; of a store, a shard at a time is copied to this machine.

    Size and SHA-256 of every shard are those of the index: of a store at every reading, of a folder once per process.
    A shard that differs is skipped whole; of a folder only where its damage cannot be told member by member.

    Args:
        split: only samples whose meta names this split.
        parts: what to read of `PARTS` (shard_format.py); the rest stays None.
        shuffle_seed: shuffles the shards and the samples within each; None keeps the order of writing.
        on_skip: called for every damaged member.

    Raises:
        ShardError: no index, or a part of an unknown name.
        LocationError: the object store cannot be reached.
    """
    unknown = set(parts) - set(PARTS)
    if unknown:
        raise ShardError(f"parts: no part named {', '.join(sorted(unknown))}; choose from {', '.join(PARTS)}")
    location = Location(folder)
    index = read_index(location)
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
        try:
            with location.fetched(shard.name, shard.bytes) as file:
                fault = fault_of(file, shard)
                # What a disk damaged is found member by member. Where no member is, it is another shard.
                if fault is not None and (not location.is_here or damage_in(file, shard) is None):
                    skip(shard.name, "*", f"{fault}: skipped; get it again, or write the shards again")
                    continue
                yield from _read_shard(file, shard, split, parts, shuffler, skip)
        except FileNotFoundError:
            skip(shard.name, "*", "the shard is missing")
        except UnexpectedSize as error:
            skip(shard.name, "*", f"{error}: skipped; get it again, or write the shards again")
    if skipped:
        warnings.warn(DamagedShardWarning(warning_of(location, skipped)), stacklevel=2)


def warning_of(place: object, skipped: list[Skipped]) -> str:
    """How many members of a set were skipped, and the names of the first."""
    named = "; ".join(str(each) for each in skipped[:8]) + ("; ..." if len(skipped) > 8 else "")
    return f"{place}: {len(skipped)} damaged members skipped: {named}"


class _Tally:
    """Counts what is written."""

    def __init__(self) -> None:
        self.keys: set[str] = set()
        self.splits: dict[str, int] = {}
        self.parts: dict[str, int] = dict.fromkeys(PARTS, 0)

    def counted(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        """The samples, each counted as it passes."""
        for sample in samples:
            self._add(sample)
            yield sample

    def _add(self, sample: Sample) -> None:
        if sample.key in self.keys:
            raise ShardError(f"sample key {sample.key!r} comes twice; keys name samples and must differ")
        self.keys.add(check_key(sample.key))
        split = str(sample.meta.get("split", "train"))
        self.splits[split] = self.splits.get(split, 0) + 1
        for part in PARTS:
            self.parts[part] += getattr(sample, part) is not None


def damage_in(file: Path, shard: ShardInfo) -> tuple[str, str] | None:
    """The first member of a shard that is not the index's which is damaged, by the hashes beside them, or missing, and
    the reason; None where none is: then it is another shard."""
    faults: list[tuple[str, str]] = []
    found = 0

    def note(*said: str) -> None:
        faults.append((said[-2], said[-1]))

    for key, members in group_members(read_members(file, suffixes_of(PARTS), note)):
        found += 1
        check_members(key, members, note)
        if faults:
            break
    if not faults and found < shard.samples:
        note("*", f"{shard.samples - found} of {shard.samples} samples could not be found at all")
    return faults[0] if faults else None


def _groups(samples: Iterable[Sample], size: int) -> Iterator[Iterator[Sample]]:
    """Iterators over `size` samples each; only one sample is held at a time."""
    stream = iter(samples)
    for first in stream:

        def group(first: Sample = first) -> Iterator[Sample]:
            yield first
            for _, sample in zip(range(size - 1), stream, strict=False):
                yield sample

        yield group()


def shards_in_index(location: Location) -> dict[str, ShardInfo]:
    """Shards that the index there names, none where there is no readable one; names that are no shard's left out."""
    try:
        return {shard.name: shard for shard in read_index(location).shards if SHARD_NAME.fullmatch(shard.name)}
    except ShardError:
        return {}


def _read_shard(
    file: Path,
    shard: ShardInfo,
    split: str | None,
    parts: Collection[str],
    shuffler: random.Random | None,
    skip: Skip,
) -> Iterator[Sample]:
    # Shuffling needs the whole shard's bytes at hand; in order, one sample at a time is enough.
    groups: Iterable[tuple[str, dict[str, bytes]]] = group_members(read_members(file, suffixes_of(parts), skip))
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
