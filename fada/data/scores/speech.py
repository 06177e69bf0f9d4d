"""How much of a sound is speech, by Silero's voice activity detector (its weights come with its package)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import torch

from fada.media.sample_rate import SAMPLE_RATE


def speech_share(audio: np.ndarray) -> float:
    """Share of the time in which somebody speaks.

    Args:
        audio: float32 (N,) mono at 16 kHz.
    """
    return sum(end - start for start, end in spoken_parts(audio)) / max(1, len(audio))


def spoken_parts(audio: np.ndarray) -> list[tuple[int, int]]:
    """From which to which sample of a sound (N,) at 16 kHz somebody speaks, in order."""
    if len(audio) == 0:
        return []
    sound = torch.from_numpy(np.ascontiguousarray(audio))
    with one_thread():
        from silero_vad import get_speech_timestamps

        spoken = get_speech_timestamps(sound, _detector(), sampling_rate=SAMPLE_RATE)
    return [(part["start"], part["end"]) for part in spoken]


@contextmanager
def one_thread() -> Iterator[None]:
    """For tiny networks that are asked often, Silero's 31 times a second of sound: threads beside other work only wait
    for one another there (5 s of sound in 10 s instead of 0.05)."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        # Its import, too, leaves torch with one thread in the whole process.
        torch.set_num_threads(threads)


@cache
def _detector() -> Any:
    from silero_vad import load_silero_vad

    with warnings.catch_warnings():
        # Its weights are TorchScript, which torch has begun to deprecate.
        warnings.simplefilter("ignore", DeprecationWarning)
        return load_silero_vad()
