"""Layers that save work give what the plain ones give."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers.models.attention import FeedForward as WholeFeedForward

from fada.teacher.dual_unet import layers
from fada.teacher.dual_unet.layers import Attention, FeedForward, KeysValues, attend, in_parts, joined, places


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a CPU's caches held 100 values."""
    monkeypatch.setitem(layers.INNER_VALUES, "cpu", 100)


def rows_seen(module: FeedForward) -> list[int]:
    """How many rows each call of the inner layer gets."""
    seen: list[int] = []
    module.net[0].register_forward_pre_hook(lambda inner, args: seen.append(len(args[0])))
    return seen


@pytest.mark.usefixtures("cut")
def test_feed_forward_row_by_row_equals_diffusers_at_once() -> None:
    whole, ours = WholeFeedForward(8, activation_fn="geglu"), FeedForward(8)
    ours.load_state_dict(whole.state_dict())
    hidden = torch.randn(5, 3, 8)
    seen = rows_seen(ours)
    with torch.no_grad():
        torch.testing.assert_close(ours(hidden), whole(hidden))
    assert seen == [1] * 5


@pytest.mark.usefixtures("cut")
def test_what_a_backward_pass_needs_is_made_at_once() -> None:
    module = FeedForward(8)
    seen = rows_seen(module)
    module(torch.randn(5, 3, 8)).sum().backward()
    assert seen == [5]
    assert module.net[0].proj.weight.grad is not None


def test_what_fits_is_made_at_once() -> None:
    module = FeedForward(8)
    seen = rows_seen(module)
    with torch.no_grad():
        module(torch.randn(5, 3, 8))
    assert seen == [5]


@pytest.mark.parametrize("banks", [1, 2])
def test_frames_read_the_banks_of_their_clip_in_turn(banks: int) -> None:
    own = torch.randn(2 * 4, 3, 5)
    shared = torch.randn(2, banks, 6, 5)
    keys, values = joined(KeysValues(own, own + 1), KeysValues(shared, shared + 1))
    for clip in range(2):
        for frame in range(4):
            expected = torch.cat((own[4 * clip + frame], shared[clip, frame % banks]))
            assert torch.equal(keys[4 * clip + frame], expected)
            assert torch.equal(values[4 * clip + frame], expected + 1)


def test_silence_is_attention_to_zero_keys_and_values() -> None:
    attention = Attention(8, 2, context_dim=6)
    hidden = torch.randn(3, 4, 8)
    context = attention.context(torch.randn(3, 5, 6))
    heard, nothing = attention.with_silence(hidden, context)
    torch.testing.assert_close(heard, attention(hidden, context))
    zeros: Any = KeysValues(*(torch.zeros_like(each) for each in context))
    torch.testing.assert_close(nothing.expand(3, 4, 8), attention(hidden, zeros))


def test_places_are_made_once_per_type() -> None:
    made = [places(2, 3, 8, dtype, torch.device("cpu")) for dtype in (torch.float32, torch.float32, torch.bfloat16)]
    assert made[0] is made[1]
    assert made[2].dtype == torch.bfloat16
    assert made[0].shape == (1, 6, 8)


@pytest.mark.parametrize("autocast", [False, True])
def test_attention_that_learns_on_a_cpu_is_that_of_float32_rounded_once(autocast: bool) -> None:
    # torch's own backward pass for bfloat16 is several times slower there, and rounds on the way.
    short = [torch.randn(2, 3, 7, 4, dtype=torch.bfloat16, requires_grad=True) for _ in range(3)]
    exact = [each.detach().float().requires_grad_() for each in short]
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        found = attend(*short)
    wanted = torch.nn.functional.scaled_dot_product_attention(*exact)
    assert torch.equal(found, wanted.bfloat16())
    pull = torch.randn_like(wanted).bfloat16()
    gradients = torch.autograd.grad(found, short, pull)
    for got, expected in zip(gradients, torch.autograd.grad(wanted, exact, pull.float()), strict=True):
        assert torch.equal(got, expected.bfloat16())


def test_attention_that_does_not_learn_stays_in_its_type(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.dtype] = []
    plain = torch.nn.functional.scaled_dot_product_attention
    monkeypatch.setattr(
        layers.F, "scaled_dot_product_attention", lambda *args: seen.append(args[0].dtype) or plain(*args)
    )
    frozen = [torch.randn(2, 3, 7, 4, dtype=torch.bfloat16) for _ in range(3)]
    attend(*frozen)
    with torch.no_grad():
        attend(*(each.clone().requires_grad_() for each in frozen))
    attend(*(each.double().requires_grad_() for each in frozen))
    assert seen == [torch.bfloat16, torch.bfloat16, torch.float64]


@pytest.mark.parametrize("most", [4, 7, 8, 40, 41, 80, 1000])
def test_attention_in_parts_is_that_of_the_whole(most: int) -> None:
    query, keys, values = torch.randn(3, 20, 4, 5, 3, dtype=torch.float64).unbind()
    seen: list[int] = []

    def counted(*parts: torch.Tensor) -> torch.Tensor:
        seen.append(len(parts[0]) * parts[0].shape[1])
        return torch.nn.functional.scaled_dot_product_attention(*parts)

    found = in_parts(counted, query, keys, values, most)
    assert torch.equal(found, torch.nn.functional.scaled_dot_product_attention(query, keys, values))
    assert max(seen) <= most
    assert sum(seen) == 80
