"""The figures of a model card, from the small world's benchmark."""

from __future__ import annotations

import pytest

from fada.eval.bench.results import BenchResults
from fada.eval.report.main_figures import main_figures, system_of
from fada.eval.statistics.intervals import t_interval


@pytest.mark.parametrize(("model", "system"), [("fast", "fast-6"), ("teacher", "teacher-75"), ("slow", None)])
def test_a_model_is_the_system_that_carries_its_name(results: BenchResults, model: str, system: str | None) -> None:
    assert system_of(results, model) == system


def test_figures_stand_beside_the_reference_s_with_their_number(results: BenchResults) -> None:
    table = main_figures(results, "fast-6")
    assert list(table.columns) == ["", "teacher-75", "fast-6", "N"]
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in table.rows}
    assert rows["evaluations per clip"] == ["75", "6", "3 videos"]
    assert rows["denoising, s per video, median"][2] == "3 rounds"
    values = [value for value in results.values("fast-6", "psnr_truth").values() if value is not None]
    mean = t_interval(values)
    assert mean is not None
    assert rows["PSNR, dB (more is better)"][1:] == [f"{mean.mean:.2f} ± {mean.half_width:.2f}", "3 videos"]
    assert "Measured by `fada bench`, recipe -: 3 held-out clips of 3 identities" in table.notes[0]


def test_the_reference_s_own_figures_are_not_shown_twice(results: BenchResults) -> None:
    assert list(main_figures(results, "teacher-75").columns) == ["", "teacher-75", "N"]
