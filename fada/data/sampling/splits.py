"""Which clips are held out: whole identities, never single clips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from fada.data.clips.clip import ClipError, list_clips, read_record, write_record
from fada.data.clips.clip_files import clip_file
from fada.data.clips.face_identities import Embeds, embed_clip, group_faces, name_groups
from fada.data.prepare.source import is_test_identity
from fada.files.locks import locked


def split_clips(
    folder: Path,
    test_share: float = 0.0,
    test_identities: Collection[str] | None = None,
    embedder: Embeds | None = None,
) -> Counter[str]:
    """Write "train" or "test" into each clip's record; records that say it already are not touched.

    Args:
        folder: clips, prepared or drawn.
        embedder: tells by their faces which clips show the same person, and writes that into the records too.
        test_share: share of the identities that are held out, by a hash of their name, as ``fada data prepare`` does.
        test_identities: hold out these instead.

    Returns:
        Clips per split.

    Raises:
        ClipError: a clip names no identity or has a damaged picture or damaged landmarks, or a held-out identity has no
            clip. Nothing is written then.
        FolderBusy: another command works in the folder.
    """
    keys = list_clips(folder)
    with locked(folder, "splitting clips"):
        return _split(folder, keys, test_share, test_identities, embedder)


def _split(
    folder: Path,
    keys: list[str],
    test_share: float,
    test_identities: Collection[str] | None,
    embedder: Embeds | None,
) -> Counter[str]:
    files = [clip_file(folder, key, ".json") for key in keys]
    records = {file: read_record(file) for file in files}
    for file, record in records.items():
        if not record["meta"].get("identity"):
            raise ClipError(f"{file}: names no identity, so it cannot be kept apart; prepare it again")
    before = {file: dict(record["meta"]) for file, record in records.items()}
    if embedder is not None:
        _name_by_face(folder, {file.stem: record["meta"] for file, record in records.items()}, embedder)
    unknown = set(test_identities or ()) - {record["meta"]["identity"] for record in records.values()}
    if unknown:
        raise ClipError(
            f"{folder}: no clip shows {', '.join(sorted(unknown)[:5])}; the identities to hold out are those that the "
            "clips' records name"
        )
    counts: Counter[str] = Counter()
    for file, record in records.items():
        identity = record["meta"]["identity"]
        is_test = is_test_identity(identity, test_share) if test_identities is None else identity in test_identities
        split = "test" if is_test else "train"
        counts[split] += 1
        record["meta"]["split"] = split
        if record["meta"] != before[file]:
            write_record(file, record)
    return counts


def _name_by_face(folder: Path, metas: dict[str, dict[str, Any]], embedder: Embeds) -> None:
    """Set the identity of each clip that has landmarks, and that its face says so."""
    embeddings: dict[str, np.ndarray] = {}
    for key in metas:
        try:
            found = embed_clip(folder, key, embedder)
        except ValueError as error:
            raise ClipError(f"{folder / key}: its face cannot be embedded ({error}); prepare the clip again") from error
        if found is not None:
            embeddings[key] = found
    for key, name in name_groups(group_faces(embeddings), metas).items():
        if metas[key].get("identity_from") != "list":
            metas[key] |= {"identity": name, "identity_from": "embedding"}
