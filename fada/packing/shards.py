"""`fada data shard`: clips of a folder to shards, with what encoders and prepare know of them; by workers, resumable.

Obeys the decisions of `fada data filter`: those of its table where a clip is still the one that was scored, or else the
one in the clip's record, as earlier versions left it. A decision holds `set` ("A", "B" or null), `failed_strict` and
`failed_lenient`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from diffusers import AutoencoderKL

from fada.assembly.models import AudioEncoder
from fada.data.clips.clip import REJECTED, ClipError, list_clips, read_record
from fada.data.clips.clip_files import clip_file
from fada.data.prepare.face_embedding import FaceEmbedder
from fada.data.scores.decisions import Decisions, read_decisions
from fada.data.shards.files import INDEX_FILE
from fada.data.shards.location import Location
from fada.data.shards.reading import ShardError, ShardIndex, check_replaced, read_index
from fada.files.outputs import check_apart, output_folder
from fada.packing.encode_plan import KEPT, NAMES, in_order
from fada.packing.pack_clips import (
    NOTES,
    PackTask,
    decided,
    gone,
    hash_states,
    labelled,
    landmarks_file,
    pack_clips,
    state_of,
)
from fada.packing.shard_workers import Workers, by_this_process, by_workers
from fada.packing.shards_in_making import (
    SetInMaking,
    ShardProgress,
    faults_of,
    gather,
    open_set_folders,
)
from fada.packing.tools import LoadTools, Tools, with_tools
from fada.packing.with_masks import DRAWN_MASKS
from fada.run.data import ENCODING, SAMPLES_PER_SHARD

KIND = "shards"
"""What fada's mark says in a folder of shards."""
SHARDING = 1
"""Raised when equal clips give other shards than before."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sharded:
    """What came of a folder of clips."""

    indices: dict[str, ShardIndex]
    """What was written, by split."""
    left_out: dict[str, int]
    """Clips that prepare or the filter put into no set, by split."""
    resumed: dict[str, int] = field(default_factory=dict)
    """Shards of each split that an earlier call had written."""


def shard_clips(
    folder: Path,
    out: str | Path | Location,
    vae: AutoencoderKL | None = None,
    encoder: AudioEncoder | None = None,
    takes_all: bool = False,
    face_embedder: FaceEmbedder | None = None,
    *,
    load: LoadTools | None = None,
    keeps: tuple[str, ...] = ("frames", "audio"),
    workers: int | None = None,
    cluster: str | None = None,
    device: str = "cpu",
    overwrite: bool = False,
    on_progress: Callable[[ShardProgress], None] = lambda told: None,
) -> Sharded:
    """Clips to shards, a folder per split; with a VAE and an encoder features and masks are stored too.

    Clips with landmarks, and drawn ones, get their keypoints (`fada.data.clips.keypoints`). The same call again takes
    up what a broken-off one has done. A clip that cannot be read stops its shard alone.

    Args:
        out: a folder, or a URL in an object store.
        takes_all: also clips that prepare or the filter put into no set; their quality is "rejected".
        face_embedder: stores an embedding of each clip's face; the clips then need landmarks.
        load: loads VAE, encoder and embedder, here and once in each worker; in place of those three.
        keeps: of frames and audio, beside latents; clips without latents keep both.
        workers, cluster, device: as of `encode_shards`; workers need `load`.
        overwrite: replace earlier sets of the splits that are written, and shards that were made of anything else.
        on_progress: see `ShardProgress`.

    Raises:
        ClipError: a clip cannot be read, its decision is none, its truth or landmarks are damaged, or it has no
            landmarks for its face.
        ShardError: no clip is left, or an earlier set of a split is there and may not be replaced, or shards that were
            made of anything else.
        FolderFault: the folder is that of the clips, or holds what fada did not make.
        FolderBusy: another command works in it.
        ClusterError: ray is not installed, or the cluster cannot be used.
    """
    target, who = Location(out), Workers(workers, cluster, device)
    if who.are_others and load is None:
        raise ValueError("workers load their encoders themselves: give load")
    load = load or partial(Tools, vae, encoder, face_embedder)
    if cluster is not None:
        # Other machines stand in other folders.
        folder = folder.absolute()
        target = target if target.folder is None else Location(target.folder.absolute())
    if target.folder is not None:
        check_apart(target.folder, [folder])
    chosen, left_out = _chosen(folder, takes_all)
    tools = load()
    if tools.vae is None and keeps != ("frames", "audio"):
        raise ValueError("clips without latents keep frames and sound")
    if tools.face_embedder is not None:
        _check_landmarks(folder, [key for clips in chosen.values() for key in clips.keys])
    _check_earlier(target, chosen, overwrite)
    with ExitStack() as held:
        if target.folder is not None:
            held.enter_context(
                output_folder(target.folder, KIND, "writing shards", inputs=[folder], was_ours=was_sharded)
            )
            open_set_folders(target, [target / split for split in chosen], NOTES)
        features = tools.features()
        sets = {
            split: _planned(folder, chosen[split], target / split, tools, keeps, overwrite) for split in sorted(chosen)
        }
        resumed = {split: len(each.finished) for split, each in sets.items()}
        making = list(sets.values())
        if who.are_others:
            del tools
            start = partial(with_tools, pack_clips, load, features, device)
            outcomes = by_workers(making, start, who, target, gone)
        else:
            outcomes = by_this_process(making, partial(pack_clips, tools=tools.on(device)))
        gather(making, outcomes, on_progress)
        indices = {split: each.finish() for split, each in sets.items() if not each.faults}
        said = faults_of(making, "written")
        if said is not None:
            raise ClipError(f"{said}; mend these clips or remove them, and give the same command")
    return Sharded(indices, left_out, resumed)


def was_sharded(folder: Path) -> bool:
    """Whether an earlier version wrote shards here: all that lies here is folders with an index that can be read."""
    entries = list(folder.iterdir())
    try:
        return bool(entries) and all(entry.is_dir() and bool(read_index(entry).shards) for entry in entries)
    except ShardError:
        return False


@dataclass
class _Chosen:
    """Clips of a split: keys, decisions of the table, and what the clips of each shard follow from, by its number."""

    keys: list[str] = field(default_factory=list)
    decisions: list[Any] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)
    states: list[str] = field(default_factory=list)

    def add(self, key: str, decision: Any, state: str) -> None:
        """One clip more."""
        self.keys.append(key)
        self.decisions.append(decision)
        self.states.append(state)
        if len(self.states) == SAMPLES_PER_SHARD:
            self.close()

    def close(self) -> None:
        """Hash what the clips of the last shard follow from."""
        if self.states:
            self.inputs.append(hash_states(self.states))
        self.states = []


def _chosen(folder: Path, takes_all: bool) -> tuple[dict[str, _Chosen], dict[str, int]]:
    """Clips to write, by split, and how many are left out."""
    chosen: dict[str, _Chosen] = {}
    left_out: dict[str, int] = {}
    decisions = read_decisions(folder)
    for key in list_clips(folder):
        record = read_record(clip_file(folder, key, ".json"))
        decision = decisions.of(folder, record)
        meta = decided(record["meta"], decision)
        split = str(meta.get("split", "train"))
        if not takes_all and labelled(meta, folder, key).get("quality") == REJECTED:
            left_out[split] = left_out.get(split, 0) + 1
        else:
            chosen.setdefault(split, _Chosen()).add(key, decision, state_of(folder, record, decision))
    for each in chosen.values():
        each.close()
    _name_stale(folder, decisions)
    if not chosen:
        reason = (
            "prepare or the filter put all clips into no set; take them with --all" if left_out else "no clips here"
        )
        raise ShardError(f"{folder}: {reason}")
    return chosen, left_out


def _name_stale(folder: Path, decisions: Decisions) -> None:
    if decisions.stale:
        logger.warning(
            "%s: %d clips are others than those that were scored, %s among them; their scores decide nothing: run fada "
            "data filter again", folder, len(decisions.stale), decisions.stale[0],
        )  # fmt: skip


def _check_earlier(target: Location, chosen: dict[str, _Chosen], overwrite: bool) -> None:
    """Refuse to replace a set that is there; one of which some splits are there may be one that was broken off."""
    are_there = [split for split in chosen if INDEX_FILE in (target / split).files()]
    for split in are_there:
        if len(are_there) == len(chosen) or NOTES not in (target / split).folders():
            check_replaced(target / split, overwrite)


def _planned(
    folder: Path, chosen: _Chosen, out: Location, tools: Tools, keeps: tuple[str, ...], overwrite: bool
) -> SetInMaking[PackTask]:
    """What is to be done of a split and what is done already."""
    features = tools.features()
    common = {**features, "media": KEPT[keeps], "sharding": str(SHARDING)}
    if tools.vae is not None:
        common |= {"masks": DRAWN_MASKS, "encoding": str(ENCODING)}
        if any(landmarks_file(folder, key).is_file() for key in chosen.keys):
            features = {**features, "masks": DRAWN_MASKS}
    clips = list(zip(chosen.keys, chosen.decisions, strict=True))
    tasks = {
        number: PackTask(
            folder,
            tuple(clips[number * SAMPLES_PER_SHARD : (number + 1) * SAMPLES_PER_SHARD]),
            number,
            str(out),
            {"input": digest, **common},
            keeps,
        )
        for number, digest in enumerate(chosen.inputs)
    }
    made = SetInMaking(str(folder), out, out / NOTES, len(clips), in_order(features), tasks)
    made.take_up({"input": "the hash of its clips", **NAMES}, overwrite)
    return made


def _check_landmarks(folder: Path, keys: list[str]) -> None:
    """Before the first clip is encoded, not when its turn comes."""
    without = [key for key in keys if not landmarks_file(folder, key).is_file()]
    if without:
        raise ClipError(
            f"{landmarks_file(folder, without[0])}: no such file, and {len(without)} of {len(keys)} clips have none; "
            "a face embedding needs landmarks: make the clips with fada data prepare, or shard without --face-embedder"
        )
