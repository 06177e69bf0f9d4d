"""`fada data encode`: shards of frames and sound to shards with features, one by one, by workers, resumable."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from fada.data.shards.index import ShardIndex
from fada.data.shards.location import Location
from fada.data.shards.reading import ShardError, read_index
from fada.data.shards.shard_set import shard_folders
from fada.files.outputs import output_folder
from fada.packing.encode_plan import plan_set
from fada.packing.encode_shard import NOTES, encode_shard, gone
from fada.packing.shard_workers import Workers, by_this_process, by_workers
from fada.packing.shards import KIND, was_sharded
from fada.packing.shards_in_making import (
    ShardProgress,
    faults_of,
    gather,
    open_set_folders,
)
from fada.packing.tools import LoadTools, with_tools


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
    load: LoadTools,
    *,
    keeps_media: bool = True,
    keeps_frames: bool = True,
    workers: int | None = None,
    cluster: str | None = None,
    device: str = "cpu",
    overwrite: bool = False,
    on_progress: Callable[[ShardProgress], None] = lambda told: None,
) -> Encoded:
    """Latents, audio states and masks for shards of frames and sound; what `fada data shard` makes with encoders.

    The same call again takes up what is done. A shard with anything damaged is not encoded; the others are.

    Args:
        source: a set of shards, or a folder with its splits; here or in an object store.
        out: a folder, or a URL; splits get folders in it.
        load: loads a VAE and what else there is; called here and once in each worker.
        keeps_media: whether frames and sound stay beside the features.
        keeps_frames: whether frames stay where sound does.
        workers: how many work at once; None is this process alone, on a cluster one per processor or GPU.
        cluster: as of `prepare_videos`; shards and encoders must lie where all its machines see them.
        device: where the encoders compute: "cpu", or "cuda", of which each worker gets a GPU of its own.
        overwrite: replace an earlier set, and shards that were made of anything else.
        on_progress: see `ShardProgress`.

    Raises:
        ShardError: no shards, clips without frames or sound, damaged shards; or `out` holds another set, or shards that
            were made of anything else; or there is no such device.
        FolderFault: `out` lies in the input or around it, or holds what fada did not make.
        FolderBusy: another command works in it.
        ClusterError: ray is not installed, or the cluster cannot be used.
        LocationError: an object store cannot be reached.
    """
    who = Workers(workers, cluster, device)
    if cluster is not None:
        # Other machines stand in other folders.
        source, out = (_absolute(Location(each)) for each in (source, out))
    places = _places(Location(source), Location(out))
    tools = load()
    if tools.vae is None:
        raise ValueError("shards are encoded with a VAE")
    features = tools.features()
    keeps = ("frames", "audio") if keeps_media and keeps_frames else ("audio",) if keeps_media else ()
    if tools.face_embedder is not None:
        _check_landmarks([place for place, _ in places])
    with ExitStack() as held:
        _hold(held, Location(source), Location(out), [target for _, target in places])
        sets = [plan_set(place, target, features, keeps, overwrite) for place, target in places]
        resumed = {str(each.out): len(each.finished) for each in sets}
        if who.are_others:
            del tools
            start = partial(with_tools, encode_shard, load, features, device)
            outcomes = by_workers(sets, start, who, Location(out), gone)
        else:
            outcomes = by_this_process(sets, partial(encode_shard, tools=tools.on(device)))
        gather(sets, outcomes, on_progress)
        indices = {str(each.out): each.finish() for each in sets if not each.faults}
        said = faults_of(sets, "encoded")
        if said is not None:
            raise ShardError(
                f"{said}; get these again, or make their set again with fada data shard, and give the same command"
            )
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


def _check_landmarks(places: list[Location]) -> None:
    """Before the first clip is encoded, not when its turn comes."""
    for place in places:
        index = read_index(place)
        found = index.parts.get("landmarks", 0)
        if found != index.samples:
            raise ShardError(
                f"{place}: {found} of {index.samples} clips have landmarks, and a face embedding needs them; shard "
                "clips of fada data prepare, or encode without --face-embedder"
            )


def _hold(held: ExitStack, source: Location, out: Location, targets: list[Location]) -> None:
    """The output's folders, ours, apart from the input, reached by no link and free of what a killed call left."""
    if out.folder is None:
        return
    inputs = [] if source.folder is None else [source.folder]
    held.enter_context(output_folder(out.folder, KIND, "encoding shards", inputs=inputs, was_ours=was_sharded))
    open_set_folders(out, targets, NOTES)
