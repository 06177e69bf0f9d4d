"""Training samples: batches of clips, drawn from a step's number.

Nothing is remembered: which clips, frames and references make up the batch of a step follows from (seed, step, sample)
alone, so resuming needs no state and any number of processes draws the same global batch. Every epoch goes through all
clips once, in an order of its own, whatever the number of processes.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from fada.data.clips.face import FaceClues, join_clues, stack_clues
from fada.data.clips.keypoints import Keypoints, join_keypoints, stack_keypoints
from fada.data.sampling.clip_source import ClipSource, DamagedClip, LatentClip, source_of
from fada.data.sampling.lanes import Lanes
from fada.data.sampling.mixture import Mixture
from fada.data.sampling.order import EpochOrders, Turns
from fada.data.sampling.seeds import sample_generator
from fada.data.shards.stored_clips import StoredClips
from fada.diffusion.transfer import moved

HASHED_WHOLE = 2**30
"""Bytes of shards up to which stored clips are known by all that is in them; beyond, by the hashes in their table."""
REPLACEMENTS = 8
"""Clips that are tried in place of a damaged one."""


def hash_clips(clips: Sequence[LatentClip]) -> str:
    """SHA-256 over clips in their order: keys, qualities, and all that is known of them, byte by byte.

    Of stored clips damaged ones are left out. Where reading them all takes long (`HASHED_WHOLE`), the hash is one over
    the hashes that the table of their shards holds.
    """
    if isinstance(clips, StoredClips) and (clips.makes_states or clips.shard_bytes > HASHED_WHOLE):
        return clips.hash_records()
    digest, source = hashlib.sha256(), source_of(clips)
    if source.shard_numbers is not None:
        # What a training follows from: runs of versions that knew one order are not gone on with in another.
        digest.update(b"by shard\0")
    for number in range(len(source)):
        try:
            clip = source.read(number)
        except DamagedClip:
            continue
        parts = {"latents": clip.latents, "states": clip.states}
        if clip.face is not None:
            parts |= {"face": clip.face.embedding, "face_box": clip.face.face_box, "lip_box": clip.face.lip_box}
        if clip.keypoints is not None:
            parts |= {f"keypoints.{name}": value for name, value in clip.keypoints.tensors().items()}
        if clip.emotion is not None:
            parts |= {"emotion": clip.emotion}
        digest.update(f"{clip.key}\0{clip.quality}\0".encode())
        for name, value in parts.items():
            digest.update(f"{name}\0{value.dtype}\0{tuple(value.shape)}\0".encode())
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def portraits_of(clips: Sequence[LatentClip], seed: int, most: int = 2000) -> Tensor:
    """Latents (N, C, h, w) in float32 of a frame of each clip, drawn by the seed; of many clips an even choice."""
    generator = sample_generator(seed, 0, 0, "portraits")
    return torch.stack(
        [
            clip.latents[int(torch.randint(len(clip.latents), (1,), generator=generator))].float()
            for clip in clips[:: max(1, math.ceil(len(clips) / most))]
        ]
    )


Asked = tuple[tuple[int, int, int], ...]
"""Samples, each by what `ClipSampler.sample` takes: step, number in the step, samples of a step."""


@dataclass(frozen=True)
class BatchShape:
    """How many samples make a step, and which of them are this process's.

    size: of one process and micro-batch; accumulate: micro-batches per step.
    """

    size: int
    rank: int = 0
    world: int = 1
    accumulate: int = 1

    @property
    def per_step(self) -> int:
        """Samples of a step, over all processes and micro-batches."""
        return self.size * self.world * self.accumulate

    def asked(self, step: int, micro: int) -> Asked:
        """What this process asks for in a micro-batch."""
        return tuple((step, sample, self.per_step) for sample in self.samples(micro))

    def following(self, step: int, micro: int) -> Iterator[tuple[int, int]]:
        """Steps and micro-batches after one, without end."""
        while True:
            step, micro = (step, micro + 1) if micro + 1 < self.accumulate else (step + 1, 0)
            yield step, micro

    def samples(self, micro: int) -> range:
        """Numbers of this process's samples within a step."""
        first = (micro * self.world + self.rank) * self.size
        return range(first, first + self.size)


