"""What the mouth does while a sound is spoken, guessed from the sound: a linear map from nine log-mel frames.

Three curves are predicted: opening of the lips, their width (which narrows for "oo"), opening of the jaw. There are 216
weights for each, of people's voices and of the drawn world's, whose vowels are synthetic. They lie beside this file;
`fit_mouth_prediction.py` makes them, their header says of what.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from fada.data.prepare.lag_curves import RADIUS, correlations_and_scores, odd_width, standardise
from fada.media.sample_rate import SAMPLE_RATE

WEIGHTS = Path(__file__).parent / "mouth_prediction.safetensors"
BANDS = 24
CONTEXT = 4
"""Frames of 40 ms on each side."""
_RATE = 25.0
_STEPS = 4
"""Spectra per frame of 40 ms, so that other frame rates find one within 5 ms."""
_LOW, _HIGH = 80.0, 7600.0
_FLOOR = 1e-6
"""Of the loud parts' energy: quieter bands count as this loud."""
_BLOCK = 4096


@dataclass(frozen=True)
class Target:
    """One curve of the mouth that is predicted."""

    name: str
    seconds: float | None
    """The running mean over so long is taken out; None: the mean of all."""
    emphasis: float
    """Share of the frame before (at 25 frames per second) that is taken off, so that neighbours say less twice."""

    def centred(self, curve: np.ndarray, fps: float) -> np.ndarray:
        """What the weights are fitted to."""
        return standardise(curve, odd_width(self.seconds, fps))

    def compared(self, curve: np.ndarray, fps: float) -> np.ndarray:
        """What is correlated."""
        centred = self.centred(curve, fps)
        share = self.emphasis ** (_RATE / fps) if self.emphasis else 0.0
        return np.concatenate([[0.0], centred[1:] - share * centred[:-1]])


TARGETS = (Target("opening", None, 0.9), Target("width", 1.0, 0.0), Target("jaw", None, 0.0))
"""Chosen on the trial footage: each adds to the others, five more curves of the mouth did not."""


VOICES = {"people": 0.0, "drawn": 0.5}
"""Kinds of voices with weights of their own, and by how much their scores count less: most footage is of people."""
_WITHOUT_WIDTH = 0.25
"""By how much scores count less where only opening and jaw are known: they say nearly the same twice."""

Weights = dict[str, dict[str, np.ndarray]]
"""(216,) by voice and target."""


def prediction_scores(
    mouth: dict[str, np.ndarray | None],
    audio: np.ndarray,
    fps: float = 25.0,
    sample_rate: int = SAMPLE_RATE,
    weights: Weights | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """How well seen and predicted curves go together at lags -12 .. 12, by the better of the voices at each lag.

    Unrelated pairs of clips reach a score of 1.5 at their best lag in the median, 2.5 in 2 % of them.

    Args:
        mouth: (F,) curves by the names of TARGETS, in any unit; None where one is not known. One that never moves does
            not count.
        audio: (N,) mono samples; frame ``f`` begins at sample ``f * sample_rate / fps``.
        fps: frames per second.
        sample_rate: samples per second.
        weights: None takes the shipped ones.

    Returns:
        Mean correlation (25,), and mean of correlations over their standard errors, less the voice's handicap.
    """
    weights = shipped_weights() if weights is None else weights
    moving = [
        (target, target.compared(curve, fps))
        for target in TARGETS
        if (curve := mouth.get(target.name)) is not None and np.ptp(curve) > 1e-6 * np.abs(curve).max()
    ]
    if not moving:
        return np.zeros(2 * RADIUS + 1), np.zeros(2 * RADIUS + 1)
    heard = sound_features(audio, len(moving[0][1]), fps, sample_rate)
    has_width = any(target.name == "width" for target, _ in moving)
    found = []
    for voice, own in weights.items():
        pairs = [
            correlations_and_scores(curve, target.compared(heard @ own[target.name], fps)) for target, curve in moving
        ]
        correlations, scores = np.mean(pairs, axis=0)
        found.append((correlations, scores - VOICES[voice] - (0.0 if has_width else _WITHOUT_WIDTH)))
    better = np.argmax([scores for _, scores in found], axis=0)
    lags = np.arange(2 * RADIUS + 1)
    correlations, scores = (np.stack(each)[better, lags] for each in zip(*found, strict=True))
    return correlations, scores


def sound_features(audio: np.ndarray, count: int, fps: float = 25.0, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """(F, 216): log energy of 24 mel bands, less each band's mean, at nine moments 40 ms apart around each frame.

    Band means are taken out so that microphone, codec and loudness do not matter.
    """
    per_second = _RATE * _STEPS
    moments = np.round(np.arange(count) / fps * per_second).astype(int)
    logs = _log_mel(audio, int(moments[-1]) + 1, per_second, sample_rate)
    logs = logs - logs[moments].mean(axis=0)
    around = moments[:, None] + _STEPS * np.arange(-CONTEXT, CONTEXT + 1)
    return logs[np.clip(around, 0, len(logs) - 1)].reshape(count, -1)


def _log_mel(audio: np.ndarray, count: int, per_second: float, sample_rate: int) -> np.ndarray:
    """(count, 24) of 40-ms windows centred on multiples of ``1 / per_second`` seconds; silence beyond the sound."""
    window = round(sample_rate / _RATE)
    size = 1 << (window - 1).bit_length()
    starts = np.round(np.arange(count) * sample_rate / per_second).astype(int)
    padded = np.pad(audio, (window // 2, max(0, int(starts[-1]) + window - len(audio))))
    pieces = np.lib.stride_tricks.sliding_window_view(padded, window)
    filters = _mel_filters(size, sample_rate).T
    shape = np.hanning(window)
    # In blocks: an hour of sound would otherwise need gigabytes at once.
    energies = [
        np.abs(np.fft.rfft(pieces[starts[block : block + _BLOCK]] * shape, size)) ** 2 @ filters
        for block in range(0, count, _BLOCK)
    ]
    energy = np.concatenate(energies)
    floor = _FLOOR * np.percentile(energy.sum(axis=1), 95) / BANDS
    return np.log10(np.maximum(energy, floor) + 1e-12)


@cache
def _mel_filters(size: int, sample_rate: int) -> np.ndarray:
    """(24, bins) triangles of height 1, evenly spread on the mel scale (O'Shaughnessy's formula)."""
    low, high = (2595.0 * np.log10(1.0 + hertz / 700.0) for hertz in (_LOW, min(_HIGH, sample_rate / 2)))
    edges = 700.0 * (10.0 ** (np.linspace(low, high, BANDS + 2) / 2595.0) - 1.0)
    frequencies = np.fft.rfftfreq(size, 1 / sample_rate)
    rising = (frequencies - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - frequencies) / np.diff(edges)[1:, None]
    return np.maximum(0.0, np.minimum(rising, falling))


@cache
def shipped_weights() -> Weights:
    """Those beside this file."""
    stored = load_file(WEIGHTS)
    return {voice: {target.name: stored[f"{voice}.{target.name}"] for target in TARGETS} for voice in VOICES}
