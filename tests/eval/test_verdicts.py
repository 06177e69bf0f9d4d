from __future__ import annotations

from dataclasses import replace

import pytest

from fada.eval.bench.results import BenchResults
from fada.eval.comparison.verdicts import Verdict, gate_word, instrument_checks, quality_gate, verdicts


def _face(mouth: float, identity: float) -> dict[str, float]:
    return {"mouth_correlation_synth": mouth, "identity_error_synth": identity}


def handmade(**changes: dict[str, float | None]) -> BenchResults:
    """Results with chosen figures; ``changes`` by system (dashes as underscores) replaces metrics of both clips."""
    figures = {
        "teacher-75": (75, 7.5, {"latent_mse_truth": 0.20, **_face(0.8, 4.0)}),
        "teacher-6": (6, 0.6, {"latent_mse_reference": 0.10, **_face(0.5, 6.0)}),
        "teacher-2x3": (6, 0.6, {"latent_mse_reference": 0.08, **_face(0.4, 5.0)}),
        "fast-6": (6, 0.625, {"latent_mse_truth": 0.19, "latent_mse_reference": 0.03, **_face(0.78, 4.1)}),
    }
    systems, rows, timing = [], [], []
    for name, (nfe, seconds, metrics) in figures.items():
        flags = {
            "is_reference": nfe == 75,
            "is_candidate": name == "fast-6",
            "is_alternative": name.startswith("teacher-"),
        }
        systems.append({"name": name, "description": "", "nfe_expected": nfe, "notes": {}, "fingerprint": "", **flags})
        merged = metrics | changes.get(name.replace("-", "_"), {})
        for clip in ("a", "b"):
            row = {"system": name, "kind": "system", "clip": clip, "identity": clip, "metrics": merged, "reasons": {}}
            rows.append(row | {"nfe": nfe, "clips": 1, "media_seconds": 1.0})
        cost = {"stage_seconds": {"denoise": seconds}, "seconds": seconds + 0.1, "frames": 25, "media_seconds": 1.0}
        memory = {"peak_memory_bytes": None, "memory_kind": "process", "first_frame_seconds": None}
        timing += [{"round": number, "system": name, "clip": "a", **cost, **memory} for number in range(3)]
    return BenchResults({}, {}, systems, rows, timing)


def by_goal(results: BenchResults, words: str) -> Verdict:
    return next(verdict for verdict in verdicts(results) if words in verdict.goal)


def test_distance_is_judged_against_the_better_alternative() -> None:
    verdict = by_goal(handmade(), "undistilled")
    assert verdict.figure == pytest.approx(0.03 / 0.08)
    assert "teacher-2x3" in verdict.goal
    assert verdict.word == "yes"


def test_a_student_no_nearer_than_half_misses_the_goal() -> None:
    assert by_goal(handmade(fast_6={"latent_mse_reference": 0.05}), "undistilled").word == "NO"


def test_distance_to_truth_may_not_exceed_the_teachers() -> None:
    assert by_goal(handmade(), "latent distance to truth").figure == pytest.approx(0.95)
    assert by_goal(handmade(fast_6={"latent_mse_truth": 0.21}), "latent distance to truth").is_reached is False


def test_mouth_and_identity_are_shares_of_the_teachers() -> None:
    assert by_goal(handmade(), "mouth-audio").figure == pytest.approx(0.975)
    assert by_goal(handmade(), "identity").figure == pytest.approx(1.025)
    assert by_goal(handmade(fast_6={"mouth_correlation_synth": 0.75}), "mouth-audio").word == "NO"


def test_twelve_times_faster_reaches_the_goal_of_eleven_and_a_half() -> None:
    verdict = by_goal(handmade(), "denoising")
    assert (verdict.figure, verdict.limit) == (pytest.approx(12.0), pytest.approx(11.5))
    assert verdict.is_reached


def test_without_timing_the_speed_goal_is_not_measured() -> None:
    verdict = by_goal(replace(handmade(), timing=[]), "denoising")
    assert (verdict.figure, verdict.word) == (None, "not measured")


def test_a_wrong_count_of_evaluations_misses_the_goal() -> None:
    results = handmade()
    rows = [dict(row, nfe=7) if row["system"] == "fast-6" and row["clip"] == "b" else row for row in results.rows]
    verdict = by_goal(replace(results, rows=rows), "evaluations")
    assert (verdict.figure, verdict.word) == (7.0, "NO")


def test_a_missing_figure_is_neither_reached_nor_missed() -> None:
    verdict = by_goal(handmade(fast_6={"mouth_correlation_synth": None}), "mouth-audio")
    assert verdict.is_reached is None
    assert "no clip has mouth_correlation_synth of both" in verdict.detail


def test_no_ratio_is_taken_to_a_figure_that_is_not_positive() -> None:
    verdict = by_goal(handmade(teacher_75={"mouth_correlation_synth": -0.1}), "mouth-audio")
    assert verdict.is_reached is None
    assert "not positive" in verdict.detail


def test_gates_name_what_failed() -> None:
    results = handmade()
    assert gate_word(results, "teacher-75") == "reference"
    assert gate_word(results, "fast-6") == "pass"
    assert gate_word(results, "teacher-6") == "FAIL: mouth-audio correlation, identity error"
    missing = handmade(fast_6={"identity_error_synth": None})
    assert gate_word(missing, "fast-6") == "not measured: identity error"


def test_the_reference_has_no_gate() -> None:
    assert quality_gate(handmade(), "teacher-75") == []


def test_only_candidates_have_goals() -> None:
    assert {verdict.system for verdict in verdicts(handmade())} == {"fast-6"}


def test_without_an_alternative_of_equal_cost_that_goal_is_left_out() -> None:
    results = handmade()
    systems = [system | {"is_alternative": False} for system in results.systems]
    assert not [verdict for verdict in verdicts(replace(results, systems=systems)) if "undistilled" in verdict.goal]


def test_instruments_pass_on_the_small_world(results) -> None:
    checks = instrument_checks(results)
    assert len(checks) == 4
    assert all(check.is_reached for check in checks)


def test_without_controls_there_are_no_checks() -> None:
    assert instrument_checks(handmade()) == []
