"""Works that take turns."""

from __future__ import annotations

import pytest
import torch

from fada.eval.speed.machine import peak_rate
from fada.eval.speed.rounds import ratio, take_turns


def test_every_work_is_done_once_a_round_and_who_begins_moves_on() -> None:
    done: list[str] = []
    works = {name: lambda name=name: done.append(name) for name in "abc"}
    seconds = take_turns(works, rounds=3, warmups=0)
    assert "".join(done) == "abcbcacab"
    assert {name: len(times) for name, times in seconds.items()} == {"a": 3, "b": 3, "c": 3}


def test_warm_ups_come_first_and_are_not_measured() -> None:
    done: list[str] = []
    told: list[tuple[str, int]] = []
    seconds = take_turns(
        {"a": lambda: done.append("a")}, rounds=1, warmups=2, on_work=lambda name, number: told.append((name, number))
    )
    assert (len(done), len(seconds["a"])) == (3, 1)
    assert told == [("a", 0), ("a", 0), ("a", 1)]


def test_no_rounds_are_refused() -> None:
    with pytest.raises(ValueError, match="rounds: got 0; at least one is needed"):
        take_turns({}, rounds=0)


def test_a_ratio_is_the_median_of_the_rounds_own() -> None:
    # The machine is ten times slower in the last round: it changes nothing.
    assert ratio([2.0, 4.0, 30.0], [1.0, 2.0, 10.0]) == 2.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_peak_is_that_of_the_fastest_product(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fada.eval.speed.machine.SIDES", {"cpu": (8, 16)})
    times = iter([[2.0, 1.0], [4.0, 2.0]])
    monkeypatch.setattr("fada.eval.speed.machine.take_turns", lambda works, rounds: {"product": next(times)})
    # 2 * 8^3 in a second is less than 2 * 16^3 in two.
    assert peak_rate(dtype, torch.device("cpu")) == 16**3
