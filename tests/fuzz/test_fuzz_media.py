"""A short fuzz of small drawn media; ``make fuzz`` runs a long one on files of your own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import fuzz_media
import numpy as np
import pytest
from faulty_readers import crash, fail, hang, swell
from reading_process import table

from fada.media.audio import write_wav
from fada.media.video import write_video


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A moving picture with sound as MP4, and its sound as WAV."""
    folder = tmp_path_factory.mktemp("media")
    generator = np.random.default_rng(0)
    sound = (0.3 * generator.standard_normal(24000)).clip(-1, 1).astype(np.float32)
    frames = np.cumsum(generator.integers(0, 4, (38, 48, 64, 3)), axis=0).astype(np.uint8)
    write_video(folder / "v.mp4", frames, audio=sound)
    write_wav(folder / "a.wav", sound)
    return [folder / "v.mp4", folder / "a.wav"]


def test_damaged_media_are_read_or_refused_clearly(media) -> None:
    outcomes = list(fuzz_media.fuzz(media, 42, seconds=60))
    assert [outcome for outcome in outcomes if outcome.is_fault] == []
    assert {outcome.result for outcome in outcomes} == {"read", "refused", "rejected"}
    assert table(outcomes, fuzz_media.KINDS).splitlines()[-1].startswith("all")


def test_the_same_seed_damages_in_the_same_way(media) -> None:
    for mutate in fuzz_media.MUTATIONS:
        damaged = []
        for _ in range(2):
            data = bytearray(media[0].read_bytes())
            mutate(data, np.random.default_rng(3), media[1].read_bytes())
            damaged.append(bytes(data))
        assert damaged[0] == damaged[1] != media[0].read_bytes()


@pytest.mark.parametrize(
    ("reading", "result", "detail"),
    [
        (crash, "crash", "exit code -6"),
        (hang, "hang", "over 1 s"),
        (swell, "memory", " MB"),
        (fail, "error", "IndexError: nobody foresaw this"),
    ],
)
def test_faults_of_a_reader_are_seen(media, reading: Callable, result, detail) -> None:
    (outcome,) = fuzz_media.fuzz(media, 1, seconds=1 if reading is hang else 4, megabytes=300, reading=reading)
    assert outcome.result == result
    assert detail in outcome.detail
    assert outcome.is_fault
