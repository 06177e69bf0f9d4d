"""How many frames the lips are behind the sound, and how sure that is.

Sign: offset = time of the lips minus time of the sound, in frames, as SyncNet counts. Positive: the sound is early, and
delaying it by the offset repairs the clip.

Method: cross-correlation, at lags within +-12 frames, of mouth opening with the level of the sound in the bands where
open vowels are strong, averaged over three pairs of curves. On the trial footage this gives SyncNet's published +3 for
its example, -2 and -9 for its shifted copies, and the known offset of every other clip with a measurable one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fada.media.frame_count import frame_starts, sample_count

_RADIUS = 12
_WINDOW = 1024  # samples at 16 kHz: 64 ms around the start of each frame
_RIVAL_DISTANCE = 2


@dataclass(frozen=True)
class SyncMeasurement:
    """Where lips and sound agree best."""

    offset: int
    """Frames, lips minus sound; positive: the sound is early."""
    correlation: float
    """Mean Pearson correlation there."""
    confidence: float
    """Correlation over its standard error under no relation. Mismatched pairs of clips: median 1.7, 99 % under 3."""
    margin: float
    """Correlation there minus the best one more than 2 frames away."""
    correlation_at_zero: float

    def to_json(self) -> dict[str, Any]:
        """Rounded plain values."""
        return {
            "offset": self.offset,
            **{
                name: round(getattr(self, name), 4)
                for name in ("correlation", "confidence", "margin", "correlation_at_zero")
            },
        }


def measure_sync(
    jaw_open: np.ndarray, lip_opening: np.ndarray, audio: np.ndarray, fps: float = 25.0, sample_rate: int = 16000
) -> SyncMeasurement:
    """Offset between lips and sound.

    Args:
        jaw_open: (F,) MediaPipe's jawOpen blendshape.
        lip_opening: (F,) distance of the inner lips in any unit.
        audio: (N,) mono samples; frame ``f`` begins at sample ``f * sample_rate / fps``.
        fps: frames per second.
        sample_rate: samples per second.

    Returns:
        The best lag; all zero where mouth or sound never change, or with fewer than 30 frames.
    """
    count = len(jaw_open)
    if count < 30:
        return SyncMeasurement(0, 0.0, 0.0, 0.0, 0.0)
    spectra, frequencies = _spectra(audio, count, fps, sample_rate)
    vowel = np.log10(_band_energy(spectra, frequencies, 500, 1500, floor=1e-3))
    bright = _band_energy(spectra, frequencies, 1000, 4000) ** 0.25
    correlations, scores = [], []
    for mouth, sound, seconds in ((jaw_open, vowel, None), (jaw_open, vowel, 1.0), (lip_opening, bright, 0.6)):
        width = None if seconds is None else round(seconds * fps) // 2 * 2 + 1
        mouth_curve, sound_curve = _standardise(mouth, width), _standardise(sound, width)
        curve = _lagged_correlation(mouth_curve, sound_curve)
        correlations.append(curve)
        scores.append(curve / _standard_error(mouth_curve, sound_curve))
    correlation, score = np.mean(correlations, axis=0), np.mean(scores, axis=0)
    best = int(score.argmax())
    rivals = np.abs(np.arange(len(score)) - best) > _RIVAL_DISTANCE
    margin = correlation[best] - correlation[rivals].max()
    if score[best] == 0:
        return SyncMeasurement(0, 0.0, 0.0, 0.0, 0.0)
    return SyncMeasurement(
        best - _RADIUS, float(correlation[best]), float(score[best]), float(margin), float(correlation[_RADIUS])
    )


def _spectra(audio: np.ndarray, count: int, fps: float, sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Power spectra (F, bins) of windows centred on the start of each frame, and the bins' frequencies in Hz."""
    window = round(_WINDOW * sample_rate / 16000)
    starts = frame_starts(count, sample_rate, fps)
    padded = np.pad(audio, (window // 2, max(0, starts[-1] + window - len(audio))))
    pieces = np.lib.stride_tricks.sliding_window_view(padded, window)[starts]
    spectra = np.abs(np.fft.rfft(pieces * np.hanning(window), axis=1)) ** 2
    return spectra, np.fft.rfftfreq(window, 1 / sample_rate)


def _band_energy(
    spectra: np.ndarray, frequencies: np.ndarray, low: float, high: float, floor: float = 0.0
) -> np.ndarray:
    energy = spectra[:, (frequencies >= low) & (frequencies < high)].sum(axis=1) + 1e-9
    return np.maximum(energy, floor * np.percentile(energy, 98))


def _standardise(curve: np.ndarray, width: int | None) -> np.ndarray:
    """Zero mean, or zero running mean over ``width`` frames (takes out slow drifts), and unit variance."""
    curve = np.asarray(curve, np.float64)
    if width is None:
        curve = curve - curve.mean()
    else:
        padded = np.pad(curve, width // 2, mode="edge")
        curve = curve - np.convolve(padded, np.full(width, 1 / width), mode="valid")
    deviation = curve.std()
    return curve / deviation if deviation > 1e-6 else np.zeros_like(curve)


def _lagged_correlation(mouth: np.ndarray, sound: np.ndarray) -> np.ndarray:
    """Correlation of mouth[f + lag] with sound[f] for lags -12 .. 12."""
    result = np.zeros(2 * _RADIUS + 1)
    for position, lag in enumerate(range(-_RADIUS, _RADIUS + 1)):
        first = mouth[max(0, lag) : len(mouth) + min(0, lag)]
        second = sound[max(0, -lag) : len(sound) + min(0, -lag)]
        first, second = first - first.mean(), second - second.mean()
        scale = np.sqrt((first**2).sum() * (second**2).sum())
        result[position] = (first * second).sum() / scale if scale > 1e-9 else 0.0
    return result


def _standard_error(first: np.ndarray, second: np.ndarray, lags: int = 15) -> float:
    """Of the correlation of two unrelated curves that are each correlated in time (Bartlett's formula)."""
    product = 0.0
    for lag in range(1, lags):
        product += float((first[:-lag] * first[lag:]).sum() * (second[:-lag] * second[lag:]).sum())
    scale = float((first**2).sum() * (second**2).sum())
    inflation = 1.0 + (2.0 * product / scale if scale > 0 else 0.0)
    return float(np.sqrt(max(inflation, 0.3) / len(first)))


def shift_audio(audio: np.ndarray, offset: int, fps: float = 25.0, sample_rate: int = 16000) -> np.ndarray:
    """Sound delayed by ``offset`` frames (moved ahead when negative); same length, silence where nothing is known."""
    samples = sample_count(offset, sample_rate, fps)
    shifted = np.zeros_like(audio)
    if abs(samples) >= len(audio):
        return shifted
    if samples >= 0:
        shifted[samples:] = audio[: len(audio) - samples]
    else:
        shifted[:samples] = audio[-samples:]
    return shifted
