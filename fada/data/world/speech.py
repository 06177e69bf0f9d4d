"""Speech-like sound: a plan of syllables, its control curves, and the sound itself.

Formant synthesis: a glottal pulse train runs through one fixed resonator chain per vowel, and the vowels are mixed
by the syllables' envelopes. Knows nothing of faces; the mouth (motion.py) reads the same envelopes.

scipy.signal is loaded at the first sound: half a second that processes which only read clips do without.
"""

from dataclasses import dataclass

import numpy as np
import scipy
from scipy.ndimage import gaussian_filter1d

from fada.media.sample_rate import SAMPLE_RATE

CONTROL_RATE = 1000
"""Control curves per second; one control point every 16 samples."""


@dataclass(frozen=True)
class Vowel:
    """How a vowel sounds (formants in Hz) and how the mouth looks (aperture and width in [0, 1])."""

    name: str
    formants: tuple[float, float, float]
    aperture: float
    width: float


# Formants after Peterson & Barney 1952 (means of adult speakers, rounded); mouth shapes drawn by eye.
VOWELS = (
    Vowel("a", (760.0, 1200.0, 2550.0), 1.0, 0.60),
    Vowel("e", (520.0, 1850.0, 2600.0), 0.58, 0.80),
    Vowel("i", (290.0, 2300.0, 3050.0), 0.30, 1.00),
    Vowel("o", (480.0, 880.0, 2500.0), 0.66, 0.28),
    Vowel("u", (310.0, 680.0, 2300.0), 0.34, 0.00),
)

CONSONANTS = ("stop", "nasal", "fricative")


@dataclass(frozen=True)
class Voice:
    """What of the sound belongs to the identity."""

    pitch: float
    """Median fundamental frequency in Hz."""
    tract: float
    """Factor on all formants: short vocal tracts are above 1."""
    breath: float
    """Share of noise in the voice, about 0.02 to 0.1."""


@dataclass(frozen=True)
class Speech:
    """Control curves at CONTROL_RATE, all of length duration * CONTROL_RATE."""

    vowels: np.ndarray
    """(5, N) level of each vowel in [0, 1]."""
    fricative: np.ndarray
    """(N,) level of hissing in [0, 1]."""
    murmur: np.ndarray
    """(N,) level of nasal hum in [0, 1]."""
    burst: np.ndarray
    """(N,) level of stop bursts in [0, 1]."""
    pitch: np.ndarray
    """(N,) fundamental frequency relative to the voice's median; 1 is the median."""

    @property
    def loudness(self) -> np.ndarray:
        """(N,) overall level in [0, 1]."""
        return np.clip(self.vowels.sum(0) + 0.25 * (self.fricative + self.murmur), 0.0, 1.0)


def draw_voice(rng: np.random.Generator) -> Voice:
    """A random voice; higher pitch goes with a shorter vocal tract, as in people."""
    height = rng.uniform(0.0, 1.0)
    return Voice(
        pitch=float(100.0 * 2.2**height),
        tract=float(0.94 + 0.12 * height + rng.uniform(-0.02, 0.02)),
        breath=float(rng.uniform(0.02, 0.08)),
    )


def plan_speech(rng: np.random.Generator, duration: float) -> Speech:
    """Random syllables for `duration` seconds: phrases of 2 to 6 syllables with silent pauses between them."""
    count = round(duration * CONTROL_RATE)
    vowels = np.zeros((len(VOWELS), count))
    fricative, murmur, burst = np.zeros(count), np.zeros(count), np.zeros(count)
    pitch = np.ones(count)
    time = rng.uniform(-0.4, 0.25)
    while time < duration:
        phrase_start, emphasis = time, rng.uniform(0.85, 1.0)
        syllables = int(rng.integers(2, 7))
        for number in range(syllables):
            kind = CONSONANTS[int(rng.integers(len(CONSONANTS)))]
            closure = rng.uniform(0.06, 0.11)
            _consonant(kind, time, closure, fricative, murmur, burst)
            time += closure
            length = rng.uniform(0.14, 0.26) * (1.25 if number == syllables - 1 else 1.0)
            stress = emphasis * rng.uniform(0.6, 1.0)
            _add_bump(vowels[int(rng.integers(len(VOWELS)))], time, length, stress, attack=0.05, decay=0.08)
            _add_bump(pitch, time, length, 0.22 * (stress - 0.6), attack=0.06, decay=0.08)
            time += length
        _add_declination(pitch, phrase_start, time)
        time += rng.uniform(0.2, 0.5)
    return Speech(vowels, fricative, murmur, burst, gaussian_filter1d(pitch, 0.015 * CONTROL_RATE))


