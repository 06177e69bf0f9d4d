"""What an hour of video takes in shards, part by part: measured of a set's table, or computed from shapes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from fada.data.sampling.clip_source import DamagedClip
from fada.data.shards.format import PARTS, suffix_of
from fada.data.shards.shard_set import ShardSet
from fada.data.shards.table import TableFault
from fada.media.sample_rate import SAMPLE_RATE

LOOKED_AT = 2000
"""Clips of a larger set whose members are added up; each is a read of some hundred bytes."""
_WAV_HEADER = 44


def measured(shards: ShardSet) -> dict[str, float]:
    """Bytes of each part per hour of video that has it; parts that no clip has are left out.

    Nothing is said where no clip's length is known. Clips without features are as long as their sound. Of many clips an
    even choice is looked at.
    """
    table, totals, seconds = shards.table, Counter[str](), Counter[str]()
    fps, rate = _rates(shards)
    for row in evenly(len(table), LOOKED_AT):
        try:
            members = table.members_of(row)
        except (TableFault, OSError):
            continue
        frames, sound = int(table.frames[row]), members.get(suffix_of("audio"), (0, 0))[1]
        length = frames / fps if frames else max(0, sound - _WAV_HEADER) / 2 / rate
        for part in PARTS:
            if suffix_of(part) in members and length:
                totals[part] += members[suffix_of(part)][1]
                seconds[part] += length  # type: ignore[assignment]
    return {part: 3600 * totals[part] / seconds[part] for part in PARTS if seconds[part]}


def computed(fps: float, latents: tuple[int, ...], states: tuple[int, int]) -> dict[str, float]:
    """Bytes of latents, audio states and sound per hour of video, as shards store them.

    Args:
        latents: shape of a frame's, channels, height and width of a VAE; each value has 2 bytes.
        states: layers and width of the audio encoder, of which each value has 2 bytes.
    """
    frames = 3600 * fps
    return {
        "latents": 2 * frames * float(np.prod(latents)),
        "audio_states": 2 * frames * float(np.prod(states)),
        "audio": 2.0 * 3600 * SAMPLE_RATE,
    }


def in_words(prices: Mapping[str, float]) -> str:
    """Parts with their bytes, for people."""
    return ", ".join(f"{part} {_size(price)}" for part, price in prices.items())


def _size(price: float) -> str:
    return f"{price / 2**30:.2f} GiB" if price >= 2**29 else f"{price / 2**20:.1f} MiB"


def evenly(count: int, most: int) -> list[int]:
    """Up to `most` numbers below a count, at even distances."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int)).tolist() if count else []


def _rates(shards: ShardSet) -> tuple[float, float]:
    """Frames per second and samples of sound per second, as the first clip that can be read has them."""
    for number in evenly(len(shards), 8):
        try:
            found = shards.sample(number, ())
            return found.fps, found.sample_rate
        except DamagedClip:
            continue
    return 25.0, SAMPLE_RATE
