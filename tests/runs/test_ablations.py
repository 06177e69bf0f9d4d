"""The ablation's runs, verdicts and page."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from fada.eval.bench.headroom import NO_HEADROOM
from fada.eval.bench.systems import BenchClip
from fada.files.errors import FolderFault
from fada.recipe.errors import RecipeError
from fada.studies.ablations.baselines import costs_of, passes_of
from fada.studies.ablations.headroom import gates_of_table, headroom_lines
from fada.studies.ablations.measuring import clips_of_seed, training_means
from fada.studies.ablations.page import over_seeds, write_page
from fada.studies.ablations.plan import BASE_SEED, Plan, check_plan, groups
from fada.studies.ablations.rows import CONTROLS, rows
from fada.studies.ablations.run import results_so_far, run_ablations
from tests.runs.made_up_ablations import CLIPS, line, results, row

QUIET = Console(quiet=True)
SMALL = (
    "data.world.clips=4", "data.world.test_clips=5", "data.world.frames=8",
    "clip.frames=3", "clip.motion_frames=1", "clip.size=32", "audio.bins=8", "vae.channels=[8,16]",
    "vae.latent_channels=4", "vae.train.steps=2", "vae.train.batch=2", "teacher.network.channels=[8,16]",
    "teacher.network.heads=2", "teacher.network.norm_groups=4", "teacher.network.audio_tokens=2",
    "teacher.network.audio_dim=8", "teacher.network.audio_hidden=8", "teacher.stages.0.steps=1",
    "teacher.stages.0.batch=2", "teacher.stages.1.steps=3", "teacher.stages.1.batch=2",
    "distill.phases.base.steps=2", "distill.phases.base.batch=2", "distill.phases.student.steps=2",
    "distill.phases.student.batch=2", "engine.precision=fp32", "engine.checkpoint_every=2", "engine.log_every=1",
    "bench.clips=2", "bench.seconds=0.2", "bench.teacher_steps=2", "bench.search_clips=1",
)  # fmt: skip


GOOD, WORSE = row(10.0, 10.2, 9.9), row(12.1, 12.3, 12.0)


def test_the_page_counts_verdicts_quotes_the_paper_apart_and_keeps_the_reading(tmp_path: Path) -> None:
    found = results(perflow=GOOD, rflow=WORSE)
    page = write_page(found, tmp_path / "ablations.md")
    text = page.read_text()
    assert "**Tier: drawn world with headroom.**" in text
    assert "**holds: 1**, **does not hold: 0**, **undecided: 0** of 17; decided: 1." in text
    assert "| paper: IQA ↑ |" in text
    error = over_seeds(found, WORSE, "error narrow")
    assert error is not None
    assert f"rflow.yaml) | 18 | {error.mean:.3f} ± {error.half_width:.3f} |" in text
    assert "2.836 | 8.066 | 81.1 | 49.73 | 2.484 |" in text
    assert json.loads((tmp_path / "ablations.json").read_text())["rows"]["rflow"] == WORSE
    assert (tmp_path / "ablations.png").stat().st_size > 1000
    page.write_text(text.replace("Not written yet.", "My own words."))
    write_page(found, page)
    assert page.read_text().endswith("## Reading\n\nMy own words.\n")


def test_a_reading_of_the_world_without_headroom_is_none_of_these_numbers(tmp_path: Path) -> None:
    page = tmp_path / "ablations.md"
    page.write_text("# Ablations: the paper's Tables 2, 3 and 4 in the drawn world\n\n## Reading\n\nOld words.\n")
    assert "Old words." not in write_page(results(perflow=GOOD), page).read_text()


def test_the_page_draws_both_sweeps_with_teacher_and_student(tmp_path: Path) -> None:
    lines = {name: {"mouth_correlation_synth": {"1": [0.1, 0.3], "6.5": [0.5, 0.7]}} for name in ("teacher", "student")}
    found = results(perflow=GOOD)
    found["sweeps"] = [{"axis": axis, "at": 2.5, "lines": lines} for axis in ("audio", "reference")]
    text = write_page(found, tmp_path / "ablations.md").read_text()
    assert "![audio scale](ablations-audio-scale.png)" in text
    assert "| student | 6.5 | 0.600" in text
    assert "Reference scale 2.5." in text
    assert (tmp_path / "ablations-reference-scale.svg").is_file()


def test_controls_stand_beside_their_adaptive_row(tmp_path: Path) -> None:
    found = results(perflow=GOOD)
    found["rows"] |= {"adaptive-0.25": GOOD, "fixed-as-adaptive-0.25": row(12.1, 12.342, 11.979)}
    text = write_page(found, tmp_path / "ablations.md").read_text()
    # ln 1.1 in every seed.
    assert "| adaptive-0.25 | 0.300 | +0.095 ± 0.000 | 3 |" in text


BEST = "teacher, guided, 6 x 3, best of the searched nodes (ddim at equal noise_share)"
START = "student before training, guided, 6 x 3, 4 windows"


@pytest.mark.parametrize(("best", "word"), [((3.0, 3.1, 3.0, 3.1), "headroom"), ((2.0, 2.1, 2.2, 2.0), NO_HEADROOM)])
def test_the_page_says_whether_anything_untrained_is_as_good_as_the_teacher(
    tmp_path: Path, best: tuple[float, ...], word: str
) -> None:
    found = results(perflow=GOOD)
    good = dict(zip(CLIPS, (2.0, 2.1, 2.1, 2.0), strict=True))
    beside = {"role": "untrained", "starts": ["perflow"]}
    found["baselines"] = {
        "teacher": {**line(good, nfe=75), "spare_clips": ["clip-8", "clip-9"]},
        BEST: line(dict(zip(CLIPS, best, strict=True))),
        "teacher, unguided, 6 steps, plain nodes": line(good, nfe=6),
        START: line(dict(zip(CLIPS, (3.0, 3.0, 3.1, 3.0), strict=True)), **beside),
        "student before training, guided, 6 x 3, 1 windows": line(good, **{**beside, "starts": ["rflow"]}),
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
    names = ("perflow", "rflow", "progressive", "tcd", "tokens", "without-cfg", "layer")
    recipes = {name: Plan(names, (0,), Path("runs")).recipe(name, 0) for name in names}
    costs = costs_of(list(recipes.values()))
    assert [(each.words, each.evaluations) for each in costs] == [
        ("guided, 6 x 3", 18), ("unguided, 6 steps", 6), ("guided, 2 x 3", 6)
    ]  # fmt: skip
    assert {name: passes_of(recipe) for name, recipe in recipes.items() if passes_of(recipe) == 1} == {
        "tokens": 1, "without-cfg": 1, "layer": 1
    }  # fmt: skip


@pytest.mark.parametrize(
    "name", ["ablations.md", "ablations.json", "ablations.png", "ablations.svg", "ablations-audio-scale.png"]
)
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
    assert "**Not finished: tcd, perflow, progressive, fixed-0," in text
    assert "rflow.yaml) | 18 |" in text


def test_training_means_are_those_of_the_second_half(tmp_path: Path) -> None:
    lines = [
        {"step": step, "loss_distill": float(step), "ratio_A": None if step == 3 else 2.0} for step in (1, 2, 3, 4)
    ]
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert training_means(tmp_path / "log.jsonl") == {"loss_distill": 3.5, "ratio_A": 2.0}


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (
            Plan(("perflow", "tdc"), (0,), Path("runs")),
            "no row named tdc; choose from tcd, rflow, perflow, progressive",
        ),
        (Plan((), (0,), Path("runs")), "no row named nothing"),
        (
            Plan(("fixed-as-adaptive-0.5",), (0,), Path("runs")),
            "fixed-as-adaptive-0.5 has the mean weight of adaptive-0.5: name that row too",
        ),
        (Plan(("perflow",), (), Path("runs")), "got no seeds; give one at least"),
    ],
)
def test_a_plan_of_nothing_is_refused(plan: Plan, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        check_plan(plan)


def test_a_base_of_other_data_is_refused(tmp_path: Path) -> None:
    from fada.recipe import save_recipe

    save_recipe(Plan(("perflow",), (0,), tmp_path, ("clip.size=64",)).first(), tmp_path / "recipe.yaml")
    with pytest.raises(RecipeError, match=r"ablations/perflow: clip differ from those of .*or another base"):
        check_plan(Plan(("perflow",), (0,), tmp_path, base=tmp_path))


def test_ablations_take_no_folder_of_others_(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    plan = Plan(("perflow",), (0,), tmp_path, SMALL)
    for work in (lambda: run_ablations(plan, 1, QUIET), lambda: results_so_far(plan, QUIET)):
        with pytest.raises(FolderFault, match=r"holds files that fada did not make \(thesis.tex\)"):
            work()
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]


def clips(*halves: str) -> list[BenchClip]:
    """Held-out clips of these halves, named by their place."""
    empty = np.zeros((2, 2, 3), np.uint8)
    return [
        BenchClip(str(place), "", empty, np.zeros(1, np.float32), meta={"world": {"reach": half}})
        for place, half in enumerate(halves)
    ]


def test_every_seed_has_clips_of_its_own_half_of_them_beyond_until_they_come_round() -> None:
    held_out = clips("narrow", "beyond", "narrow", "beyond", "narrow", "beyond", "narrow", "beyond")
    chosen = [[clip.key for clip in clips_of_seed(held_out, 4, seed)] for seed in range(3)]
    assert chosen == [["0", "2", "1", "3"], ["4", "6", "5", "7"], ["0", "2", "1", "3"]]
    # A world without a beyond has one half; more than there are is all of them.
    assert [clip.key for clip in clips_of_seed(clips("full", "full", "full"), 2, 1)] == ["2", "0"]
    assert len(clips_of_seed(held_out, 99, 0)) == 8


def test_rows_of_a_kind_start_from_one_training_and_kinds_have_starts_of_their_own() -> None:
    plan = Plan(tuple(rows()), (0, 1, 2), Path("runs"), bases=2)
    kinds: dict[str, list[str]] = {}
    for group in groups(plan):
        found = plan.start(group[0], 0)
        assert found is not None
        kinds.setdefault(found[0].rsplit("-", 1)[0], []).extend(group)
    assert kinds == {
        "tcd-1-sync": ["tcd"], "perflow-1-sync": ["rflow"], "perflow-6-sync": ["progressive"],
        "perflow-4-sync": ["perflow", "fixed-0", "fixed-0.2", "fixed-1.0", "fixed-0.2-a", "unlimited-0.5",
                           "unlimited-0.25", "adaptive-0.5", "adaptive-0.25", "without-cfg"],
        "perflow-4-time_embed": ["time-embed"], "perflow-4-layer": ["layer"], "perflow-4-tokens": ["tokens"],
    }  # fmt: skip
    assert len({plan.start(name, 0) for name in ("perflow", "fixed-0", "adaptive-0.25", "without-cfg")}) == 1
    assert [plan.start("tcd", seed)[1] for seed in plan.seeds] == [0, 1, 0]  # type: ignore[index]


def test_a_start_is_the_phase_before_the_rows_own_with_a_seed_that_no_row_has() -> None:
    recipe = Plan(("without-cfg",), (0,), Path("runs")).start_recipe("without-cfg", 1)
    assert [phase.name for phase in recipe.distill.phases] == ["base"]
    assert (recipe.seed, recipe.distill.sampling) == (BASE_SEED + 1, "guided")
    (phase,) = recipe.distill.phases
    assert (phase.quality, phase.loss.weighting, phase.loss.base) == ("A", "fixed", 0.0)


def test_a_controls_recipe_is_its_adaptive_rows_with_that_weight_fixed() -> None:
    plan = Plan(("adaptive-0.5", "fixed-as-adaptive-0.5"), (3,), Path("runs"))
    adaptive, control = plan.recipe("adaptive-0.5", 3), plan.recipe("fixed-as-adaptive-0.5", 3, 0.31)
    loss = control.distill.phases[-1].loss
    assert (loss.weighting, loss.base, loss.loss_space) == ("fixed", 0.31, "endpoint")
    phases = [recipe.distill.phases[-1].model_copy(update={"loss": loss}) for recipe in (adaptive, control)]
    assert phases[0] == phases[1]
    assert plan.controls() == ["fixed-as-adaptive-0.5"]
    assert set(CONTROLS.values()) <= set(rows())


def test_only_the_teacher_with_b_may_have_a_teacher_of_other_clips(tmp_path: Path) -> None:
    from fada.recipe import save_recipe

    check_plan(Plan(("teacher-b", "perflow"), (0,), tmp_path))
    save_recipe(Plan(("teacher-b",), (0,), tmp_path, ("teacher.stages.0.steps=3",)).first(), tmp_path / "recipe.yaml")
    with pytest.raises(RecipeError, match=r"ablations/teacher-b: teacher differ from those of"):
        check_plan(Plan(("teacher-b",), (0,), tmp_path, base=tmp_path))
    save_recipe(Plan(("teacher-b",), (0,), tmp_path).first(), tmp_path / "recipe.yaml")
    with pytest.raises(RecipeError, match=r"ablations/perflow: teacher differ from those of"):
        check_plan(Plan(("perflow",), (0,), tmp_path, base=tmp_path))


def test_data_vae_and_teacher_are_the_same_whatever_rows_are_asked_for() -> None:
    bases = [Plan(names, (0,), Path("runs")).base_recipe() for names in (("tcd",), ("tokens", "tcd"), ("teacher-b",))]
    assert bases[0] == bases[1] == bases[2]


@pytest.mark.slow
def test_rows_are_trained_once_measured_as_they_are_called_and_found_again(tmp_path: Path) -> None:
    names = ("adaptive-0.25", "without-cfg", "tokens", "fixed-as-adaptive-0.25", "teacher-b")
    plan = Plan(names, (0, 1), tmp_path, SMALL, threads=1, bases=1)
    assert results_so_far(plan, QUIET)["rows"] == {}
    first = run_ablations(plan, 1, QUIET)
    nfe = {name: {found["nfe"] for found in seeds.values()} for name, seeds in first["rows"].items()}
    assert nfe == {"adaptive-0.25": {18}, "without-cfg": {6}, "tokens": {6}, "fixed-as-adaptive-0.25": {18}}
    assert len(first["baselines"]["teacher"]["spare_clips"]) == 1
    assert not set(first["baselines"]["teacher"]["spare_clips"]) & set(first["clips"])
    lines = {name: (found["role"], found["nfe"]) for name, found in first["baselines"].items()}
    assert lines["student before training, guided, 6 x 3, 4 windows"] == ("untrained", 18)
    assert lines["student before training, unguided, 6 steps, 4 windows"] == ("untrained", 6)
    assert lines["teacher, guided, 6 x 3, plain nodes"] == ("undistilled", 18)
    assert lines["teacher, unguided, 6 steps, plain nodes"] == lines["teacher, guided, 2 x 3, plain nodes"]
    students = sorted(each.name for each in (tmp_path / "students").iterdir())
    assert students == ["adaptive-0.25", "fixed-as-adaptive-0.25", "teacher-b", "tokens"]
    # One start of each kind, trained once for both seeds, and not again in any row's folder.
    assert len(list((tmp_path / "starts").glob("*/*/students/base/model_index.json"))) == 2
    assert not list((tmp_path / "students").glob("*/*/students/base"))
    # Finished rows keep their students and logs, and nothing to go on from.
    assert len(list((tmp_path / "students").glob("*/*/students/student/model_index.json"))) == 6
    assert not list((tmp_path / "students").glob("*/*/work/student/checkpoints/step-*"))
    guided, plain = (first["rows"][name]["0"]["clips"] for name in ("adaptive-0.25", "without-cfg"))
    assert guided.keys() == plain.keys()
    assert guided != plain
    assert guided.keys() != first["rows"]["adaptive-0.25"]["1"]["clips"].keys()
    weights = [first["rows"][name]["1"]["training"]["weight_mean"] for name in ("adaptive-0.25", names[3])]
    assert weights[0] == pytest.approx(weights[1], rel=1e-4)
    assert len(first["teacher-b"]["clips"]) == len(first["clips"]) == 4
    assert first["teacher-b"]["clips"] != first["baselines"]["teacher"]["clips"]
    assert [sweep["axis"] for sweep in first["sweeps"]] == ["audio", "reference"]
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    assert run_ablations(plan, 1, QUIET) == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")} == before
    # Another start makes other rows.
    assert results_so_far(replace(plan, bases=2), QUIET)["rows"]["tokens"].keys() == {"0"}
