"""Progress in a log: few lines, each saying how far, how long and how much longer."""

from __future__ import annotations

import pytest

from fada.cli.progress import ProgressLines, progress_bar


class Log:
    """Lines, and a clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.lines: list[str] = []
        self.progress = ProgressLines("preparing", self.lines.append, lambda: self.now)

    def tell(self, now: float, done: int, total: int) -> None:
        self.now = now
        self.progress(done, total)


def test_a_log_has_a_line_at_first_every_half_minute_and_at_the_end() -> None:
    log = Log()
    for second in range(1, 101):
        log.tell(float(second), second, 100)
    assert log.lines == [
        "preparing: 1 of 100 (1%) after 1 s, about 1 min 39 s left",
        "preparing: 31 of 100 (31%) after 31 s, about 1 min 09 s left",
        "preparing: 61 of 100 (61%) after 1 min 01 s, about 39 s left",
        "preparing: 91 of 100 (91%) after 1 min 31 s, about 9 s left",
        "preparing: 100 of 100 (100%) after 1 min 40 s",
    ]


def test_what_was_done_before_is_no_speed() -> None:
    log = Log()
    log.tell(60.0, 9001, 10000)
    assert log.lines == ["preparing: 9001 of 10000 (90%) after 1 min 00 s, about 16 h 39 min left"]


def test_with_a_unit_the_speed_is_told_and_the_first_report_is_what_was_there_before() -> None:
    log = Log()
    log.progress = ProgressLines("encoding", log.lines.append, lambda: log.now, unit="clips")
    log.tell(2.0, 100, 400)
    log.tell(42.0, 200, 400)
    log.tell(82.0, 400, 400)
    assert log.lines == [
        "encoding: 100 of 400 (25%) after 2 s",
        "encoding: 200 of 400 (50%) after 42 s, 2.5 clips/s, about 1 min 24 s left",
        "encoding: 400 of 400 (100%) after 1 min 22 s, 3.8 clips/s",
    ]


def test_without_a_terminal_lines_come_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("scoring [all]") as progress:
        progress(1, 1)
    captured = capsys.readouterr()
    assert captured.err == "scoring [all]: 1 of 1 (100%) after 0 s\n"
    assert captured.out == ""