@dataclass(frozen=True)
class Batch:
    """Samples of one step.

    latents: (B, F, C, h, w); reference: (B, C, h, w) of another moment of the same clip; motion: (B, M, C, h, w) the
    frames before; has_motion: (B,) booleans, False at a clip's start; audio: windows (B, F, 2 r + 1, layers, dim);
    face: of the B clips, where they have it; faults: what was damaged, and what stands in its place; keypoints:
    (B, F, ...) of the frames, reference_keypoints: (B, ...) of the reference, where the clips were read with them;
    emotion: (B, 7) soft labels, likewise; motion_audio: windows (B, M, 2 r + 1, layers, dim) of the motion frames,
    zeros where there are none, where the sampler gives them.
    """

    keys: list[str]
    qualities: list[str]
    latents: Tensor
    reference: Tensor
    motion: Tensor
    has_motion: Tensor
    audio: Tensor
    face: FaceClues | None = None
    faults: tuple[str, ...] = ()
    keypoints: Keypoints | None = None
    reference_keypoints: Keypoints | None = None
    emotion: Tensor | None = None
    motion_audio: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """The batch on another device."""
        names = ("latents", "reference", "motion", "audio", "has_motion", *_OPTIONAL)
        tensors = {name: getattr(self, name) for name in names}
        there: dict[str, Any] = {name: moved(each, device) for name, each in tensors.items() if each is not None}
        told = {name: getattr(self, name) for name in TOLD}
        there |= {name: each.to(device) for name, each in told.items() if each is not None}
        return replace(self, **there)


_KEYPOINTS = ("keypoints", "reference_keypoints")
_OPTIONAL = ("emotion", "motion_audio")
"""Fields of a batch that are one tensor, where the clips have it or the family asks for it."""
TOLD: dict[str, Callable[..., FaceClues | Keypoints]] = {
    "face": FaceClues,
    "keypoints": Keypoints,
    "reference_keypoints": Keypoints,
}
"""Fields of a batch that hold several tensors, where the clips have them, and their kinds."""


class ReadsAhead(Protocol):
    """Gives a sampler's batches, read before they are asked for where it can."""

    def batch(self, asked: Asked, upcoming: Iterable[Asked]) -> Batch:
        """The very batch that the sampler itself would draw."""
        ...


