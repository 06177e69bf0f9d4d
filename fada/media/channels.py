"""Decoded sound as float samples per channel, and its mix to one.

The mix keeps the level and cannot clip. It weighs channels as ITU-R BS.775 does for fewer loudspeakers, with weights
that add up to 1; mono and stereo are plain averages of their channels. Two things are judged over the whole sound, so
that nothing changes within it:

- Channels that cancel each other (antiphase stereo, a microphone wired the wrong way round) would leave silence: where
  the mix has less than an eighth of the energy that unrelated channels of these levels would leave, the loudest channel
  is taken instead.
- Of more than two channels the mix is brought back to the level of the loudest (speech in the centre alone would be
  11 dB down), as far as its peak allows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import av
import numpy as np

Layout = tuple[str, ...]
"""Names of the channels, as FFmpeg has them; NONE where a file does not say which they are."""

_UNNAMED = "NONE"
# Lo/Ro of BS.775 annex 4, averaged: front left and right 1, what is heard on both sides twice 1/sqrt(2), what is
# heard on one side 1/sqrt(2), low-frequency effects not at all.
_WEIGHTS = {"FL": 1.0, "FR": 1.0, "FC": 2**0.5, "DL": 1.0, "DR": 1.0, "LFE": 0.0, "LFE2": 0.0}
_OTHER_WEIGHT = 0.5**0.5
_CANCELLED_SHARE = 1 / 8
_SCALES = {"u8": 128.0, "s16": 32768.0, "s32": 2.0**31, "flt": 1.0, "dbl": 1.0}
_PLANES = 8
"""Of so many channels, and more, PyAV reads beyond the planes of a frame (the process may die)."""


class ChannelsError(ValueError):
    """Decoded sound of a kind whose samples cannot be read; names no file, as a frame knows none."""


class SampleReader:
    """Samples float32 (channels, N) of decoded frames, nominally within [-1, 1], without values that are not finite."""

    def __init__(self) -> None:
        self._packers: dict[tuple[str, str, int], av.AudioResampler] = {}

    def __call__(self, frame: av.AudioFrame) -> np.ndarray:
        """The samples of a frame.

        Raises:
            ChannelsError: they are of a kind that cannot be read.
        """
        kind = frame.format.name.removesuffix("p")
        channels = frame.layout.nb_channels
        if kind in _SCALES and not (frame.format.is_planar and channels >= _PLANES):
            return _floats(frame, kind, channels)
        parts = [_floats(each, "flt", channels) for each in self._packed(frame)]
        return np.concatenate([np.zeros((channels, 0), np.float32), *parts], axis=1)

    def _packed(self, frame: av.AudioFrame) -> list[av.AudioFrame]:
        key = (frame.format.name, frame.layout.name, frame.sample_rate)
        if key not in self._packers:
            self._packers[key] = av.AudioResampler(format="flt", layout=frame.layout, rate=frame.sample_rate)
        frame.pts = None
        try:
            return self._packers[key].resample(frame)
        except (av.error.FFmpegError, ValueError) as error:
            raise ChannelsError(
                f"its sound of {frame.layout.nb_channels} channels as {frame.format.name} cannot be read; "
                "mix it to stereo first"
            ) from error


def _floats(frame: av.AudioFrame, kind: str, channels: int) -> np.ndarray:
    values = frame.to_ndarray()
    if not frame.format.is_planar:
        values = values.reshape(-1, channels).T
    samples = np.array(values, np.float32, order="C")
    if kind == "u8":
        samples -= 128.0
    samples /= np.float32(_SCALES[kind])
    return np.nan_to_num(samples, copy=False, nan=0.0, posinf=1.0, neginf=-1.0)


def layout_of(frame: av.AudioFrame) -> Layout:
    """Names of a frame's channels."""
    return tuple(channel.name for channel in frame.layout.channels)


def mix_weights(layout: Layout) -> np.ndarray:
    """Share of each channel in the mix, float32 (channels,), adding up to 1."""
    if _UNNAMED in layout or len(layout) <= 2:
        weights = np.ones(len(layout))
    else:
        weights = np.array([_WEIGHTS.get(name, _OTHER_WEIGHT) for name in layout])
    return (weights / weights.sum()).astype(np.float32)


@dataclass
class _Heard:
    """Of one layout: weights, energy of each channel and of the mix, and its peak."""

    weights: np.ndarray
    energies: np.ndarray
    mixed: float = 0.0
    peak: float = 0.0


class Downmix:
    """Mixes frames to mono, and remembers what became of them.

    Args:
        weights: of layouts that are not to be mixed by `mix_weights`.
    """

    def __init__(self, weights: Mapping[Layout, np.ndarray] | None = None) -> None:
        self._given = weights or {}
        self._read = SampleReader()
        self._heard: dict[Layout, _Heard] = {}

    def __call__(self, frame: av.AudioFrame) -> np.ndarray:
        """Mono samples float32 (1, N)."""
        samples, layout = self._read(frame), layout_of(frame)
        if layout not in self._heard:
            weights = self._given[layout] if layout in self._given else mix_weights(layout)
            self._heard[layout] = _Heard(weights, np.zeros(len(layout)))
        heard = self._heard[layout]
        if len(samples) == 1:
            return samples
        mixed = heard.weights @ samples
        heard.energies += np.square(samples, dtype=np.float64).sum(axis=1)
        heard.mixed += float(np.square(mixed, dtype=np.float64).sum())
        heard.peak = max(heard.peak, float(np.abs(mixed).max(initial=0.0)))
        return mixed[None]

    def better_weights(self) -> dict[Layout, np.ndarray]:
        """Weights for those layouts whose mix lost too much of the sound; to be asked after the last frame."""
        found = {layout: _better(heard) for layout, heard in self._heard.items()}
        return {layout: weights for layout, weights in found.items() if weights is not None}


def _better(heard: _Heard) -> np.ndarray | None:
    energies = np.where(heard.weights > 0, heard.energies, 0.0)
    if not energies.any():
        return None
    unrelated = float(heard.weights.astype(np.float64) ** 2 @ energies)
    if heard.mixed < _CANCELLED_SHARE * unrelated:
        return np.eye(len(energies), dtype=np.float32)[energies.argmax()]
    if len(energies) <= 2:
        return None
    gain = min(float(energies.max() / heard.mixed) ** 0.5, 1 / heard.peak)
    return (heard.weights * gain).astype(np.float32) if gain > 1.01 else None
