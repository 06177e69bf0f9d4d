"""MFCC as SyncNet hears: those of python_speech_features with its default settings, on samples of 16 bits.

The scale matters: the first coefficient is the log of the energy, so samples in [-1, 1] shift it by 2 ln 32768 = 20.794
against the 16-bit numbers that the network was trained on.
"""

from __future__ import annotations

import numpy as np
from scipy.fft import dct

from fada.eval.metrics.not_measurable import NotMeasurable
from fada.media.sample_rate import SAMPLE_RATE

WINDOW, HOP, FFT = 400, 160, 512
FILTERS, COEFFICIENTS, LIFTER, PREEMPHASIS = 26, 13, 22, 0.97


def mfcc(audio: np.ndarray) -> np.ndarray:
    """Mel-frequency cepstral coefficients (frames, 13), 100 frames per second; the first is the log energy.

    Args:
        audio: (N,) mono at 16 kHz, in [-1, 1]; rounded to 16 bits first.

    Raises:
        NotMeasurable: fewer than 25 ms of sound.

    Source: github.com/jameslyons/python_speech_features, mfcc().
    """
    return mfcc_of_samples(to_int16(audio))


def to_int16(audio: np.ndarray) -> np.ndarray:
    """Samples in [-1, 1] as 16-bit integers, as a WAV file holds them."""
    return np.clip(np.round(np.asarray(audio, np.float64) * 32768), -32768, 32767).astype(np.int16)


def mfcc_of_samples(samples: np.ndarray) -> np.ndarray:
    """The same of samples (N,) as they are, without any scaling."""
    if len(samples) < WINDOW:
        raise NotMeasurable(f"{len(samples)} samples of sound are less than one window of {WINDOW}")
    signal = np.asarray(samples, np.float64)
    signal = np.append(signal[0], signal[1:] - PREEMPHASIS * signal[:-1])
    count = 1 + -(-(len(signal) - WINDOW) // HOP)
    signal = np.pad(signal, (0, (count - 1) * HOP + WINDOW - len(signal)))
    frames = np.lib.stride_tricks.sliding_window_view(signal, WINDOW)[::HOP]
    power = np.abs(np.fft.rfft(frames, FFT)) ** 2 / FFT
    energy, bands = power.sum(axis=1), power @ mel_filters().T
    smallest = np.finfo(np.float64).eps
    energy[energy == 0], bands[bands == 0] = smallest, smallest
    cepstra = dct(np.log(bands), type=2, axis=1, norm="ortho")[:, :COEFFICIENTS]
    cepstra *= 1 + LIFTER / 2 * np.sin(np.pi * np.arange(COEFFICIENTS) / LIFTER)
    cepstra[:, 0] = np.log(energy)
    return cepstra


def mel_filters() -> np.ndarray:
    """Triangles over the bins of the spectrum, evenly spread in mel: (26, 257)."""
    highest = 2595 * np.log10(1 + SAMPLE_RATE / 2 / 700)
    hertz = 700 * (10 ** (np.linspace(0, highest, FILTERS + 2) / 2595) - 1)
    edges = np.floor((FFT + 1) * hertz / SAMPLE_RATE)
    bins = np.arange(FFT // 2 + 1)
    filters = np.zeros((FILTERS, len(bins)))
    for place, (low, middle, high) in enumerate(zip(edges, edges[1:], edges[2:], strict=False)):
        rising, falling = (bins >= low) & (bins < middle), (bins >= middle) & (bins < high)
        filters[place, rising] = (bins[rising] - low) / (middle - low)
        filters[place, falling] = (high - bins[falling]) / (high - middle)
    return filters
