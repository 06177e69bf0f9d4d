"""What verbs that make shards know of finished ones: a record each beside them, and their rows of the set's table.

They lie in a folder of the verb's own in that of the set (`.encode`, `.shard`), and stay there: by them the same
command takes up what is done.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fada.data.shards.files import TABLE_NAME, is_our_table
from fada.data.shards.index import ShardIndex, ShardInfo
from fada.data.shards.location import Location
from fada.data.shards.rows import rows_of
from fada.data.shards.table import PARTS, Row, SampleTable, TableFault, open_table, table_name, write_table
from fada.files.strict_json import JSONFault, parse_json
from fada.files.whole import write_json

_NAME = re.compile(r"shard-(\d{6})\.json")
_Short = Annotated[str, Field(max_length=500)]
_Count = Annotated[int, Field(ge=0, le=2**53)]


class _Shard(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^shard-\d{6}-[0-9a-f]{12}\.tar\z")]
    samples: _Count
    bytes: _Count
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}\z")]


class _Record(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    made_of: Annotated[dict[_Short, _Short], Field(max_length=50)]
    shard: _Shard


@dataclass(frozen=True)
class Finished:
    """A shard that was made, and what it was made of."""

    made_of: dict[str, str]
    shard: ShardInfo

    @property
    def index(self) -> ShardIndex:
        """Of the shard as a set of its own: what its rows are kept under."""
        return ShardIndex([self.shard], self.shard.samples, {}, {})


def put_record(notes: Location, scratch: Path, number: int, finished: Finished, table: SampleTable) -> None:
    """Note that a shard is done; its tar must lie in its folder.

    Args:
        scratch: a place of `notes.scratch`.
        number: of the shard in its set.
        table: of its samples.
    """
    name = table_name(finished.index)
    write_table(table, finished.index, scratch / name)
    notes.put(scratch / name, name)
    write_json(scratch / "record.json", asdict(finished))
    notes.put(scratch / "record.json", f"shard-{number:06d}.json")


def read_records(notes: Location) -> dict[int, Finished]:
    """Records by number of the shard; those that cannot be read are as good as none."""
    found: dict[int, Finished] = {}
    for name in notes.files():
        match = _NAME.fullmatch(name)
        if match is None:
            continue
        try:
            record = _Record.model_validate(parse_json(notes.read(name)))
        except (JSONFault, ValidationError, OSError):
            continue
        shard = ShardInfo(**record.shard.model_dump())
        if shard.name.startswith(f"shard-{match[1]}-{shard.sha256[:12]}"):
            found[int(match[1])] = Finished(record.made_of, shard)
    return found


def rows_of_shard(out: Location, notes: Location, number: int, finished: Finished) -> Iterator[Row]:
    """Rows of a finished shard, numbered as the set's; from the tar itself where its table cannot be used."""
    try:
        with notes.fetched(table_name(finished.index)) as file:
            table = open_table(file, finished.index)
            rows = [replace(row, shard=number) for row in _rows_in(table)]
    except (FileNotFoundError, TableFault):
        rows = []
    if len(rows) == finished.shard.samples:
        yield from rows
        return
    with out.fetched(finished.shard.name) as file:
        yield from rows_of(file, number, lambda *_: None, with_sums=True)


def clear_notes(notes: Location, finished: dict[int, Finished]) -> None:
    """Remove records and tables of shards that are not the set's any more."""
    tables = {table_name(each.index) for each in finished.values()}
    for name in notes.files():
        record, table = _NAME.fullmatch(name), TABLE_NAME.fullmatch(name)
        is_old = record is not None and int(record[1]) not in finished
        if is_old or (table is not None and name not in tables and is_our_table(notes, name, table[1])):
            notes.remove(name)


def _rows_in(table: SampleTable) -> Iterator[Row]:
    # Read at once, not row by row.
    columns: list[Any] = [np.asarray(each) for each in (table.members, table.record, table.key)]
    sums: Any = None if table.sums is None else np.asarray(table.sums)
    table = replace(table, members=columns[0], record=columns[1], key=columns[2], sums=sums)
    for row in range(len(table)):
        parts = tuple(part for bit, part in enumerate(PARTS) if int(table.parts[row]) >> bit & 1)
        quality, split = table.qualities[table.quality[row]], table.splits[table.split[row]]
        height, width = table.sides[row].tolist()
        frames, digest = int(table.frames[row]), bytes(table.record[row])
        places, sums = table.members_of(row), table.sums_of(row)
        yield Row(table.key_of(row), 0, quality, split, parts, frames, (height, width), places, digest, sums)
