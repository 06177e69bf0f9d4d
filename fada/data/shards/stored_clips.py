"""Training clips that stay in their shards: each is read and decoded when a step asks for it."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from fada.data.audio.encoder import AudioEncoder, check_rate, states_of
from fada.data.clips.face import FaceClues, face_boxes
from fada.data.clips.sample_emotion import sample_emotion
from fada.data.clips.sample_keypoints import hold_keypoints, keypoint_part_of, sample_keypoints
from fada.data.sampling.clip_source import ClipFacts, ClipSource, DamagedClip, LatentClip, latent_sides
from fada.data.shards.format import Sample
from fada.data.shards.index import ShardIndex
from fada.data.shards.shard_set import ShardSet
from fada.data.shards.table import SampleTable

FEATURES = ("latents", "audio_states")
_COLUMNS = ("frames", "sides", "has_face", "has_keypoints", "has_emotion")


class StoredClips(ClipSource):
    """Clips with latents and audio states of sets of shards, one set after the other, in the sets' order.

    Args:
        face_ratio, lip_ratio: how much larger than the landmarks the boxes of face and lips are; Hallo trains on 1.
        keypoints: whether they are read, too, for teachers that are shown them.
        emotion: whether it is read, too, for teachers that are given one.
        by_shard: whether they shall be drawn shard by shard, as suits object stores.
        encoder: makes the audio states of the clips' sound, each time that a clip is read; None: they are stored.
    """

    def __init__(
        self,
        sets: Sequence[ShardSet],
        *,
        face_ratio: float = 1.0,
        lip_ratio: float = 1.0,
        keypoints: bool = False,
        emotion: bool = False,
        by_shard: bool = False,
        encoder: AudioEncoder | None = None,
    ) -> None:
        self._sets, self._ratios, self._by_shard = tuple(sets), (face_ratio, lip_ratio), by_shard
        self._reads_keypoints, self._reads_emotion = keypoints, emotion
        for each in sets:
            each.comes_by_shard = by_shard
        # One of its own, on the CPU: workers get it, too.
        self._encoder = None if encoder is None else copy.deepcopy(encoder).cpu()
        features = FEATURES if encoder is None else ("latents", "audio")
        self._parts = [(*features, *face_parts_of(each.index)) for each in sets]
        # Numbers of clips count through all sets; rows are numbers within the one that holds the clip.
        rows = [np.flatnonzero(each.table.holds(*features)).astype(np.uint32) for each in sets]
        self._set = np.concatenate([np.full(len(chosen), at, np.uint16) for at, chosen in enumerate(rows)])
        self._row = np.concatenate(rows)
        self._facts = _join(
            [_facts_of(each, chosen, keypoints, emotion) for each, chosen in zip(sets, rows, strict=True)]
        )

    def __len__(self) -> int:
        return len(self._row)

    @property
    def facts(self) -> ClipFacts:
        return self._facts

    @property
    def set_numbers(self) -> np.ndarray:
        """Which set (N,) each clip is of."""
        return self._set

    @property
    def shard_numbers(self) -> np.ndarray | None:
        if not self._by_shard:
            return None
        found = np.empty(len(self._row), np.int64)
        first = 0
        for at, each in enumerate(self._sets):
            of_set = self._set == at
            found[of_set] = first + each.table.shard[self._row[of_set]]
            first += len(each.index.shards)
        return found

    def key(self, number: int) -> str:
        return self._table(number).key_of(int(self._row[number]))

    def read(self, number: int) -> LatentClip:
        at, row = int(self._set[number]), int(self._row[number])
        told = keypoint_part_of(self._sets[at].table, row) if self._reads_keypoints else ()
        has_emotion = bool(self.facts.has_emotion[number])
        parts = {*self._parts[at], *told, *(("emotion",) if has_emotion else ())}
        sample = self._sets[at].sample(row, parts)
        quality = str(sample.meta.get("quality", "A"))
        states = self._states(sample)
        if sample.latents is None or states is None:
            raise DamagedClip(f"{self._sets[at].place}: {sample.key}: has no latents or no audio states")
        said = (self.facts.qualities[int(self.facts.quality[number])], int(self.facts.frames[number]))
        sides = tuple(self.facts.sides[number].tolist())
        found = (quality, len(sample.latents))
        if said != found or sides != latent_sides(sample.latents.shape):
            raise DamagedClip(
                f"{self._sets[at].place}: {sample.key}: is {found} of {latent_sides(sample.latents.shape)}, the table "
                f"of samples says {said} of {sides}; make it again with fada data index"
            )
        face = face_clues(sample, *self._ratios)
        keypoints = sample_keypoints(sample) if told else None
        emotion = sample_emotion(sample) if has_emotion else None
        return LatentClip(sample.key, quality, sample.latents, states, face, keypoints, emotion)

    def _states(self, sample: Sample) -> Tensor | None:
        if self._encoder is None or sample.audio is None or sample.latents is None:
            return sample.audio_states
        check_rate(self._encoder, sample.key, sample.fps)
        return states_of(self._encoder, sample.audio, len(sample.latents))

    @property
    def makes_states(self) -> bool:
        """Whether audio states are made as clips are read."""
        return self._encoder is not None

    def subset(self, numbers: np.ndarray) -> StoredClips:
        made = copy.copy(self)
        made._set, made._row, made._facts = self._set[numbers], self._row[numbers], self._facts.subset(numbers)
        return made

    @property
    def shard_bytes(self) -> int:
        """Of all shards that the clips may be in."""
        return sum(shard.bytes for each in self._sets for shard in each.index.shards)

    def hash_records(self) -> str:
        """SHA-256 over the hashes of the clips' records in their order, which hold the hashes of all members."""
        digest = hashlib.sha256(b"by shard\0" if self._by_shard else b"")
        for at, each in enumerate(self._sets):
            # One set after the other: so the clips of any choice come, too.
            digest.update(np.ascontiguousarray(np.asarray(each.table.record)[self._row[self._set == at]]).data)
        if self._encoder is not None:
            digest.update(self._encoder.fingerprint().encode())
        return digest.hexdigest()

    def _table(self, number: int) -> SampleTable:
        return self._sets[int(self._set[number])].table


