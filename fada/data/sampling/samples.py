"""A fixed random sample of clips: the paper judges its models on 100 samples of each test set."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Any


def draw_sample(keys: Collection[str], count: int, seed: int) -> dict[str, Any]:
    """Which clips, of which: the same for the same keys and seed, in whatever order they come.

    Each key's place is a hash of seed and key, and the first ``count`` are taken: every set of that size is equally
    likely, and adding or removing a few clips changes only a few of the sample.

    Returns:
        JSON values: ``keys`` (sorted), ``seed``, ``count``, and ``population``: how many clips there were and the
        SHA-256 of their sorted keys, one per line.

    Raises:
        ValueError: fewer clips than wanted, or a key twice.
    """
    if len(set(keys)) < len(keys):
        raise ValueError(f"{len(keys) - len(set(keys))} keys appear twice; a sample needs each clip once")
    if not 0 < count <= len(keys):
        raise ValueError(f"a sample of {count} clips cannot be drawn from {len(keys)}")
    chosen = sorted(keys, key=lambda key: hashlib.sha256(f"{seed}:{key}".encode()).digest())[:count]
    text = "".join(f"{key}\n" for key in sorted(keys))
    population = {"clips": len(keys), "sha256": hashlib.sha256(text.encode()).hexdigest()}
    return {"seed": seed, "count": count, "population": population, "keys": sorted(chosen)}
