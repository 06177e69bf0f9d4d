"""Laps on a CPU, and on a CUDA device that nobody waits for."""

from __future__ import annotations

import time
from typing import ClassVar

import pytest
import torch

from fada.engine.clock import Clock


def test_laps_of_one_name_add_up() -> None:
    clock = Clock()
    for name in ("data", "teacher", "data"):
        time.sleep(0.01)
        clock.lap(name)
    seconds = {name: float(lap) for name, lap in clock.laps.items()}
    assert seconds.keys() == {"data", "teacher"}
    assert seconds["data"] >= 0.02
    assert seconds["teacher"] >= 0.01


class Event:
    """One of a device whose every mark comes 250 ms after the one before."""

    made: ClassVar[list[Event]] = []
    waited = 0

    def __init__(self, enable_timing: bool) -> None:
        assert enable_timing
        self.made.append(self)
        self.stream: object = None

    def record(self, stream: object) -> None:
        self.stream = stream

    def synchronize(self) -> None:
        Event.waited += 1

    def elapsed_time(self, other: Event) -> float:
        return 250.0 * (self.made.index(other) - self.made.index(self))


def test_on_a_cuda_device_nothing_waits_before_seconds_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError("the whole device was waited for")

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", refuse)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: f"stream of {device}")
    clock = Clock(torch.device("cuda:1"))
    for name in ("data", "teacher", "data"):
        clock.lap(name)
    assert Event.waited == 0
    assert {name: float(lap) for name, lap in clock.laps.items()} == {"data": 0.5, "teacher": 0.25}
    assert {event.stream for event in Event.made} == {"stream of cuda:1"}
    assert Event.waited == 3
