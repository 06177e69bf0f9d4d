"""Speech activity: drawn speech is speech, noise and silence are not; and nothing else of torch changes."""

import numpy as np
import torch

from fada.data.scores.speech import speech_share
from fada.data.world import make_clip


def test_drawn_speech_is_speech_and_noise_and_silence_are_not() -> None:
    assert speech_share(make_clip(0, 0, size=32, frames=75).audio) > 0.5
    assert speech_share(np.random.default_rng(0).normal(0, 0.05, 32000).astype(np.float32)) < 0.1
    assert speech_share(np.zeros(32000, np.float32)) == 0.0
    assert speech_share(np.zeros(0, np.float32)) == 0.0


def test_the_process_keeps_its_threads() -> None:
    before = torch.get_num_threads()
    speech_share(np.zeros(16000, np.float32))
    assert torch.get_num_threads() == before


def test_the_detector_is_asked_on_one_thread(monkeypatch) -> None:
    import silero_vad

    threads: list[int] = []

    def ask(*_: object, **__: object) -> list[dict[str, int]]:
        threads.append(torch.get_num_threads())
        return [{"start": 0, "end": 4000}]

    monkeypatch.setattr(silero_vad, "get_speech_timestamps", ask)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert speech_share(np.zeros(16000, np.float32)) == 0.25
        assert (threads, torch.get_num_threads()) == ([1], 3)
    finally:
        torch.set_num_threads(before)
