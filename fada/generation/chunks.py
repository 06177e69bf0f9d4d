"""A video that is being generated: its frames chunk by chunk, and what there is to say about them.

A chunk is what is denoised at once, a clip of the model's. Nothing is kept here, so that a video of any length takes
the memory of one chunk.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from fada.engine.clock import Clock
from fada.generation.overlap import ClipDecoder


@dataclass(frozen=True)
class Chunk:
    """Frames uint8 (n, H, W, 3), none where they are not decoded, and their latents (n, C, h, w) float32."""

    frames: np.ndarray
    latents: Tensor


class VideoInChunks:
    """Iterates over the chunks once; the figures below are those so far, and whole behind the last chunk.

    Args:
        made: latents, evaluations per clip and clips of one chunk after another.
        decoder: of the latents; None decodes nothing.
        clock, decoding: of the stages, which overlap where decoding does.
        frames: that there will be.
        size: of a frame.
    """

    def __init__(
        self,
        made: Iterator[tuple[Tensor, int, int]],
        decoder: ClipDecoder | None,
        clock: Clock,
        decoding: Clock,
        frames: int,
        size: int,
    ) -> None:
        self.frames = frames
        self.chunks, self.clips, self.nfe, self.seconds_to_first_frame = 0, 0, 0, 0.0
        self._made, self._decoder, self._clock, self._decoding = made, decoder, clock, decoding
        self._none = np.zeros((0, size, size, 3), np.uint8)

    @property
    def stage_seconds(self) -> dict[str, float]:
        """Audio, reference, denoise and decode."""
        return self._clock.seconds | self._decoding.seconds

    def __iter__(self) -> Iterator[Chunk]:
        for latents, nfe, clips in self._made:
            self.nfe = nfe
            frames = self._none
            if self._decoder is not None:
                with self._decoding("decode"):
                    frames = self._decoder(latents)
            self.chunks += 1
            self.clips += clips
            self.seconds_to_first_frame = self.seconds_to_first_frame or self._clock.elapsed()
            yield Chunk(frames, latents)
