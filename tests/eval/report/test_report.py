from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from matplotlib.figure import Figure

from fada.eval.bench.summary import differences_from_reference, metric_names
from fada.eval.metrics.catalogue import metric_named
from fada.eval.report import Sweep, plot_sweep, sweep_from_results, write_report
from fada.eval.report.canvas import save_figure
from fada.eval.report.page import write_page
from fada.eval.report.paper import paper_table
from fada.eval.report.plots import beside_each_other, pareto_front, plot_quality_by_nfe, readable_ticks
from fada.eval.report.sweeps import Following, followings, sweep_table
from fada.eval.report.table import Cell, Table
from fada.eval.report.tables import all_tables
from fada.eval.statistics.intervals import mean_p_value


def test_every_named_file_exists_and_lies_in_the_folder(written, results) -> None:
    assert all(path.is_file() and path.is_relative_to(results.folder) for path in written.values())
    assert {"markdown", "page", "results", "csv-clips", "picture-quality-by-nfe"} <= set(written)


def test_markdown_links_only_to_files_that_exist(written, results) -> None:
    links = re.findall(r"!\[.*?\]\((.*?)\)", written["markdown"].read_text())
    assert len(links) == 3 + 2
    assert all((results.folder / link).is_file() for link in links)


def test_the_papers_figures_stand_apart_and_labelled(written) -> None:
    text = written["markdown"].read_text()
    place = text.index("## In the layout of the paper's Table 1")
    assert text.index("## Quality") < place
    assert "18.27" not in text[:place]


def test_a_fast_row_that_fails_its_gate_says_so(written) -> None:
    line = next(
        line for line in written["markdown"].read_text().splitlines() if line.startswith("| teacher-2x3 | FAIL")
    )
    assert "mouth-audio correlation" in line


def test_a_difference_is_starred_only_after_correction_for_all_of_them(results) -> None:
    note = all_tables(results)["differences"].notes[0]
    tested = int(re.search(r"Holm's correction for (\d+) comparisons", note)[1])
    assert 4 * 10 < tested <= 4 * 13
    # By hand: of all p-values, those below their own share of 5 %.
    values = sorted(
        p
        for name in ("teacher-6-conditional", "teacher-2x3", "balanced-18", "fast-6")
        for metric in metric_names(results)
        if metric != "latent_mse_reference"
        if (p := mean_p_value(differences_from_reference(results, name, metric))) is not None
    )
    passed = next((place for place, p in enumerate(values) if p * (len(values) - place) >= 0.05), len(values))
    starred = [cell for row in all_tables(results)["differences"].rows for cell in row if cell.text.endswith("*")]
    assert len(values) == tested
    assert len(starred) == passed


def test_csv_holds_every_row_in_full_precision(written, results) -> None:
    with written["csv-clips"].open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(results.rows)
    assert float(rows[0]["psnr_truth"]) == results.rows[0]["metrics"]["psnr_truth"]


def test_results_hold_no_nan(written) -> None:
    json.loads(written["results"].read_text(), parse_constant=lambda name: pytest.fail(f"{name} in results.json"))


class Links(HTMLParser):
    """Everything a page refers to, its ids and its unclosed tags."""

    void = ("meta", "link", "img", "input", "br")

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []
        self.videos: list[dict] = []
        self.unlabelled: list[str] = []

    def handle_starttag(self, tag: str, attributes: list) -> None:
        values = dict(attributes)
        self.links += [values[key] for key in ("src", "href") if key in values]
        self.ids += [values["id"]] if "id" in values else []
        if tag == "video":
            self.videos.append(values)
        if (tag == "video" and "aria-label" not in values) or (tag == "img" and not values.get("alt")):
            self.unlabelled.append(tag)
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page(written) -> Links:
    links = Links()
    links.feed(written["page"].read_text(encoding="utf-8"))
    return links


def test_the_page_needs_nothing_outside_itself(page) -> None:
    assert all(link.startswith(("data:", "#")) for link in page.links)
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)


def test_the_page_is_well_formed_with_unique_ids(page) -> None:
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))


def test_the_page_shows_truth_and_every_system_per_clip(page) -> None:
    assert len(page.videos) == 2 * (1 + 5)
    assert sum("muted" not in video for video in page.videos) == 2


def test_videos_and_pictures_carry_labels(page) -> None:
    assert page.unlabelled == []


def test_the_page_starts_with_the_worst_clip(page, results) -> None:
    values = results.values("fast-6", "mouth_correlation_synth")
    assert page.videos[0]["aria-label"] == f"truth, {min(values, key=values.get)}"


