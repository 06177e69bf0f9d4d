"""The ablation's runs, verdicts and page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from fada.build.ablation_baselines import costs_of, passes_of
from fada.build.ablation_headroom import gates_of_table, headroom_lines
from fada.build.ablation_page import over_seeds, write_page
from fada.build.ablation_rows import Claim
from fada.build.ablation_verdicts import in_all, verdict, verdicts_of
from fada.build.ablations import Plan, check_plan, results_so_far, run_ablations, training_means
from fada.eval.headroom import NO_HEADROOM
from fada.files.errors import FolderFault
from fada.recipe.errors import RecipeError

QUIET = Console(quiet=True)
SMALL = (
    "data.world.clips=4", "data.world.test_clips=2", "data.world.frames=8", "data.world.flawed_share=0.25",
    "clip.frames=3", "clip.motion_frames=1", "clip.size=32", "audio.bins=8", "vae.channels=[8,16]",
    "vae.latent_channels=4", "vae.train.steps=2", "vae.train.batch=2", "teacher.network.channels=[8,16]",
    "teacher.network.heads=2", "teacher.network.norm_groups=4", "teacher.network.audio_tokens=2",
    "teacher.network.audio_dim=8", "teacher.network.audio_hidden=8", "teacher.stages.0.steps=1",
    "teacher.stages.0.batch=2", "teacher.stages.1.steps=1", "teacher.stages.1.batch=2",
    "distill.phases.student.steps=3", "distill.phases.student.batch=2", "distill.phases.student.cached_samples=8",
    "engine.precision=fp32", "engine.checkpoint_every=2", "engine.log_every=1", "bench.clips=2", "bench.seconds=0.2",
    "bench.teacher_steps=2",
)  # fmt: skip


def row(*truth_by_seed: tuple[float, ...], frechet: float = 1.0) -> dict[str, dict]:
    """Values of a row: per seed the distances to the truth of its clips."""
    other = {"latent_mse_reference": 1.0, "mouth_correlation_synth": None, "identity_error_synth": 2.0}
    return {
        str(seed): {
            "nfe": 18,
            "clips": {f"clip-{place}": {"latent_mse_truth": value, **other} for place, value in enumerate(values)},
            "fd_latent_synth": frechet + 0.1 * seed,
            "training": {"loss_distill": 0.25},
        }
        for seed, values in enumerate(truth_by_seed)
    }


GOOD = row((1.0, 2.0, 3.0), (1.1, 2.1, 3.1), (0.9, 1.9, 2.9))
WORSE = row((1.5, 2.6, 3.4), (1.6, 2.7, 3.5), (1.4, 2.4, 3.5), frechet=1.5)
EITHER = row((1.5, 1.0, 3.4), (0.6, 2.7, 3.5), (1.4, 1.4, 2.5))


def test_an_order_holds_where_both_intervals_lie_on_its_side() -> None:
    found = verdict(GOOD, WORSE, "latent_mse_truth")
    assert found is not None
    assert found.word == "holds"
    # By seed: 0.5, 0.5, 0.533...; by clip: 0.5, 0.567, 0.467.
    assert found.over_seeds.mean == pytest.approx((0.5 + 0.5 + 1.6 / 3) / 3)
    assert found.over_clips is not None
    assert found.over_clips.half_width == pytest.approx(4.302653 * 0.0509175 / 3**0.5, rel=1e-4)
    reverse = verdict(WORSE, GOOD, "latent_mse_truth")
    assert reverse is not None
    assert reverse.word == "does not hold"
    assert reverse.over_seeds.mean == pytest.approx(-found.over_seeds.mean)


def test_an_order_of_the_seeds_that_the_clips_contradict_is_undecided() -> None:
    better = row((1.0, 9.0), (1.0, 9.1), (1.0, 9.05))
    worse = row((3.0, 8.0), (3.0, 8.1), (3.0, 8.05))
    found = verdict(better, worse, "latent_mse_truth")
    assert found is not None
    assert found.over_seeds.low is not None
    assert found.over_seeds.low > 0
    assert found.word == "undecided"


def test_one_seed_decides_nothing() -> None:
    found = verdict(row((1.0, 2.0)), row((2.0, 3.0)), "latent_mse_truth")
    assert found is not None
    assert found.word == "undecided"


def test_more_correlation_is_better_and_missing_values_are_left_out() -> None:
    low, high = row((1.0, 1.0), (1.0, 1.0)), row((1.0, 1.0), (1.0, 1.0))
    for values, correlation in ((low, 0.25), (high, 0.75)):
        for found in values.values():
            found["clips"]["clip-0"]["mouth_correlation_synth"] = correlation
    advantage = verdict(high, low, "mouth_correlation_synth")
    assert advantage is not None
    assert advantage.over_seeds.mean == 0.5
    assert advantage.over_clips is not None
    assert advantage.over_clips.count == 1
    assert verdict(GOOD, WORSE, "mouth_correlation_synth") is None


def test_the_frechet_distance_has_seeds_only() -> None:
    found = verdict(GOOD, WORSE, "fd_latent_synth")
    assert found is not None
    assert found.over_seeds.mean == pytest.approx(0.5)
    assert found.over_clips is None
    assert found.word == "holds"


def test_measures_that_contradict_each_other_are_mixed() -> None:
    assert in_all(["holds", "undecided"]) == "holds"
    assert in_all(["undecided", "undecided"]) == "undecided"
    assert in_all(["does not hold", "undecided"]) == "does not hold"
    assert in_all(["holds", "does not hold", "undecided"]) == "mixed"


def test_a_claim_about_a_row_that_was_not_run_has_no_verdict() -> None:
    assert verdicts_of(Claim(2, "perflow", "tcd", ""), {"perflow": GOOD}) is None


def results(**measured: dict) -> dict:
    recipe = Plan(("perflow",), (0,), Path("runs")).first().model_dump(mode="json")
    baseline = {**GOOD["0"], "nfe": 75}
    return {"seeds": [0, 1, 2], "overrides": [], "clips": ["clip-0", "clip-1", "clip-2"], "recipe": recipe,
            "baselines": {"teacher": baseline}, "rows": measured}  # fmt: skip


def test_the_page_counts_verdicts_quotes_the_paper_apart_and_keeps_the_reading(tmp_path: Path) -> None:
    page = write_page(results(perflow=GOOD, rflow=WORSE, tcd=EITHER), tmp_path / "ablations.md")
    text = page.read_text()
    assert "**holds: 1**; **undecided: 1** of 2." in text
    assert "| paper: IQA ↑ |" in text
    truth = over_seeds(WORSE, "latent_mse_truth")
    assert truth is not None
    assert f"rflow.yaml) | 18 | 1.0000 ± 0.0000 | {truth.mean:.4f} ± {truth.half_width:.4f} | null |" in text
    assert "2.836 | 8.066 | 81.1 | 49.73 | 2.484 |" in text
    assert json.loads((tmp_path / "ablations.json").read_text())["rows"]["rflow"] == WORSE
    assert (tmp_path / "ablations.png").stat().st_size > 1000
    page.write_text(text.replace("Not written yet.", "My own words."))
    write_page(results(perflow=GOOD, rflow=WORSE), page)
    assert page.read_text().endswith("## Reading\n\nMy own words.\n")
    assert "**holds: 1** of 1." in page.read_text()


def line(identity: tuple[float, ...], nfe: int = 18, **also: Any) -> dict[str, Any]:
    """A line beside the rows: identity errors of its clips; a distance to the teacher that grows with nothing."""
    clips = {
        f"clip-{place}": {"latent_mse_reference": 5.0, "latent_mse_truth": 1.0, "mouth_correlation_synth": 0.9,
                          "identity_error_synth": value}
        for place, value in enumerate(identity)
    }  # fmt: skip
    return {"nfe": nfe, "clips": clips, "fd_latent_synth": 1.0, "without": [1.0] * len(identity), **also}


BEST = "teacher, guided, 6 x 3, best of the searched nodes (ddim at equal noise_share)"
START = "student before training, guided, 6 x 3, 6 windows"


@pytest.mark.parametrize(("best", "word"), [((3.0, 3.1, 3.0), "headroom"), ((2.0, 2.1, 2.2), NO_HEADROOM)])
def test_the_page_says_whether_anything_untrained_is_as_good_as_the_teacher(
    tmp_path: Path, best: tuple[float, ...], word: str
) -> None:
    found = results(perflow=GOOD)
    found["baselines"] = {
        "teacher": {**line((2.0, 2.1, 2.1), 75), "spare_clips": ["clip-8", "clip-9"]},
        BEST: line(best),
        "teacher, unguided, 6 steps, plain nodes": line((2.0, 2.1, 2.1), 6),
        START: line((3.0, 3.0, 3.1), role="untrained", starts=["perflow"]),
        "student before training, guided, 6 x 3, 1 windows": line((2.0, 2.1, 2.1), role="untrained", starts=["rflow"]),
    }
    gates = {each.untrained: each.word for each in gates_of_table(found, 3)}
    # Of equal cost, and the start of its own rows: neither six evaluations nor another table's windows.
    assert gates == {BEST: word, START: "headroom"}
    text = write_page(found, tmp_path / "ablations.md").read_text()
    said = f"## Table 3: mixed supervision\n\n**{NO_HEADROOM}** ({BEST})"
    assert (said in text) == (word == NO_HEADROOM)
    assert f"| 3 | {BEST} | 18 | +" in text.replace("−", "+")
    assert "searched on 2 other held-out clips" in text
    assert headroom_lines(found)[1] == (
        f"table 3: {NO_HEADROOM} ({BEST})" if word == NO_HEADROOM else "table 3: headroom"
    )


def test_baselines_are_the_teacher_at_the_rows_costs_and_each_start_once() -> None:
    names = ("perflow", "rflow", "perflow-4-windows", "tcd", "tokens", "without-cfg", "layer")
    recipes = {name: Plan(names, (0,), Path("runs")).recipe(name, 0) for name in names}
    costs = costs_of(list(recipes.values()))
    assert [(each.words, each.evaluations) for each in costs] == [
        ("guided, 6 x 3", 18), ("unguided, 6 steps", 6), ("guided, 2 x 3", 6)
    ]  # fmt: skip
    assert {name: passes_of(recipe) for name, recipe in recipes.items() if passes_of(recipe) == 1} == {
        "tokens": 1, "without-cfg": 1, "layer": 1
    }  # fmt: skip


@pytest.mark.parametrize("name", ["ablations.md", "ablations.json", "ablations.png", "ablations.svg"])
def test_a_page_replaces_no_file_that_is_none(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("{}")
    with pytest.raises(
        FolderFault, match=rf"{name}: is there, and no page of ablations; give another name with --page"
    ):
        write_page(results(perflow=GOOD), tmp_path / "ablations.md")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [(name, "{}")]


def test_rows_whose_seeds_are_not_finished_say_so(tmp_path: Path) -> None:
    text = write_page(results(perflow={"0": GOOD["0"]}, rflow=WORSE), tmp_path / "ablations.md").read_text()
    assert "perflow.yaml) (1 of 3 seeds) | 18 |" in text
    assert "**Not finished: tcd, perflow-4-windows, perflow, fixed-0," in text
    assert "rflow.yaml) | 18 |" in text
    assert "**undecided: 1** of 1." in text


def test_training_means_are_those_of_the_second_half(tmp_path: Path) -> None:
    lines = [
        {"step": step, "loss_distill": float(step), "ratio_A": None if step == 3 else 2.0} for step in (1, 2, 3, 4)
    ]
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert training_means(tmp_path / "log.jsonl") == {"loss_distill": 3.5, "ratio_A": 2.0}


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (Plan(("perflow", "tdc"), (0,), Path("runs")), "no row named tdc; choose from tcd, rflow, perflow"),
        (Plan((), (0,), Path("runs")), "no row named nothing"),
        (Plan(("perflow",), (), Path("runs")), "got no seeds; give one at least"),
    ],
)
def test_a_plan_of_nothing_is_refused(plan: Plan, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        check_plan(plan)


def test_a_base_of_other_data_is_refused(tmp_path: Path) -> None:
    from fada.recipe import save_recipe

    save_recipe(Plan(("perflow",), (0,), tmp_path, ("clip.size=32",)).first(), tmp_path / "recipe.yaml")
    with pytest.raises(RecipeError, match=r"ablations/perflow: clip differ from those of .*or another base"):
        check_plan(Plan(("perflow",), (0,), tmp_path, base=tmp_path))


def test_ablations_take_no_folder_of_others_(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    plan = Plan(("perflow",), (0,), tmp_path, SMALL)
    for work in (lambda: run_ablations(plan, 1, QUIET), lambda: results_so_far(plan, QUIET)):
        with pytest.raises(FolderFault, match=r"holds files that fada did not make \(thesis.tex\)"):
            work()
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.slow
def test_rows_are_trained_once_measured_as_they_are_called_and_found_again(tmp_path: Path) -> None:
    plan = Plan(("adaptive-0.25", "without-cfg", "tcd"), (0, 1), tmp_path, SMALL, threads=1)
    assert results_so_far(plan, QUIET)["rows"] == {}
    first = run_ablations(plan, 1, QUIET)
    nfe = {name: {found["nfe"] for found in seeds.values()} for name, seeds in first["rows"].items()}
    assert nfe == {"adaptive-0.25": {18}, "without-cfg": {6}, "tcd": {18}}
    lines = {name: (found["role"], found["nfe"]) for name, found in first["baselines"].items()}
    assert lines["student before training, guided, 6 x 3, 6 windows"] == ("untrained", 18)
    assert lines["student before training, guided, 6 x 3, consistency steps, gamma 0.3"] == ("untrained", 18)
    assert lines["student before training, unguided, 6 steps, 6 windows"] == ("untrained", 6)
    assert lines["teacher, guided, 6 x 3, plain nodes"] == ("undistilled", 18)
    assert lines["teacher, unguided, 6 steps, plain nodes"] == lines["teacher, guided, 2 x 3, plain nodes"]
    assert sorted(each.name for each in (tmp_path / "students").iterdir()) == ["adaptive-0.25", "tcd"]
    guided, plain = (first["rows"][name]["0"]["clips"] for name in ("adaptive-0.25", "without-cfg"))
    assert guided != plain
    assert first["rows"]["tcd"]["0"]["clips"] != first["rows"]["tcd"]["1"]["clips"]
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    assert run_ablations(plan, 1, QUIET) == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")} == before
