from __future__ import annotations

import pytest
import torch
from torch import nn

from fada.eval.bench.nfe import NfeCounter


class Scale(nn.Module):
    """A denoiser's stand-in: tensor first, time second."""

    def forward(self, sample: torch.Tensor, time: float = 0.0) -> torch.Tensor:
        return sample * time


@pytest.mark.parametrize(("steps", "branches", "expected"), [(25, 3, 75), (6, 3, 18), (6, 1, 6), (2, 3, 6)])
def test_batched_branches_count_each(steps: int, branches: int, expected: int) -> None:
    net = Scale()
    with NfeCounter(net) as counter:
        for _ in range(steps):
            net(torch.zeros(branches, 4))
    assert (counter.per_clip, counter.calls) == (expected, steps)


def test_clips_in_one_batch_share_the_count() -> None:
    net = Scale()
    with NfeCounter(net, clip_batch=4) as counter:
        net(torch.zeros(12, 4))
    assert counter.per_clip == 3


def test_nothing_is_counted_after_the_block() -> None:
    net = Scale()
    with NfeCounter(net) as counter:
        net(torch.zeros(1, 4))
    net(torch.zeros(1, 4))
    assert counter.evaluations == 1


def test_the_hook_is_removed_after_an_error() -> None:
    net = Scale()
    with pytest.raises(RuntimeError, match="stop"), NfeCounter(net):
        raise RuntimeError("stop")
    assert not net._forward_pre_hooks


def test_a_named_argument_gives_the_batch() -> None:
    net = Scale()
    with NfeCounter(net, argument="sample") as counter:
        net(time=1.0, sample=torch.zeros(5, 4))
    assert counter.evaluations == 5


def test_evaluations_that_do_not_divide_are_refused() -> None:
    net = Scale()
    with NfeCounter(net, clip_batch=2) as counter:
        net(torch.zeros(3, 4))
    with pytest.raises(ValueError, match="3 evaluations do not divide by clip_batch=2"):
        _ = counter.per_clip


def test_a_clip_batch_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="clip_batch must be at least 1, got 0"):
        NfeCounter(Scale(), clip_batch=0)


def test_a_call_without_tensors_is_refused() -> None:
    net = Scale()
    with NfeCounter(net), pytest.raises(ValueError, match="without a tensor argument"):
        net(3.0)
