"""`fada ablate --world exact`: all rows in both settings, kept, resumed, stopped when decided; its page, verdicts."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from fada.cli.app import run
from fada.eval.exact_world.courses import Plan
from fada.files.errors import FolderFault
from fada.studies.ablations.order_verdicts import seeds_needed
from fada.studies.ablations.rows import ADAPTIVES, CLAIMS, ORDERS, TABLES, TEACHER_B, control
from fada.studies.exact.ablations import ExactPlan, exact_results, run_exact
from fada.studies.exact.page import write_exact_page
from fada.studies.exact.rows import COURSES, SETTINGS, key_of, keyed, rows_of, students_of
from fada.studies.exact.verdicts import headroom, verdicts_of

TINY = Plan((), steps=2, batch=4, copy_steps=2, copy_batch=8)


def small_plan(out: Path) -> ExactPlan:
    """Two blocks of two seeds, both settings in both."""
    lengths = {"tokens@paper": ((1, 4), (2, 4), (3, 8)), "adaptive-0.25@paper": ((1, 4),)}
    return ExactPlan(4, out, TINY, 5, block=2, beside=2, scale_pairs=((2.0, 6.5),), lengths=lengths, most=8)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> ExactPlan:
    """Four seeds in two blocks, finished, and rows of undecided orders beyond them."""
    made = small_plan(tmp_path_factory.mktemp("exact"))
    run_exact(made, Console(quiet=True))
    return made


def weights() -> dict[str, float]:
    return {keyed(name, setting): 0.3 for name in ADAPTIVES for setting in SETTINGS}


def test_every_row_of_the_paper_is_trained_in_both_settings() -> None:
    made = {
        row.name
        for course in COURSES
        for setting in SETTINGS
        for each in students_of(course, weights(), setting)
        for row in rows_of(each.name)
    }
    listed = {row.name for _, rows in TABLES.values() for row in rows} - {TEACHER_B}
    for setting in SETTINGS:
        assert {key_of(name, setting) for name in listed} <= made
        assert {keyed(control(name), setting) for name in ADAPTIVES} <= made
    assert "progressive@paper" in made


def test_the_orders_are_the_papers_and_the_teachers() -> None:
    assert len(ORDERS) == 17
    assert set(CLAIMS) < set(ORDERS)


def test_courses_have_the_papers_windows_and_settings_differ_in_matching_alone() -> None:
    plain, matched = (students_of("windows-B", {}, setting) for setting in SETTINGS)
    assert [each.name.split("@")[0] for each in plain] == [each.name.split("@")[0] for each in matched]
    assert [each.loss for each in plain] == [each.loss for each in matched]
    assert [each.is_matched for each in plain + matched] == [False] * 7 + [True] * 7
    assert (COURSES["windows-B"].windows, COURSES["windows-B"].times) == (4, "uniform")


def test_a_run_has_every_row_for_every_seed(plan: ExactPlan) -> None:
    results = json.loads((plan.out / "exact.json").read_text())
    assert results["seeds"] == [0, 1, 2, 3]
    for tables in results["rows"].values():
        assert all(len(values["error"]) >= 4 for values in tables.values())
    assert [len(verdicts_of(results, setting)) for setting in SETTINGS] == [17, 17]


def test_controls_have_the_mean_weight_of_their_adaptive_row(plan: ExactPlan) -> None:
    first = json.loads((plan.out / "blocks/000-001-windows-B-paper.json").read_text())["training"]
    controls = json.loads((plan.out / "blocks/000-001-controls-B-paper.json").read_text())["training"]
    for name in ADAPTIVES:
        assert controls[keyed(control(name), "paper")]["weight_mean"] == pytest.approx(
            first[keyed(name, "paper")]["weight_mean"], rel=1e-4
        )


def test_what_is_finished_is_not_made_again(plan: ExactPlan) -> None:
    missing = plan.out / "blocks/002-003-rflow-A-paper.json"
    before = {file.name: file.stat().st_mtime_ns for file in (plan.out / "blocks").iterdir()}
    content = json.loads(missing.read_text())
    missing.unlink()
    run_exact(plan, Console(quiet=True))
    changed = [file.name for file in (plan.out / "blocks").iterdir() if file.stat().st_mtime_ns != before[file.name]]
    assert changed == [missing.name]
    assert json.loads(missing.read_text())["rows"] == content["rows"]


def test_an_unfinished_block_is_left_out(plan: ExactPlan, tmp_path: Path) -> None:
    (tmp_path / "blocks").mkdir()
    for file in (plan.out / "blocks").iterdir():
        if file.name != "002-003-guided-B-paper.json":
            (tmp_path / "blocks" / file.name).write_bytes(file.read_bytes())
    assert exact_results(small_plan(tmp_path))["seeds"] == [0, 1]


def test_controls_that_a_block_lacks_are_left_out_alone(plan: ExactPlan, tmp_path: Path) -> None:
    (tmp_path / "blocks").mkdir()
    for file in (plan.out / "blocks").iterdir():
        if file.name != "002-003-controls-B-paper.json":
            (tmp_path / "blocks" / file.name).write_bytes(file.read_bytes())
    results = exact_results(small_plan(tmp_path))
    assert results["seeds"] == [0, 1, 2, 3]
    assert len(results["rows"][keyed(control("adaptive-0.5"), "paper")]["3"]["error"]) == 2
    assert len(results["rows"][keyed("adaptive-0.5", "paper")]["3"]["error"]) >= 4
    assert write_exact_page(results, tmp_path / "exact.md").is_file()


def test_rows_of_undecided_orders_go_on_alone_and_decided_ones_stop(plan: ExactPlan) -> None:
    results = json.loads((plan.out / "exact.json").read_text())
    rows = json.loads((plan.out / "blocks/004-005-rows-paper.json").read_text())["rows"]
    first = replace(plan, seeds=4)
    assert [list(block) for block in first.further()] == [[4, 5], [6, 7]]
    assert results["looks"] == 4
    for claim in ORDERS:
        for name in (claim.better, claim.worse):
            key = key_of(name, "paper")
            count = len(results["rows"][key][str(claim.table)]["error"])
            assert (count > 4) == (key in rows)


def test_the_page_says_its_tier_its_seeds_and_its_headroom_and_keeps_the_reading(
    plan: ExactPlan, tmp_path: Path
) -> None:
    page = tmp_path / "exact.md"
    results = exact_results(plan)
    write_exact_page(results, page)
    text = page.read_text()
    assert "**Tier: exact world.**" in text
    assert "**4 seeds** of every row" in text
    assert "| 4 | untrained once, paper | 6 |" in text
    assert "**tokens**" not in text
    for title in ("Does it win?", "Length of training", "What a perfect student could reach", "Guidance scales"):
        assert f"## {title}" in text
    assert "| fast student, 6 evaluations | error, quiet |" in text
    assert (tmp_path / "exact.png").is_file()
    page.write_text(text.replace("Not written yet.", "What I make of it."))
    write_exact_page(results, page)
    assert "What I make of it." in page.read_text()


def made_up(better: list[float], worse: list[float]) -> dict[str, Any]:
    """Results in which one order has these errors."""
    rows = {"fixed-0.2@paper": {"3": {"error_open": better}}, "fixed-0@paper": {"3": {"error_open": worse}}}
    return {"rows": rows, "looks": 1}


def test_an_order_is_decided_by_paired_differences() -> None:
    better, noise = np.linspace(0.1, 0.9, 12), np.tile([0.001, -0.001], 6)
    (order,) = verdicts_of(made_up(list(better), list(better + 0.01 + noise)), "paper")
    assert (order.word, order.claim.better) == ("holds", "fixed-0.2")
    assert order.advantage.mean == pytest.approx(0.01)
    (turned,) = verdicts_of(made_up(list(better + 0.01 + noise), list(better)), "paper")
    assert turned.word == "does not hold"


def test_an_undecided_order_says_how_many_seeds_it_needs() -> None:
    (order,) = verdicts_of(made_up([0.0, 0.0, 0.0, 0.0], [0.3, -0.2, 0.2, -0.1]), "paper")
    assert order.word == "undecided"
    # mean 0.05, spread 0.238: ((1.960 + 0.842) 4.761)^2 = 177.9.
    assert order.seeds_needed == 178


def test_looking_three_times_asks_for_a_third_of_the_level() -> None:
    # t = 2.51 with 11 degrees of freedom: p = 0.029, between 0.05 / 3 and 0.05.
    worse = list(0.05 + 0.069 * np.array([1, -1] * 6) * 12**0.5 / 12**0.5)
    results = made_up([0.0] * 12, worse)
    words = [verdicts_of({**results, "looks": looks}, "paper")[0].word for looks in (1, 3)]
    assert words == ["holds", "undecided"]


def test_power_by_hand() -> None:
    # Spread as large as the difference: (1.960 + 0.842)^2 = 7.85 seeds.
    assert seeds_needed([0.0, 2**0.5 * 2], 0.05) == 16
    assert seeds_needed([0.0, 0.0], 0.05) is None


def test_headroom_is_the_untrained_students_distance_behind_the_teacher() -> None:
    rows = {"teacher on A": {"2": {"error": [0.1, 0.2]}}, "untrained, paper": {"2": {"error": [0.4, 0.3]}}}
    found = headroom({"rows": rows}, 2, "untrained, paper")
    assert found is not None
    assert found.mean == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["seed=3"], "has no recipe: leave out KEY=VALUE"),
        (["--rows", "tcd", "--base", "runs/full"], "leave out --rows, --base"),
        (["--seeds", "1"], "--seeds must be at least 2, got 1"),
        (["--so-far"], "no block of seeds is finished yet"),
    ],
)
def test_options_without_a_meaning_are_refused(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    assert run(["ablate", "--world", "exact", "--out", str(tmp_path / "out"), *arguments]) != 0
    assert message in capsys.readouterr().err


def test_a_page_of_somebody_elses_is_not_replaced(plan: ExactPlan, tmp_path: Path) -> None:
    page = tmp_path / "exact.md"
    page.write_text("# My thesis\n")
    with pytest.raises(FolderFault, match=r"exact.md: is there, and no page of ablations"):
        write_exact_page(exact_results(plan), page)
    assert run(["ablate", "--world", "exact", "--out", str(tmp_path / "out"), "--page", str(page)]) == 2
    assert page.read_text() == "# My thesis\n"
    assert not (tmp_path / "out").exists()
    assert run(["ablate", "--world", "exact", "--out", str(tmp_path), "--so-far"]) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["exact.md"]


def test_a_damaged_block_is_made_again(plan: ExactPlan, tmp_path: Path) -> None:
    copied = replace(plan, out=tmp_path / "exact")
    shutil.copytree(plan.out, copied.out)
    (copied.out / "blocks/002-003-baselines-paper.json").write_text("[")
    assert len(exact_results(copied)["seeds"]) == 2
