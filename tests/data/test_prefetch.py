"""Reading ahead: the same batches, whoever reads them, and workers that die are counted and named."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from fada.data.sampling import prefetch
from fada.data.sampling.dataset import Batch, BatchShape, ClipSampler
from fada.data.sampling.prefetch import Prefetcher, packed, reading_ahead, unpacked
from fada.data.shards.reading import Sample, write_shards
from fada.data.shards.shard_set import ShardSet
from fada.data.shards.stored_clips import StoredClips


def sample(number: int) -> Sample:
    generator = torch.Generator().manual_seed(number)
    return Sample(
        f"clip-{number}",
        {"quality": "A"},
        latents=torch.randn(6, 4, 4, 4, generator=generator).half(),
        audio_states=torch.randn(6, 1, 8, generator=generator).bfloat16(),
    )


@pytest.fixture
def sampler(tmp_path: Path) -> ClipSampler:
    write_shards((sample(number) for number in range(10)), tmp_path / "s", 4)
    return ClipSampler(StoredClips([ShardSet(tmp_path / "s")]), 4, 1, 1)


@pytest.fixture
def ahead(sampler: ClipSampler) -> Iterator[Prefetcher]:
    with reading_ahead(sampler, 1):
        assert isinstance(sampler.ahead, Prefetcher)
        yield sampler.ahead
    assert sampler.ahead is None


SHAPE = BatchShape(2, accumulate=2)


def same(one: Batch, two: Batch) -> None:
    assert one.keys == two.keys
    assert torch.equal(one.latents, two.latents)
    assert torch.equal(one.audio, two.audio)


def until_ready(prefetcher: Prefetcher) -> None:
    """Wait until every worker has loaded what it needs."""
    while not all(post.is_ready for post in prefetcher._posts):
        prefetcher._hear(60.0)


def expected(sampler: ClipSampler, step: int, micro: int) -> Batch:
    return sampler.drawn(SHAPE.asked(step, micro))


def test_batches_are_those_of_the_sampler_and_come_from_the_worker(
    sampler: ClipSampler, ahead: Prefetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = [(step, micro) for step in range(3) for micro in range(2)]
    wanted = [expected(sampler, *place) for place in places]
    until_ready(ahead)
    same(sampler.batch(0, SHAPE, 0), wanted[0])
    # From here on nothing is read in this process.
    monkeypatch.setattr(ClipSampler, "drawn", None)
    for place, batch in zip(places[1:], wanted[1:], strict=True):
        same(sampler.batch(place[0], SHAPE, place[1]), batch)
    assert ahead.deaths == 0


def test_what_was_not_expected_is_read_here_and_the_worker_goes_on_with_what_follows(
    sampler: ClipSampler, ahead: Prefetcher
) -> None:
    until_ready(ahead)
    for place in [(0, 0), (500, 1), (0, 1), (1, 0), (7, 0), (7, 1)]:
        same(sampler.batch(place[0], SHAPE, place[1]), expected(sampler, *place))
    assert ahead.deaths == 0


def test_a_worker_that_is_killed_costs_no_batch_is_named_and_another_takes_its_place(
    sampler: ClipSampler, ahead: Prefetcher
) -> None:
    until_ready(ahead)
    process = ahead._posts[0].worker._process
    # Stopped, or it might have answered before it is killed.
    os.kill(process.pid or 0, signal.SIGSTOP)
    same(sampler.batch(0, SHAPE, 0), expected(sampler, 0, 0))
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    batch = sampler.batch(0, SHAPE, 1)
    same(batch, expected(sampler, 0, 1))
    (fault,) = batch.faults
    assert fault == (
        "data worker 1 died (exit code -9) with samples 2, 3 of step 0, which are read again; another takes its place"
    )
    until_ready(ahead)
    same(sampler.batch(1, SHAPE, 0), expected(sampler, 1, 0))
    assert not sampler.batch(1, SHAPE, 1).faults
    assert ahead.deaths == 1


def test_where_workers_keep_dying_the_training_process_reads_by_itself(
    sampler: ClipSampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefetch, "MOST_DEATHS", 1)
    with reading_ahead(sampler, 1):
        made = sampler.ahead
        assert isinstance(made, Prefetcher)
        made._posts[0].worker._process.kill()
        made._posts[0].worker._process.join()
        batch = sampler.batch(0, SHAPE, 0)
        same(batch, expected(sampler, 0, 0))
        (fault,) = batch.faults
        assert fault.endswith("while it started; no other is started: the training process reads by itself")
        assert made._posts == []
        same(sampler.batch(0, SHAPE, 1), expected(sampler, 0, 1))


def test_workers_end_with_the_block(sampler: ClipSampler) -> None:
    with reading_ahead(sampler, 1):
        made = sampler.ahead
        assert isinstance(made, Prefetcher)
        pid = made._posts[0].worker._process.pid or 0
        os.kill(pid, 0)
    time.sleep(0.1)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_batch_is_packed_and_unpacked_as_it_was(sampler: ClipSampler) -> None:
    batch = sampler.batch(0, SHAPE)
    back = unpacked(packed(batch))
    same(back, batch)
    assert back.has_motion.dtype == torch.bool
    assert back.face is None


def test_without_workers_nothing_is_started(sampler: ClipSampler) -> None:
    with reading_ahead(sampler, 0):
        assert sampler.ahead is None
