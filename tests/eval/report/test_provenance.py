"""Every figure names how it was measured, and figures measured differently bear different marks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fada.eval.bench.results import BenchResults
from fada.eval.report.cells import distance_label
from fada.eval.report.provenance import metric_protocols, protocols_table, provenance_table, rounds_note
from fada.eval.report.tables import all_tables


def test_every_metric_has_its_own_protocol_with_n(results: BenchResults) -> None:
    protocols = metric_protocols(results)
    assert {"psnr_truth", "latent_mse_reference", "fd_latent_synth"} <= set(protocols)
    assert len({protocol.fingerprint for protocol in protocols.values()}) == len(protocols)
    assert {protocol.videos for protocol in protocols.values()} == {3}
    assert protocols["psnr_truth"].shared == ("32x32", "25", "24")


def test_a_metric_of_real_footage_brings_its_implementation_and_weights(results: BenchResults) -> None:
    found = {"implementation": "Inception", "input": "all frames", "weights": {"inception.pth": "ab" * 32}}
    rows = [{"metric": "fid", "system": "fast-6", "value": 1.0, "videos": 3}]
    marked = replace(results, protocol={**results.protocol, "metrics": {"fid": found}}, set_metrics=rows)
    row = next(row for row in protocols_table(marked).rows if row[0].text == "fid")
    assert [cell.text for cell in row[1:4]] == ["Inception", "all frames", "inception.pth abababababab"]


@pytest.mark.parametrize(
    "change", [{"metrics_version": 99}, {"resolution": ["64x64"]}, {"fps": [30.0]}, {"frames": [12]}]
)
def test_what_changes_a_figure_changes_its_mark(results: BenchResults, change: dict) -> None:
    other = replace(results, protocol=results.protocol | change)
    marks = [metric_protocols(each)["psnr_truth"].fingerprint for each in (results, other)]
    assert marks[0] != marks[1]


def test_what_was_never_measured_has_no_mark(results: BenchResults) -> None:
    rows = [{**row, "metrics": row["metrics"] | {"psnr_truth": None}} for row in results.rows]
    without = replace(results, rows=rows)
    assert metric_protocols(without)["psnr_truth"].fingerprint == "-"
    assert "psnr_truth" not in {row[0].text for row in protocols_table(without).rows}


def test_fewer_videos_make_another_mark(results: BenchResults) -> None:
    fewer = replace(results, rows=[row for row in results.rows if row["clip"] != "clip-0"])
    marks = [metric_protocols(each)["psnr_truth"] for each in (results, fewer)]
    assert marks[1].videos == 2
    assert marks[0].fingerprint != marks[1].fingerprint


def test_marks_stand_in_the_tables_beside_the_values(results: BenchResults) -> None:
    tables, protocols = all_tables(results), metric_protocols(results)
    assert tables["quality"].rows[-1][0].text == "(protocol)"
    shown = {cell.text for cell in tables["quality"].rows[-1][1:]}
    shown |= {row[9].text for row in tables["distributions"].rows}
    assert shown == {protocol.fingerprint for protocol in protocols.values()}


def test_systems_name_their_weights_and_where_the_code_came_from(results: BenchResults) -> None:
    systems = [
        system | {"fingerprint": "0123456789abcdef", "notes": {"dtype": "bfloat16", "compiled": True}}
        for system in results.systems
    ]
    named = replace(results, systems=systems, environment={"commit": "abc123"})
    row = [cell.text for cell in provenance_table(named).rows[0]]
    assert row == ["teacher-75", "0123456789ab", "bfloat16", "yes", "32x32", "24", "1", "abc123"]


def test_few_rounds_are_called_rough(results: BenchResults) -> None:
    assert rounds_note(results).startswith("Rough: 1 warm-ups and 3 rounds; at least 2 and 5")
    assert rounds_note(results) in all_tables(results)["cost"].notes
    enough = replace(
        results,
        protocol=results.protocol | {"warmups": 2},
        timing=[{**row, "round": number} for row in results.timing for number in range(5)],
    )
    assert rounds_note(enough) == ""
    assert rounds_note(replace(results, timing=[])) == ""


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("fid", "FID"),
        ("fvd_r", "FVD-R"),
        ("efid_blendshape", "E-FID-blendshape"),
        ("fd_latent_synth", "FD-latent-synth"),
    ],
)
def test_distances_bear_the_names_of_the_field(name: str, label: str) -> None:
    assert distance_label(name) == label
