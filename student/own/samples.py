"""Training samples of your own: latents with their conditions, from a sequence, a function or a stream.

Which sample comes at which place of a training follows from the seed and the place, so that a resumed training goes on
as an unbroken one would, and any number of processes draws the same batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Number
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from fada.data.sampling.dataset import BatchShape
from fada.data.sampling.order import EpochOrders
from fada.data.sampling.seeds import sample_generator
from fada.diffusion.transfer import moved
from fada.student.own.packing import Layout

Sample = tuple[Any, Any]
"""Latents without batch axis (a tensor, or tensors by name), and what they are conditioned on: tensors, numbers and
anything else, in mappings and tuples."""
Data = Sequence[Sample] | Callable[[torch.Generator], Sample] | Iterable[Sample]


class BadSample(ValueError):
    """A sample of the data cannot be used; the message says which and why."""


@dataclass(frozen=True)
class OwnBatch:
    """Samples of a step: latents (B, ...), and the conditions of all of them, stacked."""

    keys: list[str]
    latents: Tensor
    conditions: Any
    qualities: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()

    def to(self, device: torch.device) -> OwnBatch:
        """The batch on another device."""
        return OwnBatch(self.keys, moved(self.latents, device), on_device(self.conditions, device))


class Source(Protocol):
    """Gives the sample at each place of a training."""

    def at(self, place: int) -> Sample: ...


class OwnSampler:
    """Batches of a source's samples.

    Args:
        data: a sequence of samples, each of which comes once in every epoch; a function that draws one with a
            generator; or a stream, gone through again and again, of which every process takes its share.

    Raises:
        BadSample: the first sample is no pair of latents and conditions.
    """

    def __init__(self, data: Data, seed: int) -> None:
        self.source = _source_of(data, seed)
        self.length = len(data) if isinstance(self.source, _Listed) else None  # type: ignore[arg-type]
        self.first = self._checked(0)
        self.layout = Layout.of(self.first[0])

    def batch(self, step: int, shape: BatchShape, micro: int = 0) -> OwnBatch:
        """The samples of one process for one micro-batch of a step."""
        places = [step * shape.per_step + sample for sample in shape.samples(micro)]
        samples = [self._checked(place) for place in places]
        latents = stacked([each for each, _ in samples], "latents")
        packed = latents if self.layout is None else self.layout.pack(latents)
        conditions = stacked([each for _, each in samples], "conditions")
        return OwnBatch([f"sample {place}" for place in places], packed.float(), conditions)

    def _checked(self, place: int) -> Sample:
        sample: Any = self.source.at(place)
        if not isinstance(sample, Sequence) or len(sample) != 2:
            raise BadSample(
                f"data: sample {place} must be a pair (latents, conditions), got {type(sample).__name__}; give "
                "(latents, {}) where there are no conditions"
            )
        latents, conditions = sample
        parts = latents.values() if isinstance(latents, Mapping) else (latents,)
        if not all(isinstance(part, Tensor) and part.ndim for part in parts):
            raise BadSample(f"data: latents of sample {place} must be a tensor, or tensors by name, without batch axis")
        return latents, conditions


class _Listed:
    """A sequence: every epoch has each sample once, in an order of its own."""

    def __init__(self, data: Sequence[Sample], seed: int) -> None:
        if not len(data):
            raise BadSample("data: holds no samples")
        self.data, self.orders = data, EpochOrders(seed, len(data), "order of own samples")

    def at(self, place: int) -> Sample:
        return self.data[self.orders.at(*divmod(place, len(self.data)))]


class _Drawn:
    """A function that draws a sample with a generator of its place's own."""

    def __init__(self, draw: Callable[[torch.Generator], Sample], seed: int) -> None:
        self.draw, self.seed = draw, seed

    def at(self, place: int) -> Sample:
        return self.draw(sample_generator(self.seed, place, 0, "own sample"))


class _Streamed:
    """Something that is gone through: places that are not asked for are read past."""

    def __init__(self, data: Iterable[Sample]) -> None:
        self.data, self.iterator, self.next = data, iter(data), 0
        self.held: tuple[int, Sample] | None = None

    def at(self, place: int) -> Sample:
        if self.held is not None and self.held[0] == place:
            return self.held[1]
        if place < self.next:
            self._begin_anew(f"sample {place} is asked for again")
            self.next = 0
        while self.next <= place:
            self.held = (self.next, self._read())
            self.next += 1
        assert self.held is not None
        return self.held[1]

    def _read(self) -> Sample:
        for sample in self.iterator:
            return sample
        self._begin_anew(f"it ended after {self.next} samples")
        for sample in self.iterator:
            return sample
        raise BadSample("data: holds no samples")

    def _begin_anew(self, why: str) -> None:
        if isinstance(self.data, Iterator):
            raise BadSample(
                f"data: {why}, and it can be gone through only once; give a sequence, a function that draws a sample "
                "with a generator, or an object whose __iter__ begins anew"
            )
        self.iterator = iter(self.data)


def _source_of(data: Any, seed: int) -> Source:
    if isinstance(data, DataLoader):
        raise BadSample("data: a DataLoader gives batches, and samples are batched here; give its dataset")
    if hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        return _Listed(data, seed)
    if isinstance(data, Iterable):
        return _Streamed(data)
    if callable(data):
        return _Drawn(data, seed)
    raise BadSample(
        f"data: got {type(data).__name__}; give a sequence of (latents, conditions), a function that draws one with a "
        "torch.Generator, or an iterable of them"
    )


def stacked(values: Sequence[Any], where: str) -> Any:
    """One tree of several alike: tensors and numbers stacked along a new first axis, all else as lists.

    Raises:
        BadSample: shapes or names differ.
    """
    first = values[0]
    if first is None:
        return None
    if isinstance(first, Mapping):
        if any(not isinstance(each, Mapping) or each.keys() != first.keys() for each in values):
            raise BadSample(f"data: {where}: all samples must have the same names: {', '.join(map(str, first))}")
        return {name: stacked([each[name] for each in values], f"{where}: {name}") for name in first}
    if isinstance(first, Tensor | np.ndarray):
        tensors = [torch.as_tensor(each) for each in values]
        other = next((each for each in tensors if each.shape != tensors[0].shape), None)
        if other is not None:
            raise BadSample(
                f"data: {where}: all samples of a batch must have one shape, got {tuple(tensors[0].shape)} and "
                f"{tuple(other.shape)}; cut or pad them"
            )
        return torch.stack(tensors)
    if isinstance(first, Number):
        return torch.tensor(list(values))
    if isinstance(first, tuple):
        return tuple(stacked(column, where) for column in zip(*values, strict=True))
    return list(values)


def on_device(tree: Any, device: torch.device) -> Any:
    """A tree of conditions with its tensors on a device."""
    if isinstance(tree, Tensor):
        return moved(tree, device)
    if isinstance(tree, Mapping):
        return {name: on_device(value, device) for name, value in tree.items()}
    return tuple(on_device(each, device) for each in tree) if isinstance(tree, tuple) else tree
