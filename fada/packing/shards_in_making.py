"""Sets of shards in the making: shard by shard, by this process, by others or by a cluster, resumable.

Each finished shard lies in the output under its final name, with a record (shard_records.py) of what it was made of.
The index comes when all of them are there; until then an earlier set in its place stays valid. Knows neither what a
shard is made of nor how.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from fada.data.sampling.clip_source import counts_of
from fada.data.shards.files import INDEX_FILE, put_set
from fada.data.shards.format import PARTS
from fada.data.shards.index import ShardIndex, ShardInfo, fault_of
from fada.data.shards.location import Location
from fada.data.shards.reading import ShardError, check_replaced, shards_in_index
from fada.data.shards.table import TableMaker
from fada.files.folders import inside
from fada.files.whole import clear_leftovers
from fada.packing.shard_records import Finished, clear_notes, read_records, rows_of_shard

SHOWN = 8
"""Faults that a message names."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ShardProgress:
    """Told before the first shard and after each; all in clips."""

    done: int
    total: int
    resumed: int
    """Of `done`, those of shards that an earlier call had made."""


@dataclass(frozen=True)
class ShardFault:
    """Why a shard was not made."""

    reason: str


class ShardTask(Protocol):
    """One shard that shall be made."""

    @property
    def out(self) -> str:
        """The set's folder, a path or URL."""
        ...

    @property
    def number(self) -> int:
        """Of the shard in its set."""
        ...

    @property
    def made_of(self) -> dict[str, str]:
        """What decides the result, as the record keeps it."""
        ...

    @property
    def named(self) -> str:
        """What it is made of, for people."""
        ...

    @property
    def file(self) -> Path | None:
        """A file that it is made of, by which a machine of a cluster knows that it sees the input; None in a store."""
        ...


Task = TypeVar("Task", bound=ShardTask)
Outcome = ShardInfo | ShardFault


@dataclass
class SetInMaking(Generic[Task]):
    """One set and the shards of its output that are done.

    source: what it is made of, for people; notes: where the records lie; samples: of the whole set.
    """

    source: str
    out: Location
    notes: Location
    samples: int
    features: Mapping[str, object]
    tasks: dict[int, Task]
    finished: dict[int, Finished] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    @property
    def open_tasks(self) -> list[Task]:
        """What is still to be done."""
        return [task for number, task in self.tasks.items() if number not in self.finished]

    def take_up(self, names: Mapping[str, str], overwrite: bool) -> None:
        """Know what an earlier call has done: shards whose record names what they are made of now, and which are whole.

        Args:
            names: what a shard is made of, for people, by its name in the record.
            overwrite: shards that were made of anything else are made anew.

        Raises:
            ShardError: what lies there follows from something else, and may not be replaced.
        """
        records = read_records(self.notes)
        if not overwrite:
            self._check_records(records, names)
            known = {shard.name for shard in shards_in_index(self.out).values()}
            if INDEX_FILE in self.out.files() and not (
                known and known <= {each.shard.name for each in records.values()}
            ):
                check_replaced(self.out, overwrite)
        for number, record in records.items():
            task = self.tasks.get(number)
            if task is not None and record.made_of == task.made_of and _is_whole(self.out, record.shard):
                self.finished[number] = record

    def _check_records(self, records: Mapping[int, Finished], names: Mapping[str, str]) -> None:
        for number, record in records.items():
            if number not in self.tasks:
                raise ShardError(
                    f"{self.out}: {record.shard.name} was made of shard {number}, and {self.source} has only "
                    f"{len(self.tasks)}; give the earlier input, another --out, or --overwrite to make the set anew"
                )
            now = self.tasks[number].made_of
            differing = [
                f"{names.get(name, name)} was {record.made_of.get(name, 'none')}, now it is {now.get(name, 'none')}"
                for name in sorted({*now, *record.made_of})
                if now.get(name) != record.made_of.get(name)
            ]
            if differing:
                raise ShardError(
                    f"{self.out}: {record.shard.name} was made of something else: {'; '.join(differing)}; give what it "
                    "was made of, another --out, or --overwrite to make such shards anew"
                )

    def finish(self) -> ShardIndex:
        """Make the finished shards the set that lies in the output.

        Raises:
            ShardError: two samples of the same key.
        """
        rows, keys = TableMaker(), set[str]()
        for number in sorted(self.finished):
            for row in rows_of_shard(self.out, self.notes, number, self.finished[number]):
                if row.key in keys:
                    raise ShardError(
                        f"{self.source}: sample key {row.key!r} comes twice; keys name samples and must differ"
                    )
                keys.add(row.key)
                rows.add(row)
        table = rows.made()
        splits = counts_of(table.split, table.splits)
        parts = {part: int(table.holds(part).sum()) for part in PARTS}
        shards = [self.finished[number].shard for number in sorted(self.finished)]
        index = ShardIndex(shards, len(table), splits, parts, dict(self.features))
        with self.out.scratch() as scratch:
            put_set(self.out, scratch, index, table, shards_in_index(self.out))
        clear_notes(self.notes, self.finished)
        return index


def gather(
    sets: Sequence[SetInMaking[Task]],
    outcomes: Generator[tuple[Task, Outcome]],
    on_progress: Callable[[ShardProgress], None],
) -> None:
    """Put every outcome to its set, and clear what killed workers left."""
    by_out = {str(each.out): each for each in sets}
    total = sum(each.samples for each in sets)
    resumed = done = sum(record.shard.samples for each in sets for record in each.finished.values())
    # However this ends, no worker goes on.
    with closing(outcomes):
        on_progress(ShardProgress(done, total, resumed))
        for task, outcome in outcomes:
            owner = by_out[task.out]
            if isinstance(outcome, ShardFault):
                owner.faults.append(outcome.reason)
                continue
            owner.finished[task.number] = Finished(task.made_of, outcome)
            done += outcome.samples
            on_progress(ShardProgress(done, total, resumed))
    # All have ended that write there; what workers left that died goes.
    for folder in (each.folder for one in sets for each in (one.out, one.notes)):
        if folder is not None:
            clear_leftovers(folder)


def open_set_folders(out: Location, targets: Sequence[Location], notes: str) -> None:
    """Make the folders of sets and of their records in a folder that is held, reached by no link, without leftovers."""
    if out.folder is None:
        return
    for target in targets:
        assert target.folder is not None
        names = [] if target.folder == out.folder else [target.folder.name]
        for folder in (inside(out.folder, *names), inside(out.folder, *names, notes)):
            folder.mkdir(exist_ok=True)
            clear_leftovers(folder)


def faults_of(sets: Sequence[SetInMaking[Task]], done: str) -> str | None:
    """What was not `done` ("encoded"), naming the first faults and what is kept; None where all was."""
    faulty = [each for each in sets if each.faults]
    if not faulty:
        return None
    faults = [reason for each in faulty for reason in each.faults]
    named = "; ".join(faults[:SHOWN]) + ("; ..." if len(faults) > SHOWN else "")
    kept, tasks = (sum(map(len, each)) for each in zip(*((one.finished, one.tasks) for one in faulty), strict=True))
    return f"{len(faults)} of {tasks} shards were not {done}: {named}. The other {kept} are kept"


def _is_whole(out: Location, shard: ShardInfo) -> bool:
    """Whether a finished shard is still what was written; of a store, whether it is there."""
    if out.folder is None:
        return shard.name in out.files()
    file = inside(out.folder, shard.name)
    fault = fault_of(file, shard) if file.is_file() else "is missing"
    if fault is not None:
        logger.warning("%s: %s; it is made again", file, fault)
    return fault is None
