"""Sound that is encoded to AAC as it comes: any number of samples at a time, one to eight channels."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import numpy as np

from fada.media.error import MediaError

_BLOCK = 1024
"""Samples of an AAC frame."""
_BITS_PER_CHANNEL = 128_000


class SoundEncoder:
    """A sound stream of an open container.

    Args:
        container: that is written.
        sample_rate: one that AAC knows, see `AAC_RATES`.
        layout: FFmpeg's name of its channels.
    """

    def __init__(self, container: Any, sample_rate: int, layout: str = "mono") -> None:
        self._container, self._rate, self._layout = container, sample_rate, layout
        self._channels = len(av.AudioLayout(layout).channels)
        self._stream = container.add_stream("aac", rate=sample_rate, layout=layout)
        self._stream.bit_rate = _BITS_PER_CHANNEL * self._channels
        self._rest = np.zeros((self._channels, 0), np.float32)
        self._samples = 0

    def add(self, audio: np.ndarray) -> None:
        """Append samples (N,) or (channels, N); what lies beyond [-1, 1] is clipped.

        Raises:
            MediaError: another shape or type, or values that are not finite.
        """
        self._rest = np.concatenate((self._rest, np.clip(self._checked(audio), -1.0, 1.0)), axis=1)
        whole = self._rest.shape[1] // _BLOCK * _BLOCK
        for start in range(0, whole, _BLOCK):
            self._encode(self._rest[:, start : start + _BLOCK])
        self._rest = self._rest[:, whole:]

    def finish(self) -> None:
        """Write what is still held."""
        if self._rest.shape[1]:
            self._encode(self._rest)
        self._container.mux(self._stream.encode(None))

    def _checked(self, audio: np.ndarray) -> np.ndarray:
        samples = audio[None] if audio.ndim == 1 else audio
        if samples.ndim != 2 or len(samples) != self._channels:
            wanted = "(N,)" if self._channels == 1 else f"({self._channels}, N)"
            raise MediaError(f"audio must be samples of shape {wanted}, got shape {audio.shape}")
        if not np.issubdtype(samples.dtype, np.floating):
            raise MediaError(f"audio must be floating point in [-1, 1], got {audio.dtype}")
        if not np.isfinite(samples).all():
            raise MediaError("audio holds values that are not finite")
        return samples.astype(np.float32)

    def _encode(self, block: np.ndarray) -> None:
        # Packed, which the encoder's own resampler splits: PyAV must not be given eight planes.
        packed = np.ascontiguousarray(block.T.reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=self._layout)
        frame.sample_rate, frame.pts, frame.time_base = self._rate, self._samples, Fraction(1, self._rate)
        self._samples += block.shape[1]
        self._container.mux(self._stream.encode(frame))
