"""Clips made one ahead: order, errors, how far ahead, and the same frames bit for bit."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from fada.generation import overlap
from fada.generation.overlap import one_ahead
from fada.generation.pipelines import FadaPipeline

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


def threads() -> set[int]:
    """Second threads, busy or not."""
    return {thread.native_id or 0 for thread in threading.enumerate() if thread.name.startswith("next-clip")}


def test_closing_waits_for_what_is_being_made() -> None:
    may_end, ended = threading.Event(), threading.Event()

    def items() -> Iterator[int]:
        yield 0
        may_end.wait(timeout=60)
        ended.set()
        yield 1

    made = one_ahead(items())
    assert next(made) == 0
    threading.Timer(0.05, may_end.set).start()
    made.close()
    assert ended.is_set()


def test_the_next_call_has_the_thread_of_the_last_and_two_at_once_have_two(monkeypatch: pytest.MonkeyPatch) -> None:
    # A new thread would plan every convolution anew.
    monkeypatch.setattr(overlap, "_idle", [])
    before = threads()

    def where() -> Iterator[int]:
        for _ in range(3):
            yield threading.get_native_id()

    first = set(one_ahead(where()))
    assert set(one_ahead(where())) == first
    (one, other) = one_ahead(where()), one_ahead(where())
    assert {next(one), next(other)} > first
    one.close()
    other.close()
    assert len(threads() - before) == 2


def test_a_forked_process_has_threads_of_its_own() -> None:
    assert list(one_ahead(iter(range(3)))) == [0, 1, 2]
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as other:
        assert other.submit(_in_another_process).result(timeout=60) == [0, 1, 2]


def _in_another_process() -> list[int]:
    return list(one_ahead(iter(range(3))))
