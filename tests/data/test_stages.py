"""Seconds by stage."""

from fada.data.stages import add_up, throughput


def test_throughput_is_clips_per_hour_of_a_core() -> None:
    table = throughput(add_up([{"decode": 1.0, "faces": 2.0}, {"faces": 6.0}]), clips=2)
    rows = list(zip(*(column.cells for column in table.columns), strict=True))
    assert rows == [("faces", "8.0", "89%", "900"), ("decode", "1.0", "11%", "7,200"), ("all", "9.0", "100%", "800")]