class ClipSampler:
    """Draws batches from clips in memory or in shards; a clip is read when its sample is drawn.

    A damaged clip is replaced by another that follows from seed and sample, too: by one of its group.

    Args:
        frames, motion_frames: of a sample.
        context: audio states of so many frames to each side belong to a frame.
        quality: `A`, `B` or `all`.
        mixture: shares of sets and qualities; each group then has epochs of its own, and one without such clips no
            share. Without it every epoch has all clips once.
        hears_motion: whether motion frames come with their sound (`Family.hears_motion`).

    Raises:
        ValueError: no clip of that quality is long enough, only some of them have a face, keypoints or an emotion, or
            none has a weight.
    """

    def __init__(
        self,
        clips: Sequence[LatentClip],
        frames: int,
        motion_frames: int,
        context: int,
        quality: str = "all",
        seed: int = 0,
        mixture: Mixture | None = None,
        *,
        hears_motion: bool = False,
    ) -> None:
        source = source_of(clips)
        chosen = np.flatnonzero(source.facts.of_quality(quality) & (source.facts.frames >= frames))
        if not len(chosen):
            raise ValueError(
                f"no clip of quality {quality!r} has {frames} frames (there are {len(clips)} clips in all); "
                "make longer clips, or lower clip.frames"
            )
        self.clips = source.subset(chosen)
        _check_faces(self.clips)
        _check_keypoints(self.clips)
        _check_emotion(self.clips)
        self.frames, self.motion_frames, self.context, self.seed = frames, motion_frames, context, seed
        self.hears_motion = hears_motion
        self._groups = _groups(self.clips, mixture, seed)
        self._turns = None if mixture is None else Turns([each.weight for each in self._groups], seed)
        self._lanes: dict[int, Lanes] = {}
        self.ahead: ReadsAhead | None = None
        """Reads what will be asked for in other processes, while a training attaches it."""

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "ahead": None}

    def batch(self, step: int, shape: BatchShape, micro: int = 0) -> Batch:
        """The samples of one process for one micro-batch of a step."""
        return self.fetch(shape.asked(step, micro), (shape.asked(*place) for place in shape.following(step, micro)))

    def fetch(self, asked: Asked, upcoming: Iterable[Asked] = ()) -> Batch:
        """The samples that are asked for, and a hint for whoever reads ahead what will be asked for then."""
        return self.drawn(asked) if self.ahead is None else self.ahead.batch(asked, upcoming)

    def drawn(self, asked: Asked) -> Batch:
        """These samples, read here and now."""
        return stack([self.sample(*each) for each in asked])

    def sample(self, step: int, sample: int, per_step: int) -> Batch:
        """One sample of a step, as a batch of one."""
        generator = sample_generator(self.seed, step, sample, "clip")

        def draw(bound: int) -> int:
            return int(torch.randint(bound, (1,), generator=generator))

        clip, faults = self._read(step * per_step + sample, per_step)
        start = draw(len(clip.latents) - self.frames + 1)
        window = clip.latents[start : start + self.frames].float()
        has_motion = start >= self.motion_frames > 0
        before = clip.latents[start - self.motion_frames : start].float() if has_motion else None
        motion = window.new_zeros(self.motion_frames, *window.shape[1:]) if before is None else before
        reference = draw(len(clip.latents))
        audio = audio_windows(clip.states, start, self.frames, self.context).float()
        return Batch(
            [clip.key],
            [clip.quality],
            window[None],
            clip.latents[reference].float()[None],
            motion[None],
            torch.tensor([has_motion]),
            audio[None],
            None if clip.face is None else stack_clues([clip.face]),
            faults,
            keypoints=_keypoints_of(clip, slice(start, start + self.frames)),
            reference_keypoints=_keypoints_of(clip, reference),
            emotion=None if clip.emotion is None else clip.emotion[None],
            motion_audio=self._motion_audio(clip, start, audio, has_motion) if self.hears_motion else None,
        )

    def _motion_audio(self, clip: LatentClip, start: int, audio: Tensor, has_motion: bool) -> Tensor:
        """Windows (1, M, ...) of the frames before `start`, like those of its own; zeros where there are none."""
        if not has_motion:
            return audio.new_zeros(1, self.motion_frames, *audio.shape[1:])
        first = start - self.motion_frames
        return audio_windows(clip.states, first, self.motion_frames, self.context).float()[None]

    def number(self, position: int, per_step: int = 1) -> int:
        """Which of `clips` the sample at a position of the training is of; by shard it follows from `per_step`, too."""
        group, at = self._drawn_at(position, per_step)
        return group.member(at)

    def _drawn_at(self, position: int, per_step: int) -> tuple[_Group, int]:
        """The group that a position of the training is of, and which of the group's clips comes there."""
        shards = self.clips.shard_numbers if per_step not in self._lanes else None
        if shards is not None:
            of_groups = [shards if each.members is None else shards[each.members] for each in self._groups]
            weights = None if self._turns is None else [each.weight for each in self._groups]
            self._lanes[per_step] = Lanes(of_groups, weights, per_step, self.seed)
        if per_step in self._lanes:
            number, at = self._lanes[per_step].at(position)
            return self._groups[number], at
        number, place = (0, position) if self._turns is None else self._turns.at(position)
        group = self._groups[number]
        return group, group.orders.at(*divmod(place, group.orders.count))

    def _read(self, position: int, per_step: int) -> tuple[LatentClip, tuple[str, ...]]:
        """The clip at a position, and what was damaged that should have been it.

        Raises:
            DamagedClip: the clips in its place are damaged, too.
        """
        faults: list[str] = []
        group, at = self._drawn_at(position, per_step)
        number = group.member(at)
        generator = sample_generator(self.seed, position, 0, "replacement")
        for _ in range(1 + REPLACEMENTS):
            try:
                clip = self.clips[number]
            except DamagedClip as fault:
                faults.append(str(fault))
                number = group.any(generator)
                continue
            return clip, tuple(f"{fault}; {clip.key} takes its place" for fault in faults)
        raise DamagedClip(
            f"{len(faults)} clips in a row are damaged: {'; '.join(faults[:3])}; ...; are these the shards that the "
            "index and its table were made of? Get them again, or write them again with fada data shard"
        )


