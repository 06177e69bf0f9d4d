"""Tables and verdicts from figures that are known."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from fada.eval.bench.results import read_json
from fada.eval.speed.clips import ClipCost
from fada.eval.speed.endpoints import EndpointErrors
from fada.eval.speed.passes import PassCost, Passes
from fada.eval.speed.report import SpeedReport
from fada.eval.speed.steps import CACHED, PUBLIC, StepLine

STAGES = {"whole": 10.0, "denoise": 8.0}
REPORT = SpeedReport(
    "mine",
    {"processor": "abacus", "gpu": None},
    {"weights": "1.0 M"},
    100e9,
    Passes([PassCost("one branch", 50e9, 2.0)], 0.02, 0.011),
    [
        StepLine(PUBLIC, "DDIM", 9.0, 0.8, 1.0, 1.0, 0.123456),
        StepLine(CACHED, "solved once", 3.0, 0.1, 3.0, 3.0, None),
    ],
    [EndpointErrors("ddim", 8, [0.002, 0.004]), EndpointErrors("dpmpp_2m", 4, [0.001, 0.005])],
    [
        ClipCost("teacher", 75, STAGES, 1.2, 20.83, {"denoise": 1.0, "whole": 1.0}, 2**30),
        ClipCost("student", 6, {"whole": 2.0, "denoise": 0.64}, 6.0, 4.17, {"denoise": 12.5, "whole": 5.0}, None),
    ],
    ["a note"],
)


def shown(report: SpeedReport) -> str:
    console = Console(file=StringIO(), width=200)
    report.print(console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_every_figure_has_its_cell() -> None:
    text = shown(REPORT)
    assert "processor abacus" in text
    assert "gpu" not in text
    for cells in (
        ("one branch", "50.00", "2000.0", "25", "25 %"),
        ("public way", "9.000", "80 %", "1.00", "1.00", "0.12346"),
        ("DDIM, 8 steps", "0.00200", "0.00400"),
        ("evaluations", "75", "6"),
        ("denoise, times faster", "1.00", "12.50"),
        ("frames per second", "1.20", "6.00"),
        ("peak memory, GiB", "1.00"),
    ):
        row = next(line for line in text.splitlines() if f" {cells[0]} " in line)
        assert [cell.strip() for cell in row.strip("│┃").split("│")][: len(cells)] == list(cells)
    assert text.strip().endswith("a note")


def test_verdicts_hold_figures_against_goals() -> None:
    step, solver, clip, layers = REPORT.verdicts()
    assert step == "training step: 3.00 times faster (goal: 2.5, reached)"
    assert solver == "window ends against DDIM, 8 steps: 2M, 4 steps: larger in 1 of 2, 1.00 times in the mean"
    assert clip == "denoising of a clip: 12.50 times faster (goal: 11.5, reached)"
    assert layers == ("CFG layers: +2.0 % of a pass's time, 1.10 % of its operations (goal: at most 3 %, reached)")


def test_goals_that_are_missed_are_said_to_be() -> None:
    missed = replace(
        REPORT,
        steps=[replace(REPORT.steps[1], against_public=2.4)],
        endpoints=[REPORT.endpoints[0], EndpointErrors("dpmpp_2m", 6, [0.001, 0.002])],
        clips=[REPORT.clips[0], replace(REPORT.clips[1], times_faster={"denoise": 8.0, "whole": 5.0})],
        passes=Passes([], 0.05, 0.02),
    )
    step, solver, clip, layers = missed.verdicts()
    assert all("not reached" in line for line in (step, clip, layers))
    assert "2M, 6 steps: no larger in any window, 0.50 times" in solver


def test_parts_that_were_not_measured_have_no_table_and_no_verdict() -> None:
    bare = SpeedReport("mine", {}, {}, 1e9)
    assert bare.verdicts() == []
    assert "─" not in shown(bare)


def test_json_holds_everything(tmp_path: Path) -> None:
    REPORT.save(tmp_path / "deep" / "speed.json")
    read = read_json(tmp_path / "deep" / "speed.json")
    assert read["steps"][1]["against_public"] == 3.0
    assert read["clips"][1]["times_faster"]["denoise"] == 12.5
    assert read["endpoints"][1]["errors"] == pytest.approx([0.001, 0.005])
    assert read["passes"]["cfg_time"] == 0.02
