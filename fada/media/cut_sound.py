"""The sound of a cut: the samples that belong to its frames, as they are."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np

from fada.media.channels import Downmix, SampleReader
from fada.media.container import audio_stream
from fada.media.seeking import decode_from

_GAP_SECONDS = 0.05
"""A longer jump in the time stamps of the sound is silence; a shorter one is rounding of the container."""
_LEAD_SECONDS = 0.5
"""Decoders need some sound before the cut to settle."""
_BLOCK = 4096
_KEPT_LAYOUTS = ("mono", "stereo", "3.0", "quad", "5.0", "5.0(side)", "5.1", "5.1(side)", "6.1", "7.1")
"""What FLAC holds; sound of other channels becomes their mix (channels.py)."""


class CutSound:
    """The sound from one moment on, written as the picture proceeds.

    Args:
        source: the video.
        writing: the open mp4.
        begin: the moment, as the source's container counts.
        seconds: how much of it will be wanted at most.
        may_seek: see :func:`fada.media.seeking.decode_from`.
    """

    def __init__(self, source: Path, writing: Any, begin: float, seconds: float, may_seek: bool) -> None:
        self._writing = writing
        self._source = source
        frames = decode_from(source, self._open, begin, _LEAD_SECONDS, may_seek)
        first = next(frames, None)
        self._samples = self._collect(chain((first,), frames) if first else (), begin, seconds + 1)
        self._stream = writing.add_stream("flac", rate=self._rate, layout=self._layout)
        self._written = 0

    def _open(self, container: Any) -> Any:
        stream = audio_stream(container, self._source)
        self._rate = stream.codec_context.sample_rate
        name = stream.codec_context.layout.name
        self._layout = name if name in _KEPT_LAYOUTS else "mono"
        return stream

    def _collect(self, frames: Iterable[Any], begin: float, seconds: float) -> np.ndarray:
        """int16 (channels, N), sample 0 at ``begin``; silence where the stream has nothing."""
        count = round(seconds * self._rate)
        samples = np.zeros((av.AudioLayout(self._layout).nb_channels, count), np.int16)
        read, mix = SampleReader(), Downmix()
        position: int | None = None
        for frame in frames:
            stamp = position if frame.time is None else round((frame.time - begin) * self._rate)
            if stamp is not None and (position is None or abs(stamp - position) > _GAP_SECONDS * self._rate):
                position = stamp
            for piece in self._at_rate(frame):
                is_kept = piece.layout.nb_channels == len(samples)
                position = _place(read(piece) if is_kept else mix(piece), samples, position or 0)
            if position is not None and position >= count:
                break
        return samples

    def _at_rate(self, frame: Any) -> list[Any]:
        """The frame, resampled where a joined recording has gone over to another rate."""
        frame.pts = None
        if frame.sample_rate == self._rate:
            return [frame]
        return list(av.AudioResampler(format="flt", layout=frame.layout, rate=self._rate).resample(frame))

    def write_until(self, seconds: float) -> None:
        """Write what belongs to the picture up to there."""
        end = min(round(seconds * self._rate), self._samples.shape[1])
        while self._written < end:
            block = self._samples[:, self._written : min(self._written + _BLOCK, end)]
            interleaved = np.ascontiguousarray(block.T.reshape(1, -1))
            frame = av.AudioFrame.from_ndarray(interleaved, format="s16", layout=self._layout)
            frame.sample_rate, frame.pts, frame.time_base = self._rate, self._written, Fraction(1, self._rate)
            self._writing.mux(self._stream.encode(frame))
            self._written += block.shape[1]

    def close(self) -> None:
        """Write what the encoder still holds."""
        self._writing.mux(self._stream.encode(None))


def _place(values: np.ndarray, samples: np.ndarray, position: int) -> int:
    """Puts float samples (channels or 1, N) at a position that may lie outside; returns the position after them."""
    first, last = max(0, -position), min(values.shape[1], samples.shape[1] - position)
    if first < last:
        scaled = np.round(values[:, first:last] * 32768.0)
        samples[:, position + first : position + last] = np.clip(scaled, -32768, 32767).astype(np.int16)
    return position + values.shape[1]