def test_names_are_escaped_in_the_page(results, tmp_path) -> None:
    systems = [system | {"description": "<script>alert(1)</script>"} for system in results.systems]
    named = replace(results, systems=systems)
    page = write_page(named, tmp_path / "index.html", "<b>T", all_tables(named), paper_table(named), {}, []).read_text()
    assert "<script>alert" not in page
    assert "<h1>&lt;b&gt;T</h1>" in page


def test_a_report_without_timing_leaves_latency_out(results, tmp_path) -> None:
    written = write_report(replace(results, timing=[]), tmp_path, page_clips=0)
    assert "picture-quality-by-latency" not in written
    assert "not measured" in written["markdown"].read_text()


def test_a_report_without_a_folder_is_refused(results) -> None:
    with pytest.raises(ValueError, match="have no folder; give out="):
        write_report(replace(results, folder=None))


def test_empty_tables_are_left_out(results) -> None:
    rows = [row for row in results.rows if row["kind"] == "system"]
    assert "checks" not in all_tables(replace(results, rows=rows))


def test_a_table_is_the_same_in_all_three_forms() -> None:
    table = Table("T", ("name", "value"), [[Cell("a|b"), Cell("1.2", 1.23456)]])
    assert table.markdown().splitlines()[1:] == ["| --- | ---: |", "| a\\|b | 1.2 |"]
    assert table.csv() == "name,value\na|b,1.23456\n"
    assert 'data-sort="1.23456"' in table.html("t")


def test_a_table_with_an_uneven_row_is_our_mistake() -> None:
    with pytest.raises(AssertionError, match=r"2 columns but rows of \[1\] cells"):
        Table("T", ("a", "b"), [[Cell("x")]])


def test_pareto_front_holds_only_what_nothing_beats() -> None:
    points = [(1.0, 5.0), (2.0, 4.0), (3.0, 4.5), (4.0, 1.0), (2.0, 6.0)]
    assert pareto_front(points, lambda quality: quality) == [(1.0, 5.0), (2.0, 4.0), (4.0, 1.0)]


def test_systems_of_equal_cost_are_drawn_beside_each_other_around_it() -> None:
    shown = beside_each_other({"a": 6.0, "b": 6.0, "c": 6.0, "d": 75.0})
    assert (shown["b"], shown["d"]) == pytest.approx((6.0, 75.0))
    assert shown["a"] < 6 < shown["c"]
    assert shown["a"] * shown["c"] == pytest.approx(36)


def test_a_distance_over_all_clips_has_its_panel(results, tmp_path) -> None:
    rows = [
        {"metric": "fvd_r", "system": name, "value": 20.0 + place, "videos": 3}
        for place, name in enumerate(("teacher-75", "fast-6"))
    ]
    path = plot_quality_by_nfe(replace(results, set_metrics=rows), tmp_path / "plot")
    without = plot_quality_by_nfe(replace(results, set_metrics=[]), tmp_path / "without")
    # Text is drawn as outlines; the matplotlib comment above each keeps its words.
    assert "<!-- FVD-R, lower is better -->" in path.with_suffix(".svg").read_text()
    assert "FVD-R" not in without.with_suffix(".svg").read_text()


def test_ticks_that_would_overlap_are_left_out() -> None:
    assert readable_ticks([6.0, 75.0, 6.1, 18.0, 6.0]) == [6.0, 18.0, 75.0]


def test_a_plot_is_the_same_on_every_run(tmp_path) -> None:
    files = []
    for name in ("one", "two"):
        figure = Figure()
        figure.subplots().plot([1, 2], [3, 4])
        png = save_figure(figure, tmp_path / name)
        files.append((png.read_bytes(), png.with_suffix(".svg").read_bytes()))
    assert files[0] == files[1]


def test_a_sweep_is_plotted_in_both_formats(tmp_path) -> None:
    lines = {"teacher": {"mouth_correlation_synth": {1.0: [0.5, 0.6], 6.5: [0.8, 0.9]}}}
    png = plot_sweep(Sweep("audio-scale", "audio scale", lines, "reference scale 2"), tmp_path / "sweep")
    assert png.is_file()
    assert png.with_suffix(".svg").is_file()


def test_a_sweep_is_also_a_table_with_numbers_of_videos() -> None:
    lines = {"teacher": {"sync_d": {6.5: [7.0, 9.0], 1.0: [9.5]}, "fvd_r": {1.0: [20.0], 6.5: [18.25]}}}
    table = sweep_table(Sweep("audio-scale", "audio scale", lines, "reference scale 2"))
    assert list(table.columns)[1] == "audio scale"
    # FVD first, as in the paper's figures; one value over all clips has no interval.
    assert [cell.text for cell in table.rows[0]] == ["teacher", "1", "20", "9.500", "1"]
    assert [cell.text for cell in table.rows[1]][1:3] == ["6.5", "18.25"]
    assert table.rows[1][3].text.startswith("8.000 ± 12.7")
    assert table.notes == ("Reference scale 2.",)


