"""Clips made one ahead: order, errors, how far ahead, and the same frames bit for bit."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from fada.student.overlap import one_ahead
from fada.student.pipeline import FadaPipeline

PORTRAIT = np.random.default_rng(0).integers(0, 255, (20, 20, 3), dtype=np.uint8)
SOUND = np.random.default_rng(1).normal(0, 0.1, 6400).astype(np.float32)


@pytest.fixture(scope="module")
def pipeline(student_run: Path) -> FadaPipeline:
    return FadaPipeline.from_pretrained(student_run / "students" / "fast")


def test_overlapped_frames_are_those_of_one_after_the_other(pipeline: FadaPipeline) -> None:
    plain, overlapped = (pipeline(PORTRAIT, SOUND, overlap=overlap) for overlap in (False, True))
    assert plain.clips == 3
    assert np.array_equal(plain.frames, overlapped.frames)
    assert torch.equal(plain.latents, overlapped.latents)
    assert set(overlapped.stage_seconds) == {"audio", "reference", "denoise", "decode"}
    clips = list(pipeline.stream(PORTRAIT, [SOUND], overlap=True))
    assert [len(clip) for clip in clips] == [4, 4, 2]
    assert np.array_equal(np.concatenate(clips), plain.frames)


def test_an_error_of_the_second_thread_arrives(pipeline: FadaPipeline) -> None:
    with pytest.raises(ValueError, match="shorter than one frame"):
        pipeline(PORTRAIT, SOUND[:100], overlap=True)

    def broken() -> Iterator[np.ndarray]:
        yield SOUND[:4480]
        raise OSError("the microphone is gone")

    stream = pipeline.stream(PORTRAIT, broken(), overlap=True)
    assert len(next(stream)) == 4
    with pytest.raises(OSError, match="microphone is gone"):
        next(stream)


def test_items_keep_their_order_and_errors_their_place() -> None:
    def items() -> Iterator[int]:
        yield from range(20)
        raise KeyError("after twenty")

    ahead = one_ahead(items())
    assert [next(ahead) for _ in range(20)] == list(range(20))
    with pytest.raises(KeyError, match="after twenty"):
        next(ahead)
    assert list(one_ahead(iter([]))) == []


def test_the_next_item_is_made_while_one_is_used_and_no_other() -> None:
    begun = [threading.Event() for _ in range(4)]

    def items() -> Iterator[int]:
        for index, event in enumerate(begun):
            event.set()
            yield index

    made = one_ahead(items())
    assert next(made) == 0
    assert begun[1].wait(timeout=60)
    assert not begun[2].is_set()
    assert next(made) == 1
    assert begun[2].wait(timeout=60)
    assert not begun[3].is_set()


def test_closing_ends_the_second_thread() -> None:
    made = one_ahead(iter(range(9)))
    assert next(made) == 0
    made.close()
    assert [thread for thread in threading.enumerate() if thread.name.startswith("next-clip")] == []
