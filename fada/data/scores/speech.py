"""How much of a sound is speech, by Silero's voice activity detector (its weights come with its package)."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
import torch

RATE = 16000


def speech_share(audio: np.ndarray) -> float:
    """Share of the time in which somebody speaks.

    Args:
        audio: float32 (N,) mono at 16 kHz.
    """
    if len(audio) == 0:
        return 0.0
    detector = _detector()
    from silero_vad import get_speech_timestamps

    spoken = get_speech_timestamps(torch.from_numpy(np.ascontiguousarray(audio)), detector, sampling_rate=RATE)
    return sum(part["end"] - part["start"] for part in spoken) / len(audio)


@cache
def _detector() -> Any:
    # Its import leaves torch with one thread in the whole process.
    threads = torch.get_num_threads()
    from silero_vad import load_silero_vad

    torch.set_num_threads(threads)
    with warnings.catch_warnings():
        # Its weights are TorchScript, which torch has begun to deprecate.
        warnings.simplefilter("ignore", DeprecationWarning)
        return load_silero_vad()
