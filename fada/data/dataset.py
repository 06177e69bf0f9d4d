"""Training samples: clips as latents and audio states, and batches drawn from a step's number.

Nothing is remembered: which clips, frames and references make up the batch of a step follows from (seed, step, sample)
alone, so resuming needs no state and any number of processes draws the same global batch. Every epoch goes through all
clips once, in an order of its own, whatever the number of processes.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fada.data.face import FaceClues, join_clues, stack_clues
from fada.data.seeds import EpochOrders, sample_generator
from fada.diffusion.transfer import moved


@dataclass(frozen=True)
class LatentClip:
    """One clip ready for training.

    latents: (F, C, h, w) scaled VAE latents; states: (F, layers, dim) of the audio encoder, padded by no one; face:
    for teachers that are told of it.
    """

    key: str
    quality: str
    latents: Tensor
    states: Tensor
    face: FaceClues | None = None


def hash_clips(clips: Sequence[LatentClip]) -> str:
    """SHA-256 over clips in their order: keys, qualities, and all that is known of them, byte by byte."""
    digest = hashlib.sha256()
    for clip in clips:
        parts = {"latents": clip.latents, "states": clip.states}
        if clip.face is not None:
            parts |= {"face": clip.face.embedding, "face_box": clip.face.face_box, "lip_box": clip.face.lip_box}
        digest.update(f"{clip.key}\0{clip.quality}\0".encode())
        for name, value in parts.items():
            digest.update(f"{name}\0{value.dtype}\0{tuple(value.shape)}\0".encode())
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def portraits_of(clips: Sequence[LatentClip], seed: int, most: int = 2000) -> Tensor:
    """Latents (N, C, h, w) in float32 of a frame of each clip, drawn by the seed; of many clips an even choice."""
    chosen = clips[:: max(1, math.ceil(len(clips) / most))]
    generator = sample_generator(seed, 0, 0, "portraits")
    frames = [int(torch.randint(len(clip.latents), (1,), generator=generator)) for clip in chosen]
    return torch.stack([clip.latents[frame].float() for clip, frame in zip(chosen, frames, strict=True)])


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

    def samples(self, micro: int) -> range:
        """Numbers of this process's samples within a step."""
        first = (micro * self.world + self.rank) * self.size
        return range(first, first + self.size)


@dataclass(frozen=True)
class Batch:
    """Samples of one step.

    latents: (B, F, C, h, w); reference: (B, C, h, w) of another moment of the same clip; motion: (B, M, C, h, w) the
    frames before; has_motion: (B,) booleans, False at a clip's start; audio: windows (B, F, 2 r + 1, layers, dim);
    face: of the B clips, where they have it.
    """

    keys: list[str]
    qualities: list[str]
    latents: Tensor
    reference: Tensor
    motion: Tensor
    has_motion: Tensor
    audio: Tensor
    face: FaceClues | None = None

    def to(self, device: torch.device) -> Batch:
        """The batch on another device."""
        names = ("latents", "reference", "motion", "audio", "has_motion")
        there = {name: moved(getattr(self, name), device) for name in names}
        face = None if self.face is None else self.face.to(device)
        return Batch(self.keys, self.qualities, face=face, **there)


class ClipSampler:
    """Draws batches from clips in memory.

    Args:
        frames, motion_frames: of a sample.
        context: audio states of so many frames to each side belong to a frame.
        quality: `A`, `B` or `all`.

    Raises:
        ValueError: no clip of that quality is long enough, or only some of them have a face.
    """

    def __init__(
        self,
        clips: Sequence[LatentClip],
        frames: int,
        motion_frames: int,
        context: int,
        quality: str = "all",
        seed: int = 0,
    ) -> None:
        self.clips = [clip for clip in clips if quality in ("all", clip.quality) and len(clip.latents) >= frames]
        if not self.clips:
            raise ValueError(
                f"no clip of quality {quality!r} has {frames} frames (there are {len(clips)} clips in all); "
                "make longer clips, or lower clip.frames"
            )
        _check_faces(self.clips)
        self.frames, self.motion_frames, self.context, self.seed = frames, motion_frames, context, seed
        self._orders = EpochOrders(seed, len(self.clips), "order")

    def batch(self, step: int, shape: BatchShape, micro: int = 0) -> Batch:
        """The samples of one process for one micro-batch of a step."""
        return stack([self.sample(step, sample, shape.per_step) for sample in shape.samples(micro)])

    def sample(self, step: int, sample: int, per_step: int) -> Batch:
        """One sample of a step, as a batch of one."""
        generator = sample_generator(self.seed, step, sample, "clip")

        def draw(bound: int) -> int:
            return int(torch.randint(bound, (1,), generator=generator))

        epoch, place = divmod(step * per_step + sample, len(self.clips))
        clip = self.clips[self._orders.at(epoch)[place]]
        start = draw(len(clip.latents) - self.frames + 1)
        window = clip.latents[start : start + self.frames].float()
        has_motion = start >= self.motion_frames > 0
        before = clip.latents[start - self.motion_frames : start].float() if has_motion else None
        motion = window.new_zeros(self.motion_frames, *window.shape[1:]) if before is None else before
        return Batch(
            [clip.key],
            [clip.quality],
            window[None],
            clip.latents[draw(len(clip.latents))].float()[None],
            motion[None],
            torch.tensor([has_motion]),
            audio_windows(clip.states.float(), start, self.frames, self.context)[None],
            None if clip.face is None else stack_clues([clip.face]),
        )


def _check_faces(clips: Sequence[LatentClip]) -> None:
    without = [clip.key for clip in clips if clip.face is None]
    if 0 < len(without) < len(clips):
        raise ValueError(
            f"{len(without)} of {len(clips)} clips have no face (embedding and landmarks), {without[0]} among them; "
            "shard all clips with fada data shard --face-embedder, or all without"
        )


def audio_windows(states: Tensor, start: int, frames: int, context: int) -> Tensor:
    """Windows (frames, 2 context + 1, layers, dim) of states (F, layers, dim); the ends are repeated."""
    offsets = torch.arange(-context, context + 1)
    index = (torch.arange(start, start + frames)[:, None] + offsets).clamp(0, len(states) - 1)
    return states[index]


def stack(samples: Sequence[Batch]) -> Batch:
    """One batch of several; all of them have faces, or none."""
    latents, reference, motion, has_motion, audio = (
        torch.cat([getattr(sample, name) for sample in samples])
        for name in ("latents", "reference", "motion", "has_motion", "audio")
    )
    faces = [sample.face for sample in samples if sample.face is not None]
    return Batch(
        [key for sample in samples for key in sample.keys],
        [quality for sample in samples for quality in sample.qualities],
        latents,
        reference,
        motion,
        has_motion,
        audio,
        join_clues(faces) if faces else None,
    )
