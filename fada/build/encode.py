"""`fada data encode`: shards of frames and sound to shards with features, one by one, by workers, resumable.

Each finished shard lies in the output under its final name, with a record (encode_records.py) of what it was made of.
The index comes when all of them are there; until then an earlier set in its place stays valid.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from operator import attrgetter

import torch

from fada.build.data import features_of
from fada.build.encode_plan import EncodeSet, plan_set
from fada.build.encode_records import NOTES, Finished, clear_notes, rows_of_shard
from fada.build.encode_shard import (
    EncodeFault,
    EncodeTask,
    LoadEncoders,
    encode_shard,
    gone,
    start_encoding,
)
from fada.build.shards import KIND, was_sharded
from fada.data.clip_source import counts_of
from fada.data.crew import Crew, Lost, run_crew
from fada.data.location import Location
from fada.data.process_crew import ProcessCrew
from fada.data.ray_crew import RayCrew, cluster_address
from fada.data.shard_files import put_set
from fada.data.shard_format import PARTS
from fada.data.shard_set import shard_folders
from fada.data.shard_table import TableMaker
from fada.data.shards import (
    ShardError,
    ShardIndex,
    ShardInfo,
    read_index,
    shards_in_index,
)
from fada.files.folders import inside
from fada.files.outputs import output_folder
from fada.files.whole import clear_leftovers
from fada.media.processors import usable_processors

_SHOWN = 8
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EncodeProgress:
    """Told before the first shard and after each; all in clips."""

    done: int
    total: int
    resumed: int
    """Of `done`, those that an earlier call had encoded."""


@dataclass(frozen=True)
class Encoded:
    """What came of a set, or of each of its splits."""

    indices: dict[str, ShardIndex]
    """By folder of the output."""
    resumed: dict[str, int]
    """Shards of each that an earlier call had encoded."""


def encode_shards(
    source: str | Location,
    out: str | Location,
    load: LoadEncoders,
    *,
    keeps_media: bool = True,
    workers: int | None = None,
    cluster: str | None = None,
    overwrite: bool = False,
    on_progress: Callable[[EncodeProgress], None] = lambda told: None,
) -> Encoded:
    """Latents, audio states and masks for shards of frames and sound; what `fada data shard` makes with encoders.

    The same call again takes up what is done. A shard with anything damaged is not encoded; the others are.

    Args:
        source: a set of shards, or a folder with its splits; here or in an object store.
        out: a folder, or a URL; splits get folders in it.
        load: loads the VAE and the audio encoder; called here and once in each worker.
        keeps_media: whether frames and sound stay beside the features.
        workers: how many work at once; None is this process alone, on a cluster one per processor.
        cluster: as of `prepare_videos`; shards and encoders must lie where all its machines see them.
        overwrite: replace an earlier set, and shards that were made of anything else.
        on_progress: see `EncodeProgress`.

    Raises:
        ShardError: no shards, clips without frames or sound, damaged shards; or `out` holds another set, or shards that
            were made of anything else.
        FolderFault: `out` lies in the input or around it, or holds what fada did not make.
        FolderBusy: another command works in it.
        ClusterError: ray is not installed, or the cluster cannot be used.
        LocationError: an object store cannot be reached.
    """
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    if cluster is not None:
        cluster_address(cluster)
        # Other machines stand in other folders.
        source, out = (_absolute(Location(each)) for each in (source, out))
    places = _places(Location(source), Location(out))
    encoders = load()
    features = features_of(*encoders)
    with ExitStack() as held:
        _hold(held, Location(source), Location(out), [target for _, target in places])
        sets = [plan_set(place, target, features, keeps_media, overwrite) for place, target in places]
        resumed = {str(each.out): len(each.finished) for each in sets}
        if workers is None and cluster is None:
            tasks = [task for each in sets for task in each.open_tasks]
            outcomes = ((task, encode_shard(task, encoders)) for task in tasks)
        else:
            del encoders
            outcomes = _by_workers(sets, partial(start_encoding, load, features), workers, cluster, Location(out))
        # However this ends, no worker goes on.
        with closing(outcomes):
            _gather(sets, outcomes, on_progress)
        # All have ended that write there; what workers left that died goes.
        _clear(sets)
        indices = {str(each.out): _finish(each) for each in sets if not each.faults}
        _check_faults(sets)
    return Encoded(indices, resumed)


def _absolute(place: Location) -> Location:
    return place if place.folder is None else Location(place.folder.absolute())


def _places(source: Location, out: Location) -> list[tuple[Location, Location]]:
    """Every set of the input, and where it goes."""
    if str(source) == str(out) or f"{out}/".startswith(f"{source}/") or f"{source}/".startswith(f"{out}/"):
        raise ShardError(f"{out}: is the input {source}, or one holds the other; give a folder of its own")
    found = shard_folders(source)
    pairs = [(place, out if str(place) == str(source) else out / str(place).rpartition("/")[2]) for place in found]
    for place, _ in pairs:
        index = read_index(place)
        frames, sound = (index.parts.get(part, 0) for part in ("frames", "audio"))
        if (frames, sound) != (index.samples, index.samples):
            raise ShardError(
                f"{place}: {frames} of {index.samples} clips hold frames and {sound} sound, and features are made of "
                "both; give the shards that still hold them"
            )
    return pairs


def _hold(held: ExitStack, source: Location, out: Location, targets: Sequence[Location]) -> None:
    """The output's folders, ours, apart from the input, reached by no link and free of what a killed call left."""
    if out.folder is None:
        return
    inputs = [] if source.folder is None else [source.folder]
    held.enter_context(output_folder(out.folder, KIND, "encoding shards", inputs=inputs, was_ours=was_sharded))
    for target in targets:
        assert target.folder is not None
        names = [] if target.folder == out.folder else [target.folder.name]
        for folder in (inside(out.folder, *names), inside(out.folder, *names, NOTES)):
            folder.mkdir(exist_ok=True)
            clear_leftovers(folder)


