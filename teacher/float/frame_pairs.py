"""Pairs of frames of one clip, for the motion autoencoder: a bounded number of frames, spread evenly over all clips."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fada.data.clips.sample_keypoints import sample_keypoints
from fada.data.sampling.seeds import sample_generator
from fada.data.shards.format import Sample
from fada.teacher.float.codec_losses import eye_boxes, mouth_boxes
from fada.teacher.vae import to_network


@dataclass(frozen=True)
class PairBatch:
    """Frames (2 B, 3, H, W) in [-1, 1], the first of every pair, then the second; boxes (2 B, 4) of eyes and mouth,
    None where they were not asked for; keys: the clips' names (B)."""

    pixels: Tensor
    eyes: Tensor | None
    mouth: Tensor | None
    keys: list[str]


@dataclass
class _Kept:
    """Frames of one clip, every `stride`-th, with their boxes (f, 4) of eyes and mouth."""

    key: str
    frames: np.ndarray
    boxes: tuple[Tensor, Tensor] | None

    def thinned(self) -> _Kept:
        """Every second frame; a copy, so that the memory of the others is free."""
        boxes = None if self.boxes is None else (self.boxes[0][::2], self.boxes[1][::2])
        return _Kept(self.key, self.frames[::2].copy(), boxes)


class FramePairs:
    """Frames of all clips that fit into memory, of which a step draws its pairs.

    Clips are read once. Where their frames would take more than `limit` bytes, every second one of each clip goes, as
    often as it takes; where two frames of each are too many, every second clip. So what is kept follows from the clips
    alone, and a resumed run draws what an unbroken one would.

    Args:
        samples: with frames, and with keypoints where boxes are asked for.
        size: of the frames, along one side.

    Raises:
        ValueError: frames of another size, no clip with two frames, or one that nothing tells keypoints of.
    """

    def __init__(self, samples: Iterable[Sample], size: int, limit: int, *, has_boxes: bool) -> None:
        self._kept: list[_Kept] = []
        self.has_boxes = has_boxes
        most, held, stride, every = limit // (3 * size * size), 0, 1, 1
        for number, sample in enumerate(samples):
            kept = None if number % every else _kept_of(sample, size, stride, has_boxes=has_boxes)
            if kept is None:
                continue
            self._kept.append(kept)
            held += len(kept.frames)
            while held > most and len(self._kept) > 1:
                if max(len(each.frames) for each in self._kept) > 3:
                    stride *= 2
                    self._kept = [each.thinned() if len(each.frames) > 3 else each for each in self._kept]
                else:
                    every *= 2
                    self._kept = self._kept[::2]
                held = self.count
        if not self._kept:
            raise ValueError("the codec learns from pairs of frames of one clip: no clip has two frames")

    @property
    def count(self) -> int:
        """Frames that are held."""
        return sum(len(each.frames) for each in self._kept)

    @property
    def clips(self) -> int:
        """Clips that they are of."""
        return len(self._kept)

    def by_clip(self, most: int) -> list[np.ndarray]:
        """Frames (f, H, W, 3) of single clips, at least two of each, about `most` at most in all."""
        chosen = self._kept[:: max(1, -(-2 * len(self._kept) // most))]
        per_clip = max(2, most // len(chosen))
        return [each.frames[:: max(1, len(each.frames) // per_clip)][:per_clip] for each in chosen]

    def batch(self, seed: int, step: int, samples: Sequence[int]) -> PairBatch:
        """The pairs of a step's samples: each of a clip and two of its frames that follow from these numbers."""
        drawn = [self._draw(seed, step, sample) for sample in samples]
        frames = np.stack([kept.frames[pair[side]] for side in (0, 1) for kept, pair in drawn])
        eyes = mouth = None
        if self.has_boxes:
            found = [kept.boxes[kind][pair[side]] for kind in (0, 1) for side in (0, 1) for kept, pair in drawn]  # type: ignore[index]
            eyes, mouth = torch.stack(found).chunk(2)
        return PairBatch(to_network(frames), eyes, mouth, [kept.key for kept, _ in drawn])

    def _draw(self, seed: int, step: int, sample: int) -> tuple[_Kept, tuple[int, int]]:
        generator = sample_generator(seed, step, sample, "codec pair")
        kept = self._kept[int(torch.randint(len(self._kept), (), generator=generator))]
        first, second = torch.randperm(len(kept.frames), generator=generator)[:2].tolist()
        return kept, (first, second)


def _kept_of(sample: Sample, size: int, stride: int, *, has_boxes: bool) -> _Kept | None:
    """Frames of a clip, and boxes; None of one that has no two frames."""
    if sample.frames is None or len(sample.frames) < 2:
        return None
    if sample.frames.shape[1:3] != (size, size):
        shown = "x".join(map(str, sample.frames.shape[1:3]))
        raise ValueError(f"{sample.key}: frames of {shown} pixels, clip.size is {size}; make the clips anew")
    # A short clip keeps its two frames, whatever the others keep.
    stride = min(stride, len(sample.frames) - 1)
    frames = sample.frames[::stride].copy()
    if not has_boxes:
        return _Kept(sample.key, frames, None)
    keypoints = sample_keypoints(sample)
    if keypoints is None:
        raise ValueError(
            f"{sample.key}: nothing says where eyes and lips are; prepare the clips with fada data prepare, or set "
            "teacher.codec.train's weights of component, motion, eyes and lips to 0"
        )
    return _Kept(sample.key, frames, (eye_boxes(keypoints.points)[::stride], mouth_boxes(keypoints.lip_box)[::stride]))
