"""Sound in order of time: from the file's origin, late starts and gaps as silence, at one rate.

Knows time stamps and rates. What becomes of the channels is its caller's choice (channels.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import av
import numpy as np

from fada.media.channels import ChannelsError
from fada.media.container import Source, audio_stream, check_time, open_container, source_name
from fada.media.decoding import decode_stream, origin_seconds
from fada.media.error import MediaError

_GAP_SECONDS = 0.05
"""A jump in the time stamps longer than this is silence; shorter ones are rounding of the container."""

Take = Callable[[av.AudioFrame], np.ndarray]
"""Decoded frame → samples float32 (channels, N) at the frame's own rate, always of as many channels."""


def sound_blocks(source: Source, sample_rate: int, take: Take, layout: str = "mono") -> Iterator[np.ndarray]:
    """The sound of a file in blocks float32 (channels, N), sample n of all of them at n / sample_rate seconds.

    Args:
        sample_rate: samples per second wanted.
        take: what of each decoded frame.
        layout: of what it takes.

    Raises:
        MediaError: the file is unreadable, truncated, longer than 6 hours, or has no audio stream.
    """
    with open_container(source) as container:
        stream = audio_stream(container, source)
        timeline = _Timeline(origin_seconds(source), sample_rate, layout, source)
        try:
            for frame in decode_stream(container, stream, source):
                assert isinstance(frame, av.AudioFrame)
                if frame.samples:
                    yield from timeline.add(frame, take)
            yield from timeline.finish()
        except av.error.FFmpegError as error:
            raise MediaError(f"{source_name(source)}: its sound cannot be resampled ({error.strerror})") from error
        except ChannelsError as error:
            raise MediaError(f"{source_name(source)}: {error}") from error


class _Timeline:
    """Decoded audio at its time stamps."""

    def __init__(self, origin: float, sample_rate: int, layout: str, source: Source) -> None:
        self._origin, self._rate, self._layout, self._name = origin, sample_rate, layout, source
        self._run: _Run | None = None
        self._end: float | None = None  # seconds after the origin where the next frame is expected
        self._skip = 0  # samples still to drop because they lie before the origin

    def add(self, frame: av.AudioFrame, take: Take) -> Iterator[np.ndarray]:
        start = self._end or 0.0 if frame.time is None else frame.time - self._origin
        gap = start - (self._end or 0.0)
        check_time(self._end or 0.0, gap, self._name)
        samples = take(frame)
        if self._end is None and gap < 0:
            self._skip = round(-gap * self._rate)
        elif gap > (_GAP_SECONDS if self._end is not None else 0.5 / self._rate):
            yield from self.finish()
            yield np.zeros((len(samples), round(gap * self._rate)), np.float32)
            self._end = start
        if self._end is None:
            self._end = start
        self._end += frame.samples / frame.sample_rate
        if self._run is None or self._run.source_rate != frame.sample_rate:
            yield from self.finish()
            self._run = _Run(frame.sample_rate, self._rate, self._layout)
        yield from self._behind_the_origin(self._run.add(samples))

    def finish(self) -> Iterator[np.ndarray]:
        """What the resampler still holds."""
        if self._run is not None:
            yield from self._behind_the_origin(self._run.finish())
            self._run = None

    def _behind_the_origin(self, block: np.ndarray) -> Iterator[np.ndarray]:
        if self._skip:
            block, self._skip = block[:, self._skip :], max(0, self._skip - block.shape[1])
        if block.shape[1]:
            yield block


class _Run:
    """Samples without a gap, brought to another rate: of n come n times the ratio, up or down to a whole one."""

    def __init__(self, source_rate: int, rate: int, layout: str) -> None:
        self.source_rate, self._rate, self._layout = source_rate, rate, layout
        self._is_same = source_rate == rate
        self._resampler = None if self._is_same else av.AudioResampler(format="flt", layout=layout, rate=rate)
        self._taken, self._given = 0, 0

    def add(self, samples: np.ndarray) -> np.ndarray:
        if self._resampler is None:
            return samples
        # Packed: PyAV must not be given eight planes and more.
        packed = np.ascontiguousarray(samples.T.reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=self._layout)
        frame.sample_rate = self.source_rate
        self._taken += samples.shape[1]
        return self._joined(self._resampler.resample(frame), len(samples))

    def finish(self) -> np.ndarray:
        if self._resampler is None:
            return np.zeros((1, 0), np.float32)
        channels = len(av.AudioLayout(self._layout).channels)
        before, rest = self._given, self._joined(self._resampler.resample(None), channels)
        lowest = self._taken * self._rate // self.source_rate
        highest = -(-self._taken * self._rate // self.source_rate)
        wanted = max(0, min(max(self._given, lowest), highest) - before)
        return np.pad(rest[:, :wanted], ((0, 0), (0, max(0, wanted - rest.shape[1]))))

    def _joined(self, frames: list[av.AudioFrame], channels: int) -> np.ndarray:
        parts = [frame.to_ndarray().reshape(-1, channels).T for frame in frames]
        joined = np.concatenate(parts, axis=1) if parts else np.zeros((channels, 0), np.float32)
        self._given += joined.shape[1]
        return joined
