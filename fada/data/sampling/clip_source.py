"""Clips to train on, one at a time, in memory or wherever else; and what is known of them all without reading any."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from torch import Tensor

from fada.data.clips.face import FaceClues
from fada.data.clips.keypoints import Keypoints


class DamagedClip(ValueError):
    """A clip that is not what was written; the message names it."""


@dataclass(frozen=True)
class LatentClip:
    """One clip ready for training.

    latents: (F, C, h, w) scaled VAE latents; states: (F, layers, dim) of the audio encoder, padded by no one; face and
    keypoints (F, ...): for teachers that are told of them; emotion (7,): a soft label, for those that are given one.
    """

    key: str
    quality: str
    latents: Tensor
    states: Tensor
    face: FaceClues | None = None
    keypoints: Keypoints | None = None
    emotion: Tensor | None = None


@dataclass(frozen=True)
class ClipFacts:
    """What is known of N clips without reading them.

    quality: (N,) numbers in `qualities`; frames: (N,) of the latents; sides: (N, 2) of the latents (`latent_sides`);
    has_face, has_keypoints, has_emotion: (N,) booleans, whether they are read with the clips.
    """

    quality: np.ndarray
    qualities: tuple[str, ...]
    frames: np.ndarray
    sides: np.ndarray
    has_face: np.ndarray
    has_keypoints: np.ndarray
    has_emotion: np.ndarray

    def of_quality(self, quality: str) -> np.ndarray:
        """Which clips (N,) are of a quality, `all` for every one."""
        if quality == "all":
            return np.ones(len(self.quality), bool)
        if quality not in self.qualities:
            return np.zeros(len(self.quality), bool)
        found: np.ndarray = self.quality == self.qualities.index(quality)
        return found

    def counts(self) -> dict[str, int]:
        """Clips of every quality."""
        return counts_of(self.quality, self.qualities)

    def subset(self, numbers: np.ndarray) -> ClipFacts:
        """The same of some of the clips."""
        told = (self.has_face, self.has_keypoints, self.has_emotion)
        columns = (each[numbers] for each in (self.frames, self.sides, *told))
        return ClipFacts(self.quality[numbers], self.qualities, *columns)


def latent_sides(shape: Sequence[int]) -> tuple[int, int]:
    """Height and width of latents (F, C, h, w); 0 and 0 of others, which are no maps."""
    return (int(shape[2]), int(shape[3])) if len(shape) == 4 else (0, 0)


def counts_of(numbers: np.ndarray, names: Sequence[str]) -> dict[str, int]:
    """How often each name comes in a column (N,) of their numbers; those that do not come are left out."""
    counted = np.bincount(numbers, minlength=len(names)).tolist()
    return {name: count for name, count in zip(names, counted, strict=True) if count}


class ClipSource(Sequence[LatentClip]):
    """Clips that are read when they are asked for."""

    @property
    @abstractmethod
    def facts(self) -> ClipFacts:
        """What is known of them all."""

    @abstractmethod
    def key(self, number: int) -> str:
        """Key of a clip; it is not read."""

    @abstractmethod
    def read(self, number: int) -> LatentClip:
        """A clip, read now.

        Raises:
            DamagedClip: it is not what was written.
        """

    @abstractmethod
    def subset(self, numbers: np.ndarray) -> ClipSource:
        """Some of the clips, in this order."""

    @property
    def set_numbers(self) -> np.ndarray:
        """Which set (N,) each clip is of, where there are several."""
        return np.zeros(len(self), np.uint16)

    @property
    def shard_numbers(self) -> np.ndarray | None:
        """Which shard (N,) each clip lies in, where clips shall be drawn shard by shard; None where it is all one."""
        return None

    @overload
    def __getitem__(self, number: int) -> LatentClip: ...
    @overload
    def __getitem__(self, number: slice) -> ClipSource: ...
    def __getitem__(self, number: int | slice) -> LatentClip | ClipSource:
        if isinstance(number, slice):
            return self.subset(np.arange(len(self))[number])
        if not -len(self) <= number < len(self):
            raise IndexError(number)
        return self.read(number % len(self))


class ClipsInMemory(ClipSource):
    """Clips that are there."""

    def __init__(self, clips: Sequence[LatentClip]) -> None:
        self._clips = list(clips)
        qualities = tuple(dict.fromkeys(clip.quality for clip in clips))
        self._facts = ClipFacts(
            np.array([qualities.index(clip.quality) for clip in clips], np.int64),
            qualities,
            np.array([len(clip.latents) for clip in clips], np.int64),
            np.array([latent_sides(clip.latents.shape) for clip in clips], np.int64).reshape(len(clips), 2),
            np.array([clip.face is not None for clip in clips], bool),
            np.array([clip.keypoints is not None for clip in clips], bool),
            np.array([clip.emotion is not None for clip in clips], bool),
        )

    def __len__(self) -> int:
        return len(self._clips)

    @property
    def facts(self) -> ClipFacts:
        return self._facts

    def key(self, number: int) -> str:
        return self._clips[number].key

    def read(self, number: int) -> LatentClip:
        return self._clips[number]

    def subset(self, numbers: np.ndarray) -> ClipsInMemory:
        return ClipsInMemory([self._clips[int(number)] for number in numbers])


def source_of(clips: Sequence[LatentClip]) -> ClipSource:
    """The clips as a source."""
    return clips if isinstance(clips, ClipSource) else ClipsInMemory(clips)
