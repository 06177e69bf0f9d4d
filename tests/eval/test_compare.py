"""Verdicts on runs whose differences are known: nothing, an improvement, noise."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fada.eval.bench.results import BenchResults
from fada.eval.comparison.comparable import CompareError, check_protocols, results_at
from fada.eval.comparison.compare import Compared, compare
from fada.eval.report.comparison import comparison_markdown, comparison_tables, write_comparison

CLIPS = [f"clip-{index}" for index in range(8)]
LABELS = ("old", "new")


def shifted(results: BenchResults, metric: str, by: float, noise: float = 0.0, system: str = "fast-6") -> BenchResults:
    """The same results with one metric of one system moved, by as much in every clip or with noise."""
    random = np.random.default_rng(4)
    rows = []
    for row in results.rows:
        metrics = dict(row["metrics"])
        if row["system"] == system and metrics.get(metric) is not None:
            metrics[metric] += by + noise * random.normal()
        rows.append({**row, "metrics": metrics})
    return replace(results, rows=rows)


def handmade() -> BenchResults:
    """Eight clips of a teacher and a student with every kind of metric, and nine timing rounds."""
    random = np.random.default_rng(0)
    protocol = {"seed": 0, "clips": {clip: f"hash of {clip}" for clip in CLIPS}, "fingerprint": "abc", "repeats": 9}
    systems, rows, timing = [], [], []
    for name, seconds in (("teacher-75", 7.5), ("fast-6", 0.6)):
        systems.append({"name": name, "is_reference": name == "teacher-75", "fingerprint": f"weights of {name}"})
        for clip in CLIPS:
            metrics = {
                "psnr_truth": 20 + random.normal(),
                "latent_mse_truth": 0.1 + 0.01 * random.random(),
                "mouth_lag_synth": float(random.integers(-2, 3)),
                "aperture_velocity_ratio_synth": 0.8,
            }
            if name == "fast-6":
                metrics["latent_mse_reference"] = 0.01
            rows.append({"system": name, "kind": "system", "clip": clip, "metrics": metrics, "reasons": {}})
        for number in range(9):
            took = seconds * (1 + 0.01 * random.random())
            cost = {"stage_seconds": {"denoise": took}, "seconds": took + 0.1, "media_seconds": 2.0}
            timing.append({"system": name, "round": number, **cost})
    sets = [{"metric": "fd_latent", "system": "fast-6", "value": 1.5, "videos": 8}]
    return BenchResults(protocol, {"processor": "one"}, systems, rows, timing, sets)


def faster(results: BenchResults, factor: float) -> BenchResults:
    """The same results with a student so many times as fast."""
    rows = [
        row
        if row["system"] != "fast-6"
        else {
            **row,
            "seconds": row["seconds"] / factor,
            "stage_seconds": {"denoise": row["stage_seconds"]["denoise"] / factor},
        }
        for row in results.timing
    ]
    return replace(results, timing=rows)


def changed(results: BenchResults, **protocol: Any) -> BenchResults:
    return replace(results, protocol={**results.protocol, **protocol})


def found(compared: tuple[Compared, ...], metric: str, system: str = "fast-6") -> Compared:
    (one,) = [each for each in compared if (each.system, each.metric) == (system, metric)]
    return one


def test_a_run_equals_itself() -> None:
    same = compare(handmade(), handmade())
    assert {each.word for each in (*same.quality, *same.distributions)} == {"equal"}
    assert {each.word for each in same.latency} == {"no difference shown"}
    assert all(each.change.mean == 1.0 for each in same.latency)


@pytest.mark.parametrize(
    ("metric", "by", "word"),
    [
        ("psnr_truth", 1.0, "better"),
        ("psnr_truth", -1.0, "worse"),
        ("latent_mse_truth", -0.01, "better"),
        ("aperture_velocity_ratio_synth", 0.15, "better"),
        ("aperture_velocity_ratio_synth", 0.5, "worse"),
    ],
)
def test_a_difference_in_every_clip_is_found_with_its_direction(metric: str, by: float, word: str) -> None:
    judged = found(compare(handmade(), shifted(handmade(), metric, by)).quality, metric)
    assert judged.word == word
    assert judged.after - judged.before == pytest.approx(by)


def test_of_a_metric_that_is_best_at_one_the_distance_from_there_is_compared() -> None:
    after = shifted(handmade(), "aperture_velocity_ratio_synth", 0.5)
    judged = found(compare(handmade(), after).quality, "aperture_velocity_ratio_synth")
    assert judged.change.mean == pytest.approx(abs(1.3 - 1) - abs(0.8 - 1))


def test_differences_of_either_sign_show_no_difference() -> None:
    judged = found(compare(handmade(), shifted(handmade(), "psnr_truth", 0.0, noise=1.0)).quality, "psnr_truth")
    assert judged.word == "no difference shown"
    assert judged.change.low < 0 < judged.change.high


def test_a_difference_that_one_comparison_would_show_is_lost_among_many() -> None:
    after = handmade()
    for metric in ("psnr_truth", "latent_mse_truth", "mouth_lag_synth"):
        for system in ("fast-6", "teacher-75"):
            after = shifted(after, metric, 0.0, noise=0.05, system=system)
    after = shifted(after, "psnr_truth", 0.055)
    alone = compare(handmade(), after, systems={"fast-6": "fast-6"}, metrics=["psnr_truth"]).quality
    among = found(compare(handmade(), after).quality, "psnr_truth")
    assert (alone[0].word, among.word) == ("better", "no difference shown")
    assert alone[0].p_value < 0.05 < among.p_value


def test_rounding_is_no_difference() -> None:
    judged = found(compare(handmade(), shifted(handmade(), "psnr_truth", 1e-5)).quality, "psnr_truth")
    assert (judged.word, judged.p_value) == ("equal", None)


def test_one_clip_is_not_judged() -> None:
    one = changed(handmade(), clips={"clip-0": "hash of clip-0"})
    judged = found(compare(one, shifted(handmade(), "psnr_truth", 1.0)).quality, "psnr_truth")
    assert (judged.word, judged.change.count) == ("not judged", 1)
    assert judged.why == "one clip shows no spread; compare at least two"


def test_only_common_clips_are_compared_and_said() -> None:
    few = changed(handmade(), clips={clip: f"hash of {clip}" for clip in CLIPS[:5]})
    compared = compare(few, handmade())
    assert compared.clips == tuple(CLIPS[:5])
    assert {each.change.count for each in compared.quality} == {5}
    assert "5 clips in common, of 5 and 8: only those are compared." in compared.notes


def test_a_faster_student_is_better_and_the_teacher_is_not() -> None:
    latency = compare(handmade(), faster(handmade(), 1.5)).latency
    assert found(latency, "denoising").word == "better"
    assert found(latency, "denoising").change.mean == pytest.approx(1 / 1.5)
    assert found(latency, "denoising", "teacher-75").word == "no difference shown"
    assert found(compare(faster(handmade(), 1.5), handmade()).latency, "whole").word == "worse"


def test_a_change_within_the_rounds_noise_is_not_shown() -> None:
    assert found(compare(handmade(), faster(handmade(), 1.001)).latency, "denoising").word == "no difference shown"


def test_latencies_of_few_rounds_are_not_judged() -> None:
    few = replace(handmade(), timing=[row for row in handmade().timing if row["round"] < 4])
    judged = found(compare(few, faster(handmade(), 2)).latency, "whole")
    assert (judged.word, judged.why) == ("not judged", "4 rounds; at least 5 on each side are needed")


def test_latencies_of_another_machine_are_not_judged() -> None:
    judged = found(compare(replace(handmade(), environment={"processor": "two"}), handmade()).latency, "whole")
    assert (judged.word, judged.why) == ("not judged", "other machine: processor")


@pytest.mark.parametrize(
    ("interval", "word"), [([0.5, 0.9], "better"), ([0.9, 1.4], "no difference shown"), ([2.1, 3.0], "worse")]
)
def test_distances_are_judged_by_the_gap_between_their_intervals(interval: list[float], word: str) -> None:
    (row,) = handmade().set_metrics
    own = replace(handmade(), set_metrics=[{**row, "interval": [1.0, 2.0]}])
    new = replace(handmade(), set_metrics=[{**row, "value": 1.2, "interval": interval}])
    assert compare(own, new).distributions[0].word == word


def test_distances_without_intervals_are_shown_and_not_judged() -> None:
    other = replace(handmade(), set_metrics=[{**handmade().set_metrics[0], "value": 1.2}])
    judged = compare(handmade(), other).distributions[0]
    assert (judged.before, judged.after, judged.word) == (1.5, 1.2, "not judged")
    assert judged.why == "one value per run without an interval"
    fewer = replace(handmade(), set_metrics=[{**handmade().set_metrics[0], "videos": 4}])
    assert compare(handmade(), fewer).distributions[0].why == "over different numbers of clips: bias differs"


def test_the_distance_to_another_teacher_is_left_out() -> None:
    systems = [{**system, "fingerprint": "new"} for system in handmade().systems]
    compared = compare(handmade(), replace(handmade(), systems=systems))
    assert "latent_mse_reference" not in {each.metric for each in compared.quality}
    assert "Left out: latent MSE to reference, as the runs have different references." in compared.notes


def test_a_metric_measured_with_other_weights_is_left_out_or_refused() -> None:
    runs = [
        changed(handmade(), metrics={"psnr_truth": {"weights": {"file": sha}, "fingerprint": sha}})
        for sha in ("a", "b")
    ]
    compared = compare(*runs)
    assert "psnr_truth" not in {each.metric for each in compared.quality}
    assert "Left out: psnr_truth, as its weights differ." in compared.notes
    with pytest.raises(CompareError, match="psnr_truth, as its weights differ; measure one run again"):
        compare(*runs, metrics=["psnr_truth"])


def test_systems_of_other_names_can_be_paired() -> None:
    judged = compare(handmade(), handmade(), systems={"teacher-75": "fast-6"}).quality
    assert {each.system for each in judged} == {"teacher-75 -> fast-6"}


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (changed(handmade(), seed=1), r"protocols differ in seed \(0 and 1\); figures measured differently cannot"),
        (changed(handmade(), sync_weights="ab"), r"protocols differ in sync_weights \(None and 'ab'\)"),
        (changed(handmade(), clips={"clip-0": "other"}), "clips clip-0: same name, other content; measure both runs"),
        (changed(handmade(), clips={"x": "y"}), "no clip in common .clip-0, clip-1, clip-2 and 5 more; x.; measure"),
        (
            replace(handmade(), systems=[{**handmade().systems[0], "name": "other"}]),
            "no system in common .teacher-75, fast-6; other.; name pairs: --system teacher-75=other",
        ),
    ],
)
def test_runs_that_were_not_measured_alike_are_refused(other: BenchResults, message: str) -> None:
    with pytest.raises(CompareError, match=message):
        compare(handmade(), other)


def test_unknown_systems_and_metrics_are_refused_with_the_known_ones() -> None:
    with pytest.raises(CompareError, match="no system named 'fast'; choose from teacher-75, fast-6"):
        compare(handmade(), handmade(), systems={"fast-6": "fast"})
    with pytest.raises(CompareError, match="fid: not measured in both runs; choose from mouth_lag_synth"):
        compare(handmade(), handmade(), metrics=["fid"])


def test_settings_that_may_differ_are_said() -> None:
    compared = compare(handmade(), changed(handmade(), repeats=5, fingerprint="def"))
    assert "repeats differs: 9 and 5." in compared.notes
    later = replace(handmade(), environment={**handmade().environment, "commit": "abc"})
    assert "Measured by commits unknown and abc." in compare(handmade(), later).notes
    assert compared.protocols == ("abc", "def")


def test_scales_of_any_names_may_differ_and_are_said_in_the_order_of_the_branches() -> None:
    before = changed(handmade(), tempo_scale=2.0, mood_scale=4.0)
    notes = compare(before, changed(handmade(), tempo_scale=1.0, mood_scale=3.0)).notes
    assert notes[:2] == ("tempo_scale differs: 2.0 and 1.0.", "mood_scale differs: 4.0 and 3.0.")
    usual = changed(handmade(), reference_scale=2.5, audio_scale=6.5)
    assert "audio_scale differs: 6.5 and 3.0." in compare(usual, changed(usual, audio_scale=3.0)).notes


def test_a_real_benchmark_can_be_compared_with_itself(results: BenchResults) -> None:
    assert results.folder is not None
    check_protocols(results.protocol, results_at(results.folder).protocol)
    same = compare(results, results_at(results.folder / "results.json"))
    assert {each.word for each in same.quality} == {"equal"}
    assert len({each.system for each in same.quality}) == 5


def test_a_place_without_results_is_named(tmp_path) -> None:
    with pytest.raises(CompareError, match=r"no results.json here or in report/; run fada bench on that run first"):
        results_at(tmp_path)


def test_the_text_names_noise_numbers_and_verdicts() -> None:
    text = comparison_markdown(compare(handmade(), shifted(handmade(), "psnr_truth", 1.0)), LABELS)
    assert text.startswith("# new against old\n")
    line = next(line for line in text.splitlines() if line.startswith("| fast-6 | PSNR, dB"))
    assert "| +1.00 ± 0.00 | 8 | 0 | better |" in line
    assert "after Holm's correction for 1 tests" in text
    assert "what training again with another seed would change is in no interval here" in text


def test_equal_figures_are_counted_even_where_they_are_not_listed() -> None:
    tables = comparison_tables(compare(handmade(), handmade()), LABELS, with_equal=False)
    assert list(tables) == ["verdicts", "latency"]
    row = dict(zip(tables["verdicts"].columns, (cell.text for cell in tables["verdicts"].rows[1]), strict=True))
    assert (row["system"], row["equal"], row["no difference shown"]) == ("fast-6", "6", "2")


def test_the_json_has_a_schema_and_every_figure(tmp_path) -> None:
    compared = compare(handmade(), shifted(handmade(), "psnr_truth", 1.0))
    text, data = write_comparison(compared, LABELS, tmp_path / "new folder")
    content = json.loads(data.read_text())
    assert (content["schema_version"], content["before"], content["after"]) == (1, "old", "new")
    assert len(content["quality"]) == len(compared.quality)
    assert text.read_text() == comparison_markdown(compared, LABELS)
