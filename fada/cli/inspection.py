"""What a set of shards holds: the table and the contact sheet of ``fada data inspect``."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from fada.data.sampling.clip_source import DamagedClip
from fada.data.shards.bytes_per_hour import evenly, in_words, measured
from fada.data.shards.location import Location
from fada.data.shards.reading import ShardError, read_index, read_shards
from fada.data.shards.shard_set import ShardSet, shard_folders
from fada.media.contact_sheet import contact_sheet

MOST_READ = 5000
"""Clips up to which every record is read; of larger sets as many, evenly chosen, and the table says the rest."""


def summary(folder: str | Path) -> list[Table]:
    """One table per set of shards; records are read, no video is decoded."""
    return [_table(shards) for shards in shard_folders(folder)]


def _table(shards: Location) -> Table:
    index, found = read_index(shards), ShardSet(shards)
    is_large = index.samples > MOST_READ
    metas = _some_metas(found) if is_large else [sample.meta for sample in read_shards(shards, parts=())]
    table = Table(box=None, pad_edge=False, title=str(shards), title_justify="left")
    table.add_column()
    table.add_column(overflow="fold")
    table.add_row("shards", f"{len(index.shards)}, {sum(shard.bytes for shard in index.shards) / 2**20:.1f} MiB")
    within = f"{MOST_READ} that were looked at, of " if is_large else ""
    table.add_row("clips", f"{len(metas)} readable of {within}{index.samples}")
    table.add_row("identities", str(len({meta.get("identity") for meta in metas} - {None})))
    counts = {"split": index.splits, "quality": found.table.quality_counts()} if is_large else {}
    for name in ("split", "quality"):
        table.add_row(name, _counts(counts.get(name) or (str(meta.get(name, "unknown")) for meta in metas)))
    table.add_row("flaws", _counts(flaw for meta in metas for flaw in meta.get("flaws", [])))
    table.add_row("stored", _counts(index.parts))
    table.add_row("per hour of video", in_words(measured(found)) or "unknown")
    for encoder, fingerprint in index.features.items():
        table.add_row(encoder, str(fingerprint))
    return table


def _some_metas(shards: ShardSet) -> list[dict[str, Any]]:
    """What is known of clips of a large set, evenly chosen; those that cannot be read are left out."""
    metas = []
    for number in evenly(len(shards), MOST_READ):
        try:
            metas.append(shards.sample(number, ()).meta)
        except DamagedClip:
            continue
    return metas


def _counts(values: Any) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(Counter(values).items())) or "none"


def contact_sheet_of(folder: str | Path, rows: int) -> np.ndarray:
    """A row of frames per clip, for the first clips that have frames; uint8 (H, W, 3).

    Raises:
        ShardError: the shards hold features only.
    """
    frames: list[np.ndarray] = []
    labels: list[str] = []
    for shards in shard_folders(folder):
        for sample in read_shards(shards, parts=("frames",)):
            if sample.frames is None or len(frames) == rows:
                break
            frames.append(sample.frames)
            flaws = ", ".join(sample.meta.get("flaws", []))
            labels.append(f"{sample.key}  {sample.meta.get('quality', '')}  {flaws}".rstrip())
    if not frames:
        raise ShardError(f"{folder}: holds no frames, only features; nothing to show")
    return contact_sheet(frames, labels)
