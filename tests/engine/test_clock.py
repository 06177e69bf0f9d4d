"""Laps on a CPU, and on a CUDA device that nobody waits for."""

from __future__ import annotations

import subprocess
import sys
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
    with clock("outer"), clock("inner"):
        pass
    # Events of the device, one after the other: outer begins, inner begins, inner ends, outer ends.
    assert Event.waited == 3
    assert (clock.seconds["inner"], clock.seconds["outer"]) == (0.25, 0.5)


def test_a_stage_within_another_is_not_counted_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([0.0, 0.0, 1.0, 4.0, 10.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(moments))
    clock = Clock()
    with clock("outer"), clock("inner"):
        pass
    assert clock.seconds == {"inner": 3.0, "outer": 7.0}


def test_making_items_is_a_stage_and_using_them_is_not() -> None:
    clock = Clock()
    taken = []
    for item in clock.each("make", range(3)):
        time.sleep(0.02)
        taken.append(item)
    assert taken == [0, 1, 2]
    assert clock.seconds["make"] < 0.02


def test_a_device_that_goes_on_by_itself_is_waited_for_at_a_stages_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def wait() -> None:
        now[0] += 2.0

    clock = Clock(wait=wait)
    with clock("denoise"):
        now[0] += 1.0
    assert (clock.rounded(), clock.elapsed()) == ({"denoise": 3.0}, 3.0)


def test_the_data_line_counts_without_torch() -> None:
    code = "import sys; from fada.data.stages import add_up; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
