"""A set of shards whose samples are read one at a time, by number, from where the table says that they lie.

Nothing of the set is held but the table's small columns. What is read is checked as when shards are read in order: the
record against the table's hash, every other member against the record's.
"""

from __future__ import annotations

import atexit
import logging
import shutil
import tempfile
import warnings
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from fada.data.sampling.clip_source import DamagedClip
from fada.data.shards.format import Sample, check_members, decode_sample, suffixes_of
from fada.data.shards.index import ShardError, ShardIndex
from fada.data.shards.kept_memory import keep_memory
from fada.data.shards.location import Location, UnexpectedSize
from fada.data.shards.open_files import OpenFiles
from fada.data.shards.parts_cache import PartsCache
from fada.data.shards.ranges import BLOCK, StoreFiles, tried_again
from fada.data.shards.reading import INDEX_FILE, DamagedShardWarning, Skipped, read_index, warning_of
from fada.data.shards.rows import rows_of
from fada.data.shards.table import Row, SampleTable, TableFault, open_table, table_name, table_of, write_table

_MANY = 2000
"""Samples from which on making a table takes long enough to say so."""
logger = logging.getLogger(__name__)


class ShardSet:
    """Samples of a folder of shards, here or in an object store, by number in the order in which the shards hold them.

    Of a store the table is copied to this machine, and of shards what a sample needs is asked for when it does.

    Args:
        cache: keeps what was read of a store.

    Raises:
        ShardError: no index.
        LocationError: the object store cannot be reached.
    """

    def __init__(self, folder: str | Path | Location, cache: PartsCache | None = None) -> None:
        # Clips come one after another, and blocks of a store.
        keep_memory()
        self.place = Location(folder)
        self.index = read_index(self.place)
        self.table = table_of_set(self.place, self.index)
        sizes = {shard.name: shard.bytes for shard in self.index.shards}
        here = self.place.folder
        self._files = StoreFiles(self.place, sizes, cache) if here is None else OpenFiles(here)
        # By parts: what was whole of every sample, as a hash of its version; pages that nobody touches take no memory.
        self._looked_at: dict[frozenset[str], np.ndarray] = {}
        self.comes_by_shard = False
        """Whether samples that lie beside each other are asked for soon after each other."""

    def __len__(self) -> int:
        return len(self.table)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_looked_at": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        keep_memory()

    def sample(self, number: int, parts: Collection[str]) -> Sample:
        """A sample with these parts, read now.

        Hashes and values are looked at once in a process, as long as the file, or what is kept of a store, stays as it
        is; the first time by the table's checksums where it has them, which cost a third of SHA-256. What is kept and
        damaged is got again.

        Raises:
            DamagedClip: something of it is not what was written; the message names shard and member.
        """
        try:
            return self._decoded(number, parts)
        except DamagedClip:
            if not self._files.forget():
                raise
            return self._decoded(number, parts)

    def _decoded(self, number: int, parts: Collection[str]) -> Sample:
        key, members, record = self._read(number, parts)
        faults: list[Skipped] = []
        wanted = frozenset(parts)
        if wanted not in self._looked_at:
            self._looked_at[wanted] = np.zeros(len(self.table), np.int64)
        looked_at, version = self._looked_at[wanted], hash(self._files.version)
        was_looked_at = self._files.version is not None and int(looked_at[number]) == version
        known = members.keys() if was_looked_at else self._told_by_sums(number, members)
        found = decode_sample(key, members, None, parts, self._noting(number, faults), record, known)
        if found is None:
            raise DamagedClip(faults[0])
        looked_at[number] = version
        return found

    def fault_of(self, number: int, parts: Collection[str]) -> Skipped | None:
        """What is damaged of these parts of a sample, None where nothing is; its bytes are read, not decoded."""
        faults: list[Skipped] = []
        try:
            key, members, record = self._read(number, parts)
        except DamagedClip as error:
            return error.args[0]
        check_members(key, members, self._noting(number, faults), parts, record)
        return faults[0] if faults else None

    def _told_by_sums(self, number: int, members: Mapping[str, bytes]) -> set[str]:
        """Suffixes of the members that are those which were looked at when the table was made, by their checksums."""
        try:
            sums = self.table.sums_of(number)
        except (OSError, TableFault):
            # Then their hashes tell.
            return set()
        return {suffix for suffix, data in members.items() if suffix in sums and zlib.crc32(data) == sums[suffix]}

    def _block_of(self, number: int, wanted: Collection[str]) -> Iterator[dict[str, tuple[int, int]]]:
        """Members of the samples that begin in the same block of a shard as this one."""
        table = self.table
        shard, block = int(table.shard[number]), _begin(table.members_of(number)) // BLOCK
        for step in (-1, 1):
            # Downwards from this one, then upwards from the next.
            at = number + (step > 0)
            while 0 <= at < len(table) and int(table.shard[at]) == shard:
                places = table.members_of(at)
                if not places or _begin(places) // BLOCK != block:
                    break
                yield {each: places[each] for each in wanted if each in places}
                at += step

    def _noting(self, number: int, faults: list[Skipped]) -> Callable[[str, str], None]:
        shard = self.index.shards[int(self.table.shard[number])].name
        return lambda member, reason: faults.append(Skipped(shard, member, reason))

    def _read(self, number: int, parts: Collection[str]) -> tuple[str, dict[str, bytes], bytes]:
        """Key, bytes of the members by suffix, and the hash that stands for the record as its own for the others."""
        table = self.table
        shard = self.index.shards[int(table.shard[number])].name
        key = f"sample {number}"
        try:
            key = table.key_of(number)
            places = table.members_of(number)
            wanted = ("json", *sorted(suffixes_of(parts) - {"json"}))
            neighbours = partial(self._block_of, number, wanted) if self.comes_by_shard else None
            members = self._files.read_parts(
                shard, {each: places[each] for each in wanted if each in places}, neighbours
            )
            return key, members, bytes(table.record[number])
        except (OSError, TableFault) as error:
            raise DamagedClip(Skipped(shard, key, f"cannot be read ({error})")) from error


