"""Which clips are held out: whole identities, never single clips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from pathlib import Path

from fada.data.clip import ClipError, list_clips, read_record, write_record
from fada.data.prepare.source import is_test_identity
from fada.files.locks import locked


def split_clips(folder: Path, test_share: float = 0.0, test_identities: Collection[str] | None = None) -> Counter[str]:
    """Write "train" or "test" into each clip's record; records that say it already are not touched.

    Args:
        folder: clips, prepared or drawn.
        test_share: share of the identities that are held out, by a hash of their name, as ``fada data prepare`` does.
        test_identities: hold out these instead.

    Returns:
        Clips per split.

    Raises:
        ClipError: a clip names no identity, or a held-out identity has no clip. Nothing is written then.
        FolderBusy: another command works in the folder.
    """
    keys = list_clips(folder)
    with locked(folder, "splitting clips"):
        return _split(folder, keys, test_share, test_identities)


def _split(folder: Path, keys: list[str], test_share: float, test_identities: Collection[str] | None) -> Counter[str]:
    files = [folder / f"{key}.json" for key in keys]
    records = {file: read_record(file) for file in files}
    for file, record in records.items():
        if not record["meta"].get("identity"):
            raise ClipError(f"{file}: names no identity, so it cannot be kept apart; prepare it again")
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
        if record["meta"].get("split") != split:
            record["meta"]["split"] = split
            write_record(file, record)
    return counts
