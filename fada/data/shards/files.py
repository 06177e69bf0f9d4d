"""Files of a set of shards as they come to be: a tar, then the table and the index of all tars, and what goes then.

Knows names and order of writing; what a sample's members hold is shard_format.py, reading is shards.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

from webdataset import TarWriter

from fada.data.shards.format import Sample, encode_sample
from fada.data.shards.index import ShardIndex, ShardInfo
from fada.data.shards.location import Location
from fada.data.shards.table import SampleTable, mark_in, table_name, write_table
from fada.files.manifest import hash_file

INDEX_FILE = "index.json"
# Shards of earlier versions carry no hash.
SHARD_NAME = re.compile(r"shard-\d{6}(-[0-9a-f]{12})?\.tar")
TABLE_NAME = re.compile(r"samples-([0-9a-f]{12})\.safetensors")


def write_tar(file: Path, number: int, samples: Iterable[Sample]) -> ShardInfo:
    """Write samples as a tar, and return what the index says of it.

    Args:
        number: of the shard in its set, which its name holds beside its hash.
    """
    count = 0
    # A fixed time stamp: equal samples make equal shards.
    with file.open("wb") as stream, TarWriter(stream, encoder=False, mtime=0) as writer:
        for sample in samples:
            writer.write({"__key__": sample.key, **encode_sample(sample)})
            count += 1
    digest = hash_file(file)
    return ShardInfo(f"shard-{number:06d}-{digest[:12]}.tar", count, file.stat().st_size, digest)


def put_set(
    location: Location, scratch: Path, index: ShardIndex, table: SampleTable, earlier: Mapping[str, ShardInfo]
) -> None:
    """Make shards that lie in their folder the set that is there: the table is put, the index last.

    Then the shards and the table go that only the earlier index names, and what a killed call left: files that hold
    what was written, by their hash; others stay.

    Args:
        scratch: a place of `location.scratch`.
        earlier: shards that the index named until now.
    """
    write_table(table, index, scratch / table_name(index))
    location.put(scratch / table_name(index), table_name(index))
    (scratch / INDEX_FILE).write_text(json.dumps(asdict(index), indent=2) + "\n")
    # Whether an index that fails here has arrived is unknown: its shards stay.
    location.put(scratch / INDEX_FILE, INDEX_FILE)
    current = {table_name(index), *(shard.name for shard in index.shards)}
    for name in location.files():
        if name in current:
            continue
        is_shard = SHARD_NAME.fullmatch(name) and _is_ours(location, name, earlier.get(name))
        mark = TABLE_NAME.fullmatch(name)
        if is_shard or (mark and is_our_table(location, name, mark[1])):
            location.remove(name)


def is_our_table(location: Location, name: str, mark: str) -> bool:
    """Whether fada wrote a table: it says that it is of the shards by whose mark its name calls it."""
    if location.folder is not None and (location.folder / name).is_symlink():
        return False
    with location.fetched(name) as file:
        return mark_in(file).startswith(mark)


def _is_ours(location: Location, name: str, shard: ShardInfo | None) -> bool:
    """Whether fada wrote a file: it holds what the earlier index says, or what the hash in its own name says.

    The latter is what a killed call left. Of a store only such leftovers are read for this; what the earlier index
    names is known by its name.
    """
    written = name[13:25] if shard is None else shard.sha256
    if location.folder is None and shard is not None:
        return name[13:25] == written[:12]
    if len(written) < 12 or (location.folder is not None and (location.folder / name).is_symlink()):
        return False
    with location.fetched(name) as file:
        return hash_file(file).startswith(written)