def _begin(places: Mapping[str, tuple[int, int]]) -> int:
    return min(offset for offset, _ in places.values())


def shard_folders(folder: str | Path | Location) -> list[Location]:
    """The folder itself, or the splits in it; here or in an object store.

    Raises:
        ShardError: neither holds an index.
    """
    whole = Location(folder)
    places = [whole, *(whole / name for name in whole.folders())]
    found = [place for place in places if INDEX_FILE in place.files()]
    if not found:
        raise ShardError(f"{whole}: no shards here (no {INDEX_FILE}); make them with fada data shard")
    return found


def table_of_set(place: Location, index: ShardIndex) -> SampleTable:
    """The table beside an index; where there is none that can be used, one made now of the tars' headers.

    Raises:
        LocationError: the store stays away.

    Warns:
        DamagedShardWarning: of members without which a sample has no row, where it is made now.
    """
    name = table_name(index)
    try:
        return open_table(_here(place, name), index)
    except FileNotFoundError:
        pass
    except (TableFault, OSError) as error:
        logger.warning("%s/%s: %s; it is not used, make it again with fada data index", place, name, error)
    if index.samples > _MANY:
        logger.warning("%s: has no table of its %d samples; fada data index makes it once, instead of now and at every "
                       "start", place, index.samples)  # fmt: skip
    skipped: list[Skipped] = []
    table = table_of(all_rows(place, index, skipped.append, with_sums=False))
    if skipped:
        warnings.warn(DamagedShardWarning(warning_of(place, skipped)), stacklevel=2)
    return table


def _here(place: Location, name: str) -> Path:
    """A file of the set on this machine; a copy of a store's lasts as long as this process."""
    if place.folder is not None:
        return place.folder / name

    def copied() -> Path:
        with place.fetched(name) as file:
            return Path(shutil.move(file, _copies() / name))

    return tried_again(f"{place}/{name}", copied)


@cache
def _copies() -> Path:
    """A folder for copies, which goes when this process ends."""
    folder = tempfile.mkdtemp(prefix="fada-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


@dataclass(frozen=True)
class MadeTable:
    """A table that was made of shards: its file, its samples of those that the index states, and what was left out."""

    name: str
    samples: int
    stated: int
    skipped: list[Skipped]


def make_table(location: Location) -> MadeTable:
    """Make the table of a set's samples and put it beside its index, in place of one that is there.

    Raises:
        ShardError: no index, or no sample that can be read.
        LocationError: the object store cannot be reached.
    """
    index, skipped = read_index(location), list[Skipped]()
    table = table_of(all_rows(location, index, skipped.append, with_sums=True))
    if not len(table):
        raise ShardError(f"{location}: no sample can be read: {warning_of(location, skipped)}")
    with location.scratch() as scratch:
        write_table(table, index, scratch / table_name(index))
        location.put(scratch / table_name(index), table_name(index))
    return MadeTable(table_name(index), len(table), index.samples, skipped)


def all_rows(
    location: Location, index: ShardIndex, on_skip: Callable[[Skipped], None], *, with_sums: bool
) -> Iterator[Row]:
    """Rows of all samples of a set, in its order, from its tars; of a store a shard at a time is copied here.

    Args:
        on_skip: told of every member without which a sample has no row.
        with_sums: as of `rows_of`.
    """
    for number, shard in enumerate(index.shards):
        found = 0
        try:
            with location.fetched(shard.name, shard.bytes if location.folder is None else None) as file:
                for row in rows_of(file, number, lambda *said: on_skip(Skipped(*said)), with_sums=with_sums):
                    found += 1
                    if found <= shard.samples:
                        yield row
        except FileNotFoundError:
            on_skip(Skipped(shard.name, "*", "the shard is missing"))
            continue
        except UnexpectedSize as error:
            on_skip(Skipped(shard.name, "*", f"{error}: get it again, or write the shards again"))
            continue
        if found < shard.samples:
            on_skip(Skipped(shard.name, "*", f"{shard.samples - found} of {shard.samples} samples could not be found"))