def _by_workers(
    sets: Sequence[EncodeSet],
    start: Callable[[], Callable[[EncodeTask], ShardInfo | EncodeFault]],
    workers: int | None,
    cluster: str | None,
    out: Location,
) -> Generator[tuple[EncodeTask, ShardInfo | EncodeFault]]:
    """Outcomes of all open tasks, in the order in which they are finished."""
    tasks = [task for each in sets for task in each.open_tasks]
    if not tasks:
        return
    with ExitStack() as held:
        crew: Crew
        if cluster is not None:
            address = cluster_address(cluster)
            crew = held.enter_context(
                RayCrew(address, workers, start, out.folder, source_of=attrgetter("file"), gone=gone)
            )
        else:
            size = min(workers or 1, len(tasks))
            # Latents follow, in their last bits, from how many threads compute them: who says how many gets the same.
            threads = torch.get_num_threads() if os.environ.get("OMP_NUM_THREADS") else usable_processors() // size
            crew = ProcessCrew(size, start, max(1, threads))
        # Tasks hold dictionaries, so they are counted by place.
        deaths: Counter[tuple[str, int]] = Counter()

        def name_death(task: EncodeTask, detail: str) -> None:
            deaths[task.source, task.number] += 1
            again = deaths[task.source, task.number] < crew.attempts
            then = "it is tried again" if again else "it is given up"
            logger.warning("%s/%s: its worker died (%s); %s", task.source, task.shard.name, detail, then)

        for task, outcome in run_crew(tasks, crew, on_death=name_death):
            if isinstance(outcome, Lost):
                why = f"its worker died {outcome.attempts} times ({outcome.detail})"
                outcome = EncodeFault(f"{task.shard.name}: {why}: killed, crashed, or no memory was left")
            yield task, outcome


def _clear(sets: Sequence[EncodeSet]) -> None:
    for folder in (each.folder for one in sets for each in (one.out, one.out / NOTES)):
        if folder is not None:
            clear_leftovers(folder)


def _gather(
    sets: Sequence[EncodeSet],
    outcomes: Iterator[tuple[EncodeTask, ShardInfo | EncodeFault]],
    on_progress: Callable[[EncodeProgress], None],
) -> None:
    """Put every outcome to its set."""
    by_source = {str(each.source): each for each in sets}
    total = sum(each.index.samples for each in sets)
    resumed = done = sum(record.shard.samples for each in sets for record in each.finished.values())
    on_progress(EncodeProgress(done, total, resumed))
    for task, outcome in outcomes:
        owner = by_source[task.source]
        if isinstance(outcome, EncodeFault):
            owner.faults.append(outcome.reason)
            continue
        owner.finished[task.number] = Finished(task.made_of, outcome)
        done += outcome.samples
        on_progress(EncodeProgress(done, total, resumed))


def _finish(done: EncodeSet) -> ShardIndex:
    """Make the finished shards the set that lies in the output.

    Raises:
        ShardError: two samples of the same key.
    """
    rows, keys = TableMaker(), set[str]()
    for number in sorted(done.finished):
        for row in rows_of_shard(done.out, number, done.finished[number]):
            if row.key in keys:
                raise ShardError(
                    f"{done.source}: sample key {row.key!r} comes twice; keys name samples and must differ"
                )
            keys.add(row.key)
            rows.add(row)
    table = rows.made()
    splits = counts_of(table.split, table.splits)
    parts = {part: int(table.holds(part).sum()) for part in PARTS}
    shards = [done.finished[number].shard for number in sorted(done.finished)]
    index = ShardIndex(shards, len(table), splits, parts, dict(done.features))
    with done.out.scratch() as scratch:
        put_set(done.out, scratch, index, table, shards_in_index(done.out))
    clear_notes(done.out / NOTES, done.finished)
    return index


def _check_faults(sets: Sequence[EncodeSet]) -> None:
    """Raises ShardError where shards could not be encoded, naming the first of them."""
    faulty = [each for each in sets if each.faults]
    if not faulty:
        return
    faults = [f"{each.source}/{reason}" for each in faulty for reason in each.faults]
    named = "; ".join(faults[:_SHOWN]) + ("; ..." if len(faults) > _SHOWN else "")
    kept, tasks = (sum(map(len, each)) for each in zip(*((one.finished, one.tasks) for one in faulty), strict=True))
    raise ShardError(
        f"{len(faults)} of {tasks} shards were not encoded: {named}. The other {kept} are kept; get "
        "these again, or make their set again with fada data shard, and give the same command"
    )
