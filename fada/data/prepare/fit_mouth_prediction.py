"""Make the weights of mouth_prediction.py from talking videos whose offsets are known.

    python -m fada.data.prepare.fit_mouth_prediction videos.tsv --face-landmarker face_landmarker.task --out new.st

The table has a line per video, tab-separated: path (relative to the table), offset in frames (lips minus sound),
person, and kind of voice (a name of VOICES). Prints what weights fitted without a person say of that person's videos,
and of that person with every other voice.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from fada.data.prepare import measure
from fada.data.prepare.lag_curves import RADIUS
from fada.data.prepare.models import FaceFinder
from fada.data.prepare.mouth_prediction import TARGETS, VOICES, Weights, sound_features
from fada.data.prepare.reasons import Limits
from fada.data.prepare.sync import SyncMeasurement, measure_sync
from fada.data.prepare.track import follow
from fada.files.whole import write_bytes
from fada.media.audio import read_audio
from fada.media.sample_rate import SAMPLE_RATE
from fada.media.video import iterate_frames

_RIDGE = 0.3
"""Of the features' mean variance."""
_NOISE_DECIBELS = 40.0
"""Every sound is also learned with noise so far below it: silence is never digital in other rooms."""


@dataclass(frozen=True)
class Example:
    """One talking video."""

    name: str
    offset: int
    person: str
    voice: str
    mouth: dict[str, np.ndarray]
    audio: np.ndarray
    features: tuple[np.ndarray, np.ndarray]
    """Of the sound, and of the sound with noise."""


def read_examples(table: Path, finder: FaceFinder) -> list[Example]:
    """The longest steady stretch of every video of a table."""
    examples = []
    for line in table.read_text(encoding="utf-8").splitlines():
        if not line.strip():
            continue
        name, offset, person, voice = line.split("\t")
        path = table.parent / name
        track = follow(iterate_frames(path, 25.0), finder, 10)
        stretch = max(track.stretches, key=lambda stretch: stretch.end - stretch.start)
        points, blendshapes = stretch.arrays()
        audio = read_audio(path, SAMPLE_RATE)[640 * stretch.start :][: 640 * len(points)]
        mouth = measure.mouth_curves(points, blendshapes)
        sound = np.pad(audio, (0, 640 * len(points) - len(audio)))
        examples.append(Example(name, int(offset), person, voice, mouth, sound, _both_features(sound)))
    return examples


def fit(examples: Sequence[Example]) -> Weights:
    """Weights of every voice."""
    return {voice: _fit([example for example in examples if example.voice == voice]) for voice in VOICES}


def _fit(chosen: Sequence[Example]) -> dict[str, np.ndarray]:
    """Ridge regression of each target on the sound, every example brought in sync."""
    weights = {}
    for target in TARGETS:
        inputs, outputs = [], []
        for example in chosen:
            curve = target.centred(example.mouth[target.name], 25.0)
            first, last = max(0, -example.offset), min(len(curve), len(curve) - example.offset)
            for each in example.features:
                inputs.append(each[first:last])
                outputs.append(curve[first + example.offset : last + example.offset])
        stacked, wanted = np.concatenate(inputs), np.concatenate(outputs)
        stacked = stacked - stacked.mean(axis=0)
        penalty = _RIDGE * len(stacked) * stacked.var(axis=0).mean() * np.eye(stacked.shape[1])
        weights[target.name] = np.linalg.solve(stacked.T @ stacked + penalty, stacked.T @ wanted).astype(np.float32)
    return weights


def _both_features(audio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    noise = np.random.default_rng(1).standard_normal(len(audio))
    level = np.sqrt((audio.astype(np.float64) ** 2).mean()) * 10 ** (-_NOISE_DECIBELS / 20)
    count = len(audio) // 640
    return sound_features(audio, count), sound_features(audio + level * noise, count)


@dataclass(frozen=True)
class Trial:
    """What the whole estimator says of a video with a sound, by weights that know neither person."""

    seen: str
    heard: str
    expected: int | None
    """The offset; None of a voice that is not this person's."""
    delay: int
    """Frames by which the sound was delayed for the trial."""
    found: SyncMeasurement


def left_out(examples: Sequence[Example], voices: Mapping[str, np.ndarray] | None = None) -> list[Trial]:
    """Every person's videos with their own sound, shifted by -10 .. 10 frames too, and with every other voice.

    Args:
        voices: further sounds (N,) at 16 kHz, of nobody in the examples.
    """
    people = [example for example in examples if example.voice == "people"]
    others = fit(examples)
    sounds = [(each.name, each.person, each.audio) for each in people]
    sounds += [(name, name, audio) for name, audio in (voices or {}).items()]
    trials = []
    for seen in people:
        for heard, person, audio in sounds:
            if seen.name != heard and seen.person == person:
                continue
            known = [each for each in people if each.person not in (seen.person, person)]
            weights = {**others, "people": _fit(known)}
            for delay in range(-10, 11) if seen.name == heard else (0,):
                expected = seen.offset - delay if seen.name == heard else None
                if expected is None or abs(expected) <= RADIUS:
                    found = _measure(seen, _delayed(audio, delay), weights)
                    trials.append(Trial(seen.name, heard, expected, delay, found))
    return trials


def _delayed(audio: np.ndarray, frames: int) -> np.ndarray:
    samples = 640 * frames
    return np.pad(audio, (samples, 0))[: len(audio)] if samples >= 0 else np.pad(audio[-samples:], (0, -samples))


def _measure(seen: Example, audio: np.ndarray, weights: Weights) -> SyncMeasurement:
    count = min(len(seen.mouth["jaw"]), len(audio) // 640)
    opening, width, jaw = (seen.mouth[name][:count] for name in ("opening", "width", "jaw"))
    return measure_sync(jaw, opening, audio[: 640 * count], lip_width=width, weights=weights)


def summary(trials: Sequence[Trial], limits: Limits) -> list[str]:
    """Lines for the terminal."""
    lines = [
        f"{each.seen}: known {each.expected:+d}, found {each.found.offset:+d}, confidence {each.found.confidence:.2f}"
        for each in trials
        if each.expected is not None and each.delay == 0
    ]
    close = [abs(each.found.offset - each.expected) <= 1 for each in trials if each.expected is not None]
    lines.append(f"shifted by -10 .. 10 frames: {sum(close)} of {len(close)} within a frame")
    wrong = [each.found for each in trials if each.expected is None]
    for name, least in (("known", limits.min_sync_confidence), ("clear", limits.clear_sync_confidence)):
        passed = sum(each.confidence >= least and abs(each.offset) <= limits.max_corrected_offset for each in wrong)
        lines.append(f"{len(wrong)} wrong voices: {passed} pass as {name} ({least:g})")
    return lines


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("table", type=Path)
    parser.add_argument("--face-landmarker", type=Path, required=True)
    parser.add_argument("--voices", type=Path, nargs="*", default=[], help="sounds of nobody in the table")
    parser.add_argument("--trained-on", default="", help="what stands in the weights' header")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    with FaceFinder(options.face_landmarker) as finder:
        examples = read_examples(options.table, finder)
    trials = left_out(examples, {path.name: read_audio(path, SAMPLE_RATE) for path in options.voices})
    print("\n".join(summary(trials, Limits())))
    flat = {f"{voice}.{name}": values for voice, own in fit(examples).items() for name, values in own.items()}
    write_bytes(options.out, save(flat, {"trained_on": options.trained_on}))


if __name__ == "__main__":
    main()
