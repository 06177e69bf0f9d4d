"""Sound: reading anything to mono samples, writing WAV.

Samples are float32 in [-1, 1]. A video's sound starts at its first picture, so that sample ``n`` and frame ``f`` of the
same file belong together at ``n / sample_rate == f / fps``.
"""

from __future__ import annotations

import io
import os
import wave

import av
import numpy as np

from fada.media.container import (
    Source,
    audio_stream,
    check_time,
    open_container,
    source_name,
    write_bytes,
)
from fada.media.decoding import decode_stream, origin_seconds
from fada.media.error import MediaError

_GAP_SECONDS = 0.05
"""A jump in the time stamps longer than this is silence; shorter ones are rounding of the container."""


def read_audio(path: Source, sample_rate: int = 16000) -> np.ndarray:
    """The sound of an audio or video file as mono samples.

    Args:
        path: any container and codec FFmpeg knows; channels are mixed, any rate is resampled.
        sample_rate: samples per second wanted.

    Returns:
        float32 (N,), within [-1, 1].

    Raises:
        MediaError: the file is unreadable, truncated, longer than 6 hours, or has no audio stream.
    """
    if sample_rate <= 0:
        raise ValueError(f"sample_rate must be positive, got {sample_rate}")
    with open_container(path) as container:
        stream = audio_stream(container, path)
        timeline = _Timeline(origin_seconds(path), sample_rate, path)
        try:
            for frame in decode_stream(container, stream, path):
                assert isinstance(frame, av.AudioFrame)
                timeline.add(frame)
            return timeline.samples()
        except av.error.FFmpegError as error:
            raise MediaError(f"{source_name(path)}: its sound cannot be resampled ({error.strerror})") from error


class _Timeline:
    """Collects decoded audio at their time stamps: late starts and gaps become silence."""

    def __init__(self, origin: float, sample_rate: int, source: Source) -> None:
        self._origin = origin
        self._name = source
        self._rate = sample_rate
        self._pieces: list[np.ndarray] = []
        self._resampler: av.AudioResampler | None = None
        self._source: tuple[object, ...] | None = None
        self._end: float | None = None  # seconds after the origin where the next frame is expected
        self._skip = 0  # samples still to drop because they lie before the origin

    def add(self, frame: av.AudioFrame) -> None:
        source = (frame.sample_rate, frame.layout.name, frame.format.name)
        if source != self._source:
            self._flush()
            # FFmpeg's own way to mono adds 3 dB to what both channels share, which clips; stereo is averaged below.
            layout = "mono" if frame.layout.nb_channels == 1 else "stereo"
            self._resampler = av.AudioResampler(format="fltp", layout=layout, rate=self._rate)
            self._source = source
        start = self._end or 0.0 if frame.time is None else frame.time - self._origin
        gap = start - (self._end or 0.0)
        check_time(self._end or 0.0, gap, self._name)
        if self._end is None and gap < 0:
            self._skip = round(-gap * self._rate)
        elif gap > (_GAP_SECONDS if self._end is not None else 0.5 / self._rate):
            self._pieces.append(np.zeros(round(gap * self._rate), np.float32))
            self._end = start
        if self._end is None:
            self._end = start
        self._end += frame.samples / frame.sample_rate
        # The resampler counts samples itself; time stamps with rounding errors would only make it complain.
        frame.pts = None
        assert self._resampler is not None
        self._collect(self._resampler.resample(frame))

    def _flush(self) -> None:
        if self._resampler is not None:
            self._collect(self._resampler.resample(None))

    def _collect(self, frames: list[av.AudioFrame]) -> None:
        for frame in frames:
            piece = frame.to_ndarray().mean(axis=0)
            if self._skip:
                piece, self._skip = piece[self._skip :], max(0, self._skip - len(piece))
            self._pieces.append(piece)

    def samples(self) -> np.ndarray:
        self._flush()
        joined = np.concatenate(self._pieces, dtype=np.float32) if self._pieces else np.zeros(0, np.float32)
        # In place: hours of sound are gigabytes.
        self._pieces.clear()
        return np.clip(np.nan_to_num(joined, copy=False), -1.0, 1.0, out=joined)


def check_audio(audio: np.ndarray) -> np.ndarray:
    """The samples as float32, known to be mono and finite.

    Raises:
        MediaError: another number of dimensions, an integer type, or not-a-number values.
    """
    if audio.ndim != 1:
        raise MediaError(f"audio must be mono samples of shape (N,), got shape {audio.shape}")
    if not np.issubdtype(audio.dtype, np.floating):
        raise MediaError(f"audio must be floating point in [-1, 1], got {audio.dtype}")
    if not np.isfinite(audio).all():
        raise MediaError("audio holds values that are not finite")
    return audio.astype(np.float32)


def encode_wav(audio: np.ndarray, sample_rate: int = 16000) -> bytes:
    """A 16-bit mono WAV file as bytes; samples beyond [-1, 1] are clipped."""
    samples = np.clip(np.round(check_audio(audio) * 32768.0), -32768, 32767).astype("<i2")
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(samples.tobytes())
    return buffer.getvalue()


def decode_wav(data: bytes, sample_rate: int = 16000) -> np.ndarray:
    """Mono samples (N,) of an audio file held in memory (any format, not only WAV)."""
    return read_audio(data, sample_rate)


def write_wav(path: str | os.PathLike[str], audio: np.ndarray, sample_rate: int = 16000) -> None:
    """Write a 16-bit mono WAV file, atomically."""
    write_bytes(path, encode_wav(audio, sample_rate))