def _facts_of(each: ShardSet, rows: np.ndarray, reads_keypoints: bool, reads_emotion: bool) -> ClipFacts:
    table = each.table
    faces = face_parts_of(each.index)
    none = np.zeros(len(rows), bool)
    has_face = table.holds(*faces)[rows] if faces else none
    has_keypoints = hold_keypoints(table)[rows] if reads_keypoints else none
    has_emotion = table.holds("emotion")[rows] if reads_emotion else none
    return ClipFacts(
        table.quality[rows],
        table.qualities,
        table.frames[rows],
        table.sides[rows],
        has_face,
        has_keypoints,
        has_emotion,
    )


def _join(facts: Sequence[ClipFacts]) -> ClipFacts:
    """Facts of several sets as those of one: their qualities get common numbers."""
    qualities = tuple(dict.fromkeys(name for each in facts for name in each.qualities))
    numbers = [np.array([qualities.index(name) for name in each.qualities], np.uint16) for each in facts]
    return ClipFacts(
        np.concatenate([found[each.quality] for found, each in zip(numbers, facts, strict=True)]),
        qualities,
        *(np.concatenate([getattr(each, name) for each in facts]) for name in _COLUMNS),
    )


def face_clues(sample: Sample, face_ratio: float, lip_ratio: float, frames: int | None = None) -> FaceClues | None:
    """What a sample tells of its face, boxes around the first `frames` (all); None without embedding or landmarks."""
    if sample.face is None or sample.landmarks is None:
        return None
    landmarks = sample.landmarks["landmarks"][:frames].float().numpy()
    return FaceClues(sample.face.float(), *face_boxes(landmarks, face_ratio, lip_ratio))


def face_parts_of(index: ShardIndex) -> tuple[str, ...]:
    """Parts that tell of faces; landmarks alone tell nothing and stay unread."""
    return ("face", "landmarks") if index.parts.get("face") else ()
