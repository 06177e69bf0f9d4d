"""Audio states of a sound that arrives in pieces of any length: each frame's as soon as they can be known.

Keeps only the sound and the states that later frames still need, so memory does not grow with the length.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from fada.data.audio.features import AudioEncoder, Moments
from fada.media.frame_count import frame_count, sample_count
from fada.media.sample_rate import SAMPLE_RATE


class AudioStates:
    """States of a growing sound, asked for clip after clip.

    What is encoded together follows from the clips that are asked for, never from how the sound was cut: the same
    sound gives the same states, bit for bit. The sound is read no further than the clip needs: its frames, `context`
    frames behind them, and the frames that the encoder looks ahead.

    Args:
        encoder: of finite reach (log-mel), its own is used; one that hears the whole sound (wav2vec2, Whisper) waits
            for the sound's end, or, with `look_ahead`, sees only so much: its states are then close to the whole
            sound's, not equal.
        chunks: float samples (N,) at 16 kHz.
        fps: video frames per second.
        max_frames: take the sound of so many frames at most.
        look_ahead: frames.
    """

    def __init__(
        self,
        encoder: AudioEncoder,
        chunks: Iterable[np.ndarray],
        fps: float,
        max_frames: int | None = None,
        look_ahead: int | None = None,
    ) -> None:
        self.encoder, self.fps, self.max_frames = encoder, fps, max_frames
        self._parts = _parts(chunks)
        if encoder.frames_around is not None:
            self._ahead: int | None = encoder.frames_around
        else:
            self._ahead = look_ahead
        self.total: int | None = None
        """Frames in all, once the end of the sound is known."""
        self._kept: list[np.ndarray] = [np.zeros(0, np.float32)]
        self._kept_from, self._received, self._heard = 0, 0, 0
        self._states: list[Tensor] = []
        """Of frames that are still needed; the last is of frame `_encoded` - 1."""
        self._encoded = 0
        self._moments = Moments()

    def windows(self, start: int, frames: int, context: int) -> Tensor | None:
        """Windows (frames, 2 context + 1, layers, dim) of the frames from `start`, or None behind the sound's end.

        Beyond both ends states repeat. Frames must be asked for in order; those before `start` - `context` are lost.

        Raises:
            ValueError: the whole sound is shorter than a frame, or a chunk is not mono float samples or not finite.
        """
        self._encode(start + frames + context)
        if self.total is not None and start >= self.total:
            return None
        first = self._encoded - len(self._states)
        offsets = torch.arange(-context, context + 1)
        index = (torch.arange(start, start + frames)[:, None] + offsets).clamp(0, self._encoded - 1)
        # Of a whole sound's states only those of the clip: together they may be gigabytes.
        lowest = int(index.min())
        windows = torch.stack(self._states[lowest - first : int(index.max()) + 1 - first])[index - lowest]
        del self._states[: max(0, start + frames - context - first)]
        return windows

    def _encode(self, stop: int) -> None:
        ahead = self._ahead
        while self.total is None and (ahead is None or self._complete() < stop + ahead):
            self._receive()
        limit = math.inf if self.total is None else self.total
        stop = int(limit if ahead is None else min(stop, limit))
        if stop <= self._encoded:
            return
        before = self.encoder.first_heard(self._encoded)
        after = int(min(stop + (ahead or 0), limit))
        sound = torch.from_numpy(self._between(before, after))[None].to(self.encoder.device)
        if ahead is None or self.encoder.frames_around is not None:
            states = self.encoder(sound, after - before)[0]
        else:
            self._moments.add(self._between(self._heard, after))
            self._heard = after
            states = self.encoder(sound, after - before, self._moments)[0]
        self._states.extend(states[self._encoded - before : stop - before])
        self._encoded = stop
        self._forget(self._sample(self.encoder.first_heard(stop)))

    def _receive(self) -> None:
        """Take more of the sound, or learn that there is no more."""
        part = next(self._parts, None)
        if part is not None:
            self._kept.append(part)
            self._received += len(part)
        if part is None or (self.max_frames is not None and self._complete() >= self.max_frames):
            self.total = self._complete() if self.max_frames is None else min(self._complete(), self.max_frames)
            if self.total < 1:
                seconds = self._received / SAMPLE_RATE
                raise ValueError(f"audio: {seconds:.3f} s is shorter than one frame; give longer audio")

    def _complete(self) -> int:
        """Frames whose sound is there."""
        return frame_count(self._received, SAMPLE_RATE, self.fps)

    def _sample(self, frame: int) -> int:
        return sample_count(frame, SAMPLE_RATE, self.fps)

    def _between(self, first: int, last: int) -> np.ndarray:
        """The sound of frames `first` to `last`, which are kept."""
        self._kept = [np.concatenate(self._kept)]
        return self._kept[0][self._sample(first) - self._kept_from : self._sample(last) - self._kept_from]

    def _forget(self, before: int) -> None:
        # A copy: a view would keep what lies before it alive.
        self._kept = [np.concatenate(self._kept)[before - self._kept_from :].copy()]
        self._kept_from = before


def _parts(chunks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The sound in parts of a second at most, so that of a long chunk no more is copied than is needed."""
    for chunk in chunks:
        sound = np.asarray(chunk)
        if sound.ndim != 1 or not np.issubdtype(sound.dtype, np.floating):
            raise ValueError(
                f"audio: a chunk must be mono float samples (N,) at {SAMPLE_RATE} Hz, got {sound.dtype} {sound.shape}"
            )
        for start in range(0, len(sound), SAMPLE_RATE):
            part = sound[start : start + SAMPLE_RATE].astype(np.float32)
            if not np.isfinite(part).all():
                raise ValueError("audio: holds samples that are not finite (nan or inf)")
            yield part
