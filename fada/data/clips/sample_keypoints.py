"""Where a sample's keypoints come from: stored by `fada data shard`, else landmarks, else the truth of a drawn clip."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from fada.data.clips.keypoints import Keypoints, keypoints_of_landmarks, read_stored
from fada.data.shards.format import PARTS, Sample
from fada.data.shards.index import ShardIndex
from fada.data.shards.table import SampleTable
from fada.data.world.keypoints import keypoints_of_truth

_SOURCES = ("keypoints", "landmarks")
"""Parts that tell of keypoints; landmarks, which are 478 points, only where the five are not stored."""


def sample_keypoints(sample: Sample) -> Keypoints | None:
    """The keypoints of a sample; None where nothing of it tells of them.

    Raises:
        ValueError: they are of another number of frames than its other parts; or the truth of a drawn clip is damaged.
    """
    found = _found(sample)
    frames = sample.frames if sample.latents is None else sample.latents
    if found is not None and frames is not None and len(frames) != len(found.points):
        raise ValueError(
            f"{sample.key}: has {len(frames)} frames, and keypoints of {len(found.points)}; make the clip again"
        )
    return found


def _found(sample: Sample) -> Keypoints | None:
    if sample.keypoints is not None:
        return read_stored(sample.keypoints)
    if sample.landmarks is not None:
        return keypoints_of_landmarks(sample.landmarks["landmarks"].float().numpy())
    try:
        return keypoints_of_truth(sample.meta)
    except ValueError as error:
        raise ValueError(f"{sample.key}: {error}") from error


def with_keypoints(samples: Iterable[Sample]) -> Iterator[Sample]:
    """The samples, with keypoints as shards store them where something tells of them.

    Raises:
        ValueError: as `sample_keypoints`.
    """
    for sample in samples:
        found = None if sample.keypoints is not None else sample_keypoints(sample)
        yield sample if found is None else replace(sample, keypoints=found.stored())


def keypoint_parts_of(index: ShardIndex) -> tuple[str, ...]:
    """Parts that tell of the keypoints of some sample of a set."""
    return tuple(part for part in _SOURCES if index.parts.get(part))


def keypoint_part_of(table: SampleTable, row: int) -> tuple[str, ...]:
    """The part that has to be read for the keypoints of one sample; none where no part has them."""
    held = int(table.parts[row])
    return next(((part,) for part in _SOURCES if held >> PARTS.index(part) & 1), ())


def hold_keypoints(table: SampleTable) -> np.ndarray:
    """Which samples (N,) of a set have keypoints, by their parts."""
    found: np.ndarray = table.holds(_SOURCES[0]) | table.holds(_SOURCES[1])
    return found