@dataclass(frozen=True)
class _Group:
    """Clips whose epochs are their own; `members` None stands for all of them."""

    weight: float
    members: np.ndarray | None
    orders: EpochOrders

    def any(self, generator: torch.Generator) -> int:
        """Number of a clip of the group."""
        return self.member(int(torch.randint(self.orders.count, (1,), generator=generator)))

    def member(self, at: int) -> int:
        """Number of the group's clip `at`."""
        return at if self.members is None else int(self.members[at])


def _groups(clips: ClipSource, mixture: Mixture | None, seed: int) -> list[_Group]:
    if mixture is None:
        return [_Group(1.0, None, EpochOrders(seed, len(clips), "order"))]
    numbers, weights = mixture.groups(clips)
    made = []
    for number, weight in weights.items():
        members = np.flatnonzero(numbers == number).astype(np.uint32)
        made.append(_Group(weight, members, EpochOrders(seed, len(members), f"order of group {number}")))
    return made


def _check_faces(clips: ClipSource) -> None:
    without = np.flatnonzero(~clips.facts.has_face)
    if 0 < len(without) < len(clips):
        raise ValueError(
            f"{len(without)} of {len(clips)} clips have no face (embedding and landmarks), "
            f"{clips.key(int(without[0]))} among them; "
            "shard all clips with fada data shard --face-embedder, or all without"
        )


def _check_keypoints(clips: ClipSource) -> None:
    without = np.flatnonzero(~clips.facts.has_keypoints)
    if 0 < len(without) < len(clips):
        raise ValueError(
            f"{len(without)} of {len(clips)} clips have no keypoints, {clips.key(int(without[0]))} among them; leave "
            "them out, or prepare all clips with fada data prepare and shard them again"
        )


def _check_emotion(clips: ClipSource) -> None:
    without = np.flatnonzero(~clips.facts.has_emotion)
    if 0 < len(without) < len(clips):
        raise ValueError(
            f"{len(without)} of {len(clips)} clips have no emotion, {clips.key(int(without[0]))} among them; leave "
            "them out, or shard all clips with fada data shard --emotion-classifier"
        )


def _keypoints_of(clip: LatentClip, frames: int | slice) -> Keypoints | None:
    """Of one frame or some, as those of a batch of one."""
    return None if clip.keypoints is None else stack_keypoints([clip.keypoints.of_frames(frames)])


def audio_windows(states: Tensor, start: int, frames: int, context: int) -> Tensor:
    """Windows (frames, 2 context + 1, layers, dim) of states (F, layers, dim); the ends are repeated."""
    offsets = torch.arange(-context, context + 1)
    index = (torch.arange(start, start + frames)[:, None] + offsets).clamp(0, len(states) - 1)
    return states[index]


def stack(samples: Sequence[Batch]) -> Batch:
    """One batch of several; all of them have faces, or none, and so with all that a batch may lack."""
    if len(samples) == 1:
        return samples[0]
    latents, reference, motion, has_motion, audio = (
        torch.cat([getattr(sample, name) for sample in samples])
        for name in ("latents", "reference", "motion", "has_motion", "audio")
    )
    faces = [sample.face for sample in samples if sample.face is not None]
    told: dict[str, Any] = {}
    joins: dict[str, Callable[[Any], Any]] = dict.fromkeys(_KEYPOINTS, join_keypoints)
    for name, join in (joins | dict.fromkeys(_OPTIONAL, torch.cat)).items():
        parts: list[Any] = [getattr(sample, name) for sample in samples]
        told[name] = None if parts[0] is None else join(parts)
    return Batch(
        [key for sample in samples for key in sample.keys],
        [quality for sample in samples for quality in sample.qualities],
        latents,
        reference,
        motion,
        has_motion,
        audio,
        join_clues(faces) if faces else None,
        tuple(fault for sample in samples for fault in sample.faults),
        **told,
    )
