"""The ablation recipes differ from each other exactly in what their rows say."""

from __future__ import annotations

from typing import Any

import pytest

from fada.recipe import RecipeError, load_recipe
from fada.recipe.shipped import shipped_recipes
from fada.studies.ablations.rows import CLAIMS, ORDERS, TABLES, paper_agrees, rows

BASE, PHASE = "distill.phases.0", "distill.phases.1"
SOLVERS = {f"{phase}.solver.{key}" for phase in (BASE, PHASE) for key in ("kind", "steps")}
GUIDANCE = {f"{BASE}.guidance", f"{PHASE}.guidance"}
DIFFERENCES = {
    "progressive": ("perflow", {"distill.windows", "distill.times"}),
    "rflow": ("perflow", {"distill.windows", f"{BASE}.solver.steps", f"{PHASE}.solver.steps"}),
    "tcd": ("perflow", {"distill.method", "distill.windows", *SOLVERS}),
    "fixed-0": ("perflow", {f"{PHASE}.quality"}),
    "fixed-0.2-a": ("perflow", {f"{PHASE}.loss.base"}),
    "fixed-0.2": ("fixed-0", {f"{PHASE}.loss.base"}),
    "fixed-1.0": ("fixed-0", {f"{PHASE}.loss.base"}),
    "unlimited-0.25": ("fixed-0.2", {f"{PHASE}.loss.weighting"}),
    "unlimited-0.5": ("unlimited-0.25", {f"{PHASE}.loss.slope"}),
    "adaptive-0.25": ("unlimited-0.25", {f"{PHASE}.loss.weighting"}),
    "adaptive-0.5": ("adaptive-0.25", {f"{PHASE}.loss.slope"}),
    "without-cfg": ("adaptive-0.25", {"distill.sampling"}),
    "tokens": ("adaptive-0.25", GUIDANCE),
    "layer": ("tokens", {"distill.cfg.mode"}),
    "time-embed": ("tokens", {"distill.cfg.mode"}),
    "teacher-b": ("perflow", {"teacher.stages.0.quality", "teacher.stages.1.quality"}),
}
"""Row → the row that it is compared with, and the keys in which it differs from that one."""


def flat(content: Any, path: str = "") -> dict[str, Any]:
    """Every leaf of a recipe by its key path."""
    if isinstance(content, dict | list | tuple):
        pairs = content.items() if isinstance(content, dict) else enumerate(content)
        return {k: v for key, each in pairs for k, v in flat(each, f"{path}.{key}" if path else str(key)).items()}
    return {path: content}


def content(name: str) -> dict[str, Any]:
    return flat(load_recipe(f"ablations/{name}").model_dump(mode="json", exclude={"name", "output"}))


def test_every_row_has_a_recipe_and_every_recipe_a_row() -> None:
    shipped = {name.removeprefix("ablations/") for name in shipped_recipes() if name.startswith("ablations/")}
    assert shipped == set(rows()) == {"perflow", *DIFFERENCES}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_a_row_differs_from_its_neighbour_in_what_it_says(name: str) -> None:
    other, keys = DIFFERENCES[name]
    mine, theirs = content(name), content(other)
    assert {key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key)} == keys


def test_the_quoted_figures_are_the_papers_in_number_and_spread() -> None:
    assert [len(listed) for _, listed in TABLES.values()] == [4, 10, 4]
    agreeing = {(claim.better, claim.worse): paper_agrees(claim) for claim in CLAIMS}
    # Counted by hand in the paper's tables.
    assert agreeing["perflow", "rflow"] == 5
    assert agreeing["perflow", "tcd"] == 3
    assert agreeing["adaptive-0.25", "fixed-0.2"] == 5
    assert agreeing["tokens", "layer"] == 3
    assert len(ORDERS) == 17
    # The paper's figures of a teacher with B are not quoted here.
    assert paper_agrees(ORDERS[0]) is None


@pytest.mark.parametrize("name", rows())
def test_every_row_has_the_papers_scales_windows_and_fresh_targets(name: str) -> None:
    recipe = load_recipe(f"ablations/{name}")
    distill, bench = recipe.distill, recipe.bench
    assert (bench.scales, distill.steps) == ({"reference": 2.5, "audio": 6.5}, 6)
    for phase in distill.phases:
        assert phase.scales["audio"].ends == (1.0, 9.0)
        assert phase.scales["reference"].ends == (1.0, 4.0)
        assert phase.targets == "online"
    base, student = distill.phases
    assert (base.init, student.init) == ("teacher", base.name)
    # No ground truth, and none of B, before the row's own steps.
    assert (base.quality, base.loss.weighting, base.loss.base) == ("A", "fixed", 0.0)
    if name not in ("tcd", "rflow", "progressive"):
        assert (distill.method, distill.windows, distill.times, distill.spacing) == ("perflow", 4, "uniform", "time")
        assert (distill.matched, distill.extra_steps) == (False, "first")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["distill.windows=4"], "tcd jumps over the whole way: it needs windows: 1, got 4"),
        (["distill.phases.student.loss.base=0.2"], "student needs loss:.*base: 0}, got fixed with base 0.2"),
        (["engine.strategy=zero2"], "asks the moving average in every step.*set engine.strategy: ddp, got zero2"),
    ],
)
def test_what_trajectory_consistency_cannot_do_is_refused(changes: list[str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe("ablations/tcd", changes)