def _consonant(
    kind: str, start: float, length: float, fricative: np.ndarray, murmur: np.ndarray, burst: np.ndarray
) -> None:
    if kind == "fricative":
        _add_bump(fricative, start, length, 0.8, attack=0.03, decay=0.03)
    elif kind == "nasal":
        _add_bump(murmur, start, length, 0.7, attack=0.02, decay=0.02)
    else:
        _add_bump(burst, start + length - 0.02, 0.025, 0.6, attack=0.003, decay=0.015)


def _add_bump(track: np.ndarray, start: float, length: float, level: float, attack: float, decay: float) -> None:
    """Add a raised-cosine attack, a plateau and a raised-cosine decay; parts outside the track are dropped."""
    first, last = round(start * CONTROL_RATE), round((start + length) * CONTROL_RATE)
    inside_first, inside_last = max(first, 0), min(last, len(track))
    if inside_last <= inside_first:
        return
    since = (np.arange(inside_first, inside_last) - first + 0.5) / CONTROL_RATE
    rise = np.clip(since / attack, 0.0, 1.0)
    fall = np.clip((length - since) / decay, 0.0, 1.0)
    track[inside_first:inside_last] += level * np.square(np.sin(0.5 * np.pi * rise) * np.sin(0.5 * np.pi * fall))


def _add_declination(pitch: np.ndarray, start: float, end: float) -> None:
    """Pitch falls by a tenth over each phrase."""
    first, last = max(round(start * CONTROL_RATE), 0), min(round(end * CONTROL_RATE), len(pitch))
    if last > first:
        moments = np.arange(first, last) / CONTROL_RATE
        pitch[first:last] += 0.06 - 0.12 * (moments - start) / (end - start)


def synthesise(speech: Speech, voice: Voice, rng: np.random.Generator) -> np.ndarray:
    """The sound of a plan in a voice: float32 (N,), 16 kHz, within [-1, 1], a quiet noise floor in the pauses."""
    pitch = _to_samples(speech.pitch) * voice.pitch
    count = len(pitch)
    noise = rng.standard_normal(count)
    source = _pulses(pitch, voice.pitch) + voice.breath * noise
    sound = np.zeros(count)
    for vowel, level in zip(VOWELS, speech.vowels, strict=True):
        if level.max() > 0:
            sound += _to_samples(level) * _resonate(source, [f * voice.tract for f in vowel.formants])
    if speech.murmur.max() > 0:
        sound += 0.22 * _to_samples(speech.murmur) * _resonate(source, [250.0, 1000.0, 2200.0])
    hiss = scipy.signal.sosfilt(scipy.signal.butter(2, 3500.0, "highpass", fs=SAMPLE_RATE, output="sos"), noise)
    sound += 0.22 * _to_samples(speech.fricative) * hiss + 0.3 * _to_samples(speech.burst) * noise
    sound = 0.14 * sound + 0.0012 * rng.standard_normal(count)
    return np.clip(sound, -1.0, 1.0).astype(np.float32)


def _to_samples(control: np.ndarray) -> np.ndarray:
    """Linear interpolation of a control curve to SAMPLE_RATE."""
    step = SAMPLE_RATE // CONTROL_RATE
    positions = (np.arange(len(control) * step) + 0.5) / step - 0.5
    return np.interp(positions, np.arange(len(control)), control)


def _pulses(pitch: np.ndarray, median_pitch: float) -> np.ndarray:
    """Band-limited glottal pulses: harmonics falling as 1/k, by cos(k p) = 2 cos p cos((k-1)p) - cos((k-2)p)."""
    phase = 2.0 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    twice = 2.0 * np.cos(phase)
    before, now = np.ones_like(phase), np.cos(phase)
    total = now.copy()
    for harmonic in range(2, int(5500.0 / median_pitch)):
        before, now = now, twice * now - before
        total += now / harmonic
    return total


def _resonate(source: np.ndarray, formants: list[float]) -> np.ndarray:
    """The source through two-pole resonators in cascade (Klatt 1980), brought to unit root mean square."""
    out = source
    for number, frequency in enumerate(formants):
        radius = np.exp(-np.pi * (70.0 + 40.0 * number) / SAMPLE_RATE)
        middle = -2.0 * radius * np.cos(2.0 * np.pi * frequency / SAMPLE_RATE)
        out = scipy.signal.lfilter([1.0 + middle + radius**2], [1.0, middle, radius**2], out)
    return out / (np.sqrt(np.mean(np.square(out))) + 1e-9)