TWO_CURVES = {
    "teacher": {
        "mouth_correlation_synth": {1.0: [0.2, 0.4], 2.0: [0.5, 0.7], 3.0: [0.6, 0.6], 4.0: [0.9]},
        "identity_error_synth": {1.0: [1.0], 2.0: [2.0], 3.0: [4.0]},
        "latent_mse_truth": {1.0: [1.0], 2.0: [1.0], 3.0: [1.0]},
        "emotion_strength_synth": {1.0: [1.0], 2.0: [2.0]},
    },
    "fast": {
        # Means 0.3, 0.6, 0.6 (the fourth was not measured) against 0.1, 0.2, 0.3.
        "mouth_correlation_synth": {1.0: [0.1], 2.0: [0.1, 0.3], 3.0: [0.3], 5.0: [9.0]},
        "identity_error_synth": {1.0: [2.0], 2.0: [2.0], 3.0: [2.0]},
        "latent_mse_truth": {1.0: [1.0], 2.0: [2.0], 3.0: [1.0]},
        "emotion_strength_synth": {1.0: [1.0], 2.0: [2.0]},
    },
}


def test_how_a_student_follows_the_teacher_over_a_setting_by_hand(results, tmp_path) -> None:
    sweep = Sweep("audio-scale", "audio scale", TWO_CURVES)
    found = followings(sweep)
    # Sums of squares of 0.3, 0.6, 0.6 and 0.1, 0.2, 0.3 about their means: 0.06, 0.02; of products: 0.03.
    mouth = found["fast"]["mouth_correlation_synth"]
    assert mouth.correlation == pytest.approx(0.03 / (0.06 * 0.02) ** 0.5)
    assert (mouth.slope, mouth.span, mouth.values) == (pytest.approx(0.03 / 0.06), pytest.approx(0.3), 3)
    # A student that does not move has no correlation, and follows not at all.
    assert found["fast"]["identity_error_synth"] == Following(None, 0.0, 3.0, 3)
    # A teacher that does not move cannot be followed; two points say nothing.
    assert set(found["fast"]) == {"mouth_correlation_synth", "identity_error_synth"}
    (note,) = sweep_table(sweep).notes
    assert note.startswith("How fast follows teacher over the audio scale, ")
    assert note.endswith(": mouth-audio r 0.87 and 0.50 (0.3), identity error – and 0.00 (3).")
    written = write_report(replace(results, timing=[]), tmp_path, sweeps=[sweep], page_clips=0)
    content = json.loads(written["sweeps"].read_text())["sweeps"][0]["followings"]
    assert content["fast"]["identity_error_synth"] == {"correlation": None, "slope": 0.0, "span": 3.0, "values": 3}
    assert note in written["markdown"].read_text()


def test_sweeps_are_written_as_json_and_csv(results, tmp_path) -> None:
    sweep = Sweep(
        "audio-scale", "audio scale", {"teacher": {"psnr_truth": {1.0: [20.0, 21.0]}}}, metrics=("psnr_truth",)
    )
    written = write_report(replace(results, timing=[]), tmp_path, sweeps=[sweep], page_clips=0)
    content = json.loads(written["sweeps"].read_text())
    assert content["schema_version"] == 1
    assert content["sweeps"][0]["lines"]["teacher"]["psnr_truth"] == {"1.0": [20.0, 21.0]}
    assert "20.5" in written["csv-sweep-audio-scale"].read_text()


def test_a_sweep_without_its_metrics_is_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="sweep s: none of psnr_truth was measured"):
        plot_sweep(Sweep("s", "s", {"a": {}}, metrics=("psnr_truth",)), tmp_path / "sweep")


def test_a_sweep_comes_out_of_systems_notes(results) -> None:
    systems = [system | {"notes": {"audio_scale": place}} for place, system in enumerate(results.systems)]
    sweep = sweep_from_results(replace(results, systems=systems), "audio_scale", "audio scale")
    assert list(sweep.lines["all"]["psnr_truth"]) == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert len(sweep.lines["all"]["psnr_truth"][2.0]) == 3


def test_a_sweep_over_an_unknown_note_is_refused(results) -> None:
    with pytest.raises(ValueError, match="no system has a note 'audio_scale'; notes found: none"):
        sweep_from_results(results, "audio_scale", "audio scale")


def test_an_unknown_metric_is_refused_with_the_known_ones() -> None:
    with pytest.raises(KeyError, match="no metric named 'fid'; choose from mouth_correlation_synth"):
        metric_named("fid")
