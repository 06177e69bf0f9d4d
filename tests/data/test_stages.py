"""Seconds by stage."""

import time

import pytest

from fada.data.stages import StageClock, add_up, throughput


def test_a_stage_within_another_is_not_counted_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([0.0, 0.0, 1.0, 4.0, 10.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(moments))
    clock = StageClock()
    with clock("outer"), clock("inner"):
        pass
    assert clock.seconds == {"inner": 3.0, "outer": 7.0}


def test_making_items_is_a_stage_and_using_them_is_not() -> None:
    clock = StageClock()
    taken = []
    for item in clock.each("make", range(3)):
        time.sleep(0.02)
        taken.append(item)
    assert taken == [0, 1, 2]
    assert clock.seconds["make"] < 0.02


def test_throughput_is_clips_per_hour_of_a_core() -> None:
    table = throughput(add_up([{"decode": 1.0, "faces": 2.0}, {"faces": 6.0}]), clips=2)
    rows = list(zip(*(column.cells for column in table.columns), strict=True))
    assert rows == [("faces", "8.0", "89%", "900"), ("decode", "1.0", "11%", "7,200"), ("all", "9.0", "100%", "800")]
