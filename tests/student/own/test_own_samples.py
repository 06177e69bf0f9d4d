"""Data of your own: which sample comes where, how samples become batches, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from fada.data.sampling.dataset import BatchShape
from fada.student.own.samples import BadSample, OwnSampler, on_device, stacked

Sample = tuple[torch.Tensor, dict[str, Any]]


def numbered(count: int) -> list[Sample]:
    return [(torch.full((2,), float(number)), {"number": number}) for number in range(count)]


def drawn(sampler: OwnSampler, step: int, shape: BatchShape, micro: int = 0) -> list[int]:
    batch = sampler.batch(step, shape, micro)
    # Latents and conditions stay together.
    assert batch.latents[:, 0].tolist() == batch.conditions["number"].tolist()
    return batch.conditions["number"].tolist()


def test_of_a_sequence_every_sample_comes_once_in_an_epoch_in_an_order_of_its_own() -> None:
    sampler = OwnSampler(numbered(12), seed=0)
    epochs = [
        [each for step in range(3) for each in drawn(sampler, 3 * epoch + step, BatchShape(4))] for epoch in (0, 1)
    ]
    assert [sorted(epoch) for epoch in epochs] == [list(range(12))] * 2
    assert epochs[0] != epochs[1]
    # Whatever was asked before, and however many processes share the step.
    again = OwnSampler(numbered(12), seed=0)
    assert drawn(again, 4, BatchShape(4)) == epochs[1][4:8]
    halves = [drawn(again, 4, BatchShape(2, rank, 2)) for rank in range(2)]
    assert halves[0] + halves[1] == epochs[1][4:8]


def test_a_function_draws_the_same_sample_at_the_same_place() -> None:
    def draw(generator: torch.Generator) -> tuple[torch.Tensor, None]:
        return torch.randn(3, generator=generator), None

    one, other = (OwnSampler(draw, seed=3) for _ in range(2))
    first = one.batch(0, BatchShape(4)).latents
    other.batch(5, BatchShape(4))
    assert torch.equal(other.batch(0, BatchShape(4)).latents, first)
    assert not torch.equal(other.batch(1, BatchShape(4)).latents, first)
    assert not torch.equal(OwnSampler(draw, seed=4).batch(0, BatchShape(4)).latents, first)
    assert one.batch(0, BatchShape(4)).conditions is None


class Stream:
    """An iterable that begins anew."""

    def __init__(self, count: int) -> None:
        self.count, self.begun = count, 0

    def __iter__(self) -> Iterator[Sample]:
        self.begun += 1
        return iter(numbered(self.count))


def test_a_stream_is_gone_through_in_order_again_and_again_and_a_resumed_training_reads_past_what_was() -> None:
    shape, stream = BatchShape(2), Stream(5)
    sampler = OwnSampler(stream, seed=0)
    assert [drawn(sampler, step, shape) for step in range(4)] == [[0, 1], [2, 3], [4, 0], [1, 2]]
    assert drawn(OwnSampler(Stream(5), seed=0), 2, shape) == [4, 0]
    assert [drawn(OwnSampler(Stream(8), seed=0), 1, BatchShape(2, rank, 2)) for rank in range(2)] == [[4, 5], [6, 7]]
    assert stream.begun == 2
    # Asked for what it is past, it begins anew.
    assert drawn(sampler, 0, shape) == [0, 1]


def test_an_iterator_is_read_once_and_says_so_where_it_ends() -> None:
    sampler = OwnSampler(iter(numbered(4)), seed=0)
    assert [drawn(sampler, step, BatchShape(2)) for step in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(BadSample, match="it ended after 4 samples, and it can be gone through only once"):
        sampler.batch(2, BatchShape(2))
    with pytest.raises(BadSample, match="sample 0 is asked for again"):
        sampler.batch(0, BatchShape(2))


def test_conditions_of_any_kind_are_stacked_by_name_and_place() -> None:
    def sample(number: int) -> dict[str, Any]:
        return {
            "text": torch.full((2,), 1.0 * number),
            "pair": (number, np.ones(3)),
            "prompt": f"p{number}",
            "no": None,
        }

    found = stacked([sample(1), sample(2)], "conditions")
    assert torch.equal(found["text"], torch.tensor([[1.0, 1.0], [2.0, 2.0]]))
    assert found["pair"][0].tolist() == [1, 2]
    assert found["pair"][1].shape == (2, 3)
    assert (found["prompt"], found["no"]) == (["p1", "p2"], None)
    moved = on_device(found, torch.device("meta"))
    assert (moved["text"].device.type, moved["pair"][1].device.type, moved["prompt"]) == ("meta", "meta", ["p1", "p2"])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "data: holds no samples"),
        (Stream(0), "data: holds no samples"),
        (3, "data: got int; give a sequence"),
        ([torch.zeros(3)], r"sample 0 must be a pair \(latents, conditions\), got Tensor"),
        ([(np.zeros(3), {})], "latents of sample 0 must be a tensor, or tensors by name"),
        ([(torch.tensor(1.0), {})], "latents of sample 0 must be a tensor"),
        (DataLoader(numbered(3)), "a DataLoader gives batches.*give its dataset"),  # type: ignore[arg-type]
    ],
)
def test_data_that_are_none_are_refused(data: Any, message: str) -> None:
    with pytest.raises(BadSample, match=message):
        OwnSampler(data, seed=0)


def test_samples_of_a_batch_must_be_alike() -> None:
    shapes = [(torch.zeros(2), {}), (torch.zeros(3), {})]
    with pytest.raises(
        BadSample, match=r"latents: all samples of a batch must have one shape, got \(\d,\) and \(\d,\)"
    ):
        OwnSampler(shapes, seed=0).batch(0, BatchShape(2))
    names = [(torch.zeros(2), {"a": 1}), (torch.zeros(2), {"b": 1})]
    with pytest.raises(BadSample, match="conditions: all samples must have the same names"):
        OwnSampler(names, seed=0).batch(0, BatchShape(2))
