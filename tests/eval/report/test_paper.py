"""The run beside the paper's Table 1: own columns, own labels, nothing claimed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fada.eval.bench.results import BenchResults
from fada.eval.report.paper import BALANCED, FAST, OTHERS, TEACHER, paper_table
from fada.eval.report.table import Table


def by_method(table: Table) -> dict[str, dict[str, str]]:
    return {
        row[0].text: {column: cell.text for column, cell in zip(table.columns, row, strict=True)} for row in table.rows
    }


def test_each_system_stands_beside_its_counterpart(results: BenchResults) -> None:
    rows = by_method(paper_table(results))
    counterparts = {name: row["paper: row"] for name, row in rows.items() if not name.startswith("(")}
    # The fixture's balanced student is no candidate, so that it stands for none.
    assert counterparts == {
        "teacher-75": "teacher, trained on A",
        "teacher-6-conditional": "",
        "teacher-2x3": "",
        "balanced-18": "",
        "fast-6": "Ours-Fast",
    }
    assert rows["fast-6"]["paper, HDTF: FVD-R ↓"] == "16.67"
    assert rows["teacher-75"]["paper, CelebV-HQ: FID ↓"] == ""


def test_the_papers_other_methods_have_no_figures_of_ours(results: BenchResults) -> None:
    rows = by_method(paper_table(results))
    assert rows["(SadTalker)"]["paper, HDTF: Sync-D ↓"] == "7.870"
    assert rows["(SadTalker)"]["paper, CelebV-HQ: IQA ↑"] == "2.953 ± 0.086"
    ours = [column for column in paper_table(results).columns if "paper" not in column and column != "method"]
    assert {rows["(Hallo)"][column] for column in ours} == {""}


def test_stand_ins_bear_their_own_names(results: BenchResults) -> None:
    table = paper_table(results)
    assert "mouth-audio r-synth ↑ (for Sync-D)" in table.columns
    assert "FD-latent-synth ↓ (for FID)" in table.columns
    assert "Sync-D ↓" not in table.columns
    assert by_method(table)["fast-6"]["IQA ↑"] == "null"
    assert "Not measured in this run: IQA ↑, Sync-D ↓, FVD-R ↓, FID ↓, E-FID ↓" in table.notes[1]


def test_a_measured_metric_takes_its_column(results: BenchResults) -> None:
    rows = [{"metric": "fid", "system": "fast-6", "value": 12.34567, "reason": None, "floor": None}]
    table = paper_table(replace(results, set_metrics=rows))
    assert "FID ↓" in table.columns
    assert by_method(table)["fast-6"]["FID ↓"] == "12.35"
    assert by_method(table)["teacher-75"]["FID ↓"] == "null"
    assert "FID" not in table.notes[1].replace("E-FID", "")


def test_a_student_at_other_evaluations_has_no_counterpart(results: BenchResults) -> None:
    rows = [{**row, "nfe": 4} if row["system"] == "fast-6" else row for row in results.rows]
    assert by_method(paper_table(replace(results, rows=rows)))["fast-6"]["paper: row"] == ""


@pytest.mark.parametrize(
    ("row", "iqa", "speed"), [(TEACHER, 3.998, 1.0), (BALANCED, 3.951, 75 / 18), (FAST, 3.927, 12.5)]
)
def test_quoted_rows_agree_with_the_papers_text(row, iqa: float, speed: float) -> None:
    # Its abstract: "an NFE speedup of 4.17-12.5 times".
    assert (row.hdtf[0], TEACHER.nfe / row.nfe) == (iqa, pytest.approx(speed))


def test_the_paper_calls_its_balanced_student_better_than_others_on_celebv_in_four_metrics() -> None:
    # Section 4.2: "achieves better IQA, FVD, FID, and E-FID on the challenging open-set CelebVHQ test set".
    diffusion = [row.celebv for row in OTHERS[1:] if row.celebv is not None]
    assert BALANCED.celebv is not None
    assert all(BALANCED.celebv[0] > other[0] for other in diffusion)
    assert all(BALANCED.celebv[column] < other[column] for other in diffusion for column in (2, 3, 4))
