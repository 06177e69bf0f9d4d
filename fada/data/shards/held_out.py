"""Held-out clips that stay in their shards: each is decoded when somebody looks at it."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from typing import overload

from fada.data.clips.clip import Clip
from fada.data.clips.sample_emotion import sample_emotion
from fada.data.clips.sample_keypoints import keypoint_parts_of, sample_keypoints
from fada.data.sampling.clip_source import DamagedClip
from fada.data.shards.format import Sample
from fada.data.shards.reading import DamagedShardWarning, warning_of
from fada.data.shards.shard_set import ShardSet
from fada.data.shards.stored_clips import face_clues, face_parts_of

PORTRAIT_RATIOS = (1.2, 2.0)
"""How much larger than the landmarks Hallo draws face and lips of the portrait that it animates."""


class HeldOutClips(Sequence[Clip]):
    """Clips with frames and sound of a set of shards, in its order. All bytes are looked at once, to know them whole.

    Args:
        keypoints: whether they are read, too, for systems that are shown them.
        emotion: whether it is read, too, for systems that are given one.

    Warns:
        DamagedShardWarning: of damaged clips, which are left out.
    """

    def __init__(self, shards: ShardSet, *, keypoints: bool = False, emotion: bool = False) -> None:
        self._shards = shards
        told = keypoint_parts_of(shards.index) if keypoints else ()
        told = (*told, "emotion") if emotion and shards.index.parts.get("emotion") else told
        self._parts = tuple(dict.fromkeys(("frames", "audio", *face_parts_of(shards.index), *told)))
        self._reads_keypoints, self._reads_emotion = keypoints, emotion
        faults = [shards.fault_of(number, self._parts) for number in range(len(shards))]
        self._numbers = [number for number, fault in enumerate(faults) if fault is None]
        damaged = [fault for fault in faults if fault is not None]
        if damaged:
            warnings.warn(DamagedShardWarning(warning_of(shards.place, damaged)), stacklevel=2)
        held = shards.table.holds("frames", "audio")
        without = [shards.table.key_of(number) for number in self._numbers if not held[number]]
        if without:
            raise ValueError(f"{without[0]}: held-out clips need frames and sound; write shards with both")

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, number: int) -> Clip: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Clip]: ...
    def __getitem__(self, number: int | slice) -> Clip | Sequence[Clip]:
        if isinstance(number, slice):
            made = copy.copy(self)
            made._numbers = self._numbers[number]
            return made
        try:
            sample = self._shards.sample(self._numbers[number], self._parts)
            return clip_of(sample, keypoints=self._reads_keypoints, emotion=self._reads_emotion)
        except ValueError as error:
            raise DamagedClip(f"{self._shards.place}: {error}; remove this held-out clip, or get it again") from error


def clip_of(sample: Sample, *, keypoints: bool = False, emotion: bool = False) -> Clip:
    """A held-out clip, with what is known of the face in its first frame; where asked for with keypoints or emotion.

    Raises:
        ValueError: it has no frames or no sound, or its truth is damaged.
    """
    if sample.frames is None or sample.audio is None:
        raise ValueError(f"{sample.key}: held-out clips need frames and sound; write shards with both")
    face = face_clues(sample, *PORTRAIT_RATIOS, frames=1)
    told = sample_keypoints(sample) if keypoints else None
    felt = sample_emotion(sample) if emotion else None
    meta = dict(sample.meta)
    return Clip(sample.key, sample.frames, sample.audio, meta=meta, face=face, keypoints=told, emotion=felt)
