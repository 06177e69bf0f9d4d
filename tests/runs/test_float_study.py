"""FLOAT's ablations: what rows change, what is measured of latents, the claims, the page, and a given run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from fada.eval.bench.results import read_json
from fada.eval.statistics.intervals import Interval
from fada.files.errors import FolderFault
from fada.recipe import load_recipe
from fada.run.training_run import Run
from fada.studies.float import measures
from fada.studies.float import study as studies
from fada.studies.float.measures import MEASURES, in_latents
from fada.studies.float.page import TITLE, claim_word, write_float_page
from fada.studies.float.rows import CLAIMS, PAPER, ROWS
from fada.studies.float.study import FloatStudy, main
from fada.studies.systems import instruments
from fada.studies.teachers.page import Comparison
from fada.studies.teachers.study import run_study
from tests.runs.small_float import SMALL

QUIET = Console(quiet=True)


def differences(first: Any, second: Any, path: str = "") -> dict[str, Any]:
    """What the second has where they differ, by path."""
    if not isinstance(first, dict):
        return {} if first == second else {path: second}
    return {
        name: value
        for key in first
        for name, value in differences(first[key], second[key], f"{path}.{key}".lstrip(".")).items()
    }


def by_name(recipe: Any) -> dict[str, Any]:
    found: dict[str, Any] = recipe.model_dump(mode="json", exclude={"output": True})
    found["teacher"]["stages"] = {stage["name"]: stage for stage in found["teacher"]["stages"]}
    return found


def test_every_row_differs_from_the_papers_in_what_it_names_and_in_nothing_else() -> None:
    study = FloatStudy(2, Path("out"))
    paper = by_name(study.recipe(PAPER, 1))
    assert [row.name for row in ROWS] == list(study.rows)
    assert paper["seed"] == 1
    assert differences(by_name(load_recipe("tiny/float")), paper) == {
        "seed": 1, "distill.phases": [], "engine.preview_every": 0,
    }  # fmt: skip
    for row in ROWS:
        assert differences(paper, by_name(study.recipe(row.name, 1))) == dict(row.changes)
    diffusion = {"noise.set_alpha_to_one": True}
    assert {row.name: dict(row.changes) for row in ROWS} == {
        PAPER: {},
        "cross-attention": {"teacher.network.conditioning": "cross_attention"},
        "epsilon": {"noise.prediction_type": "epsilon", **diffusion},
        "x0": {"noise.prediction_type": "sample", "noise.rescale_betas_zero_snr": True, **diffusion},
        "independent-windows": {"clip.motion_frames": 0},
        "no-velocity-loss": {"teacher.stages.all.velocity_weight": 0.0},
    }
    assert paper["teacher"]["network"]["conditioning"] == "adaln"
    assert paper["noise"]["prediction_type"] == "flow_prediction"
    assert paper["clip"]["motion_frames"] == 5
    assert paper["teacher"]["stages"]["all"]["velocity_weight"] == 1.0


def test_claims_are_of_rows_and_measures_that_there_are() -> None:
    assert {claim.row for claim in CLAIMS} == {row.name for row in ROWS} - {PAPER}
    assert {claim.measure for claim in CLAIMS} <= set(MEASURES)


def test_latents_are_compared_by_hand() -> None:
    true = np.array([[0.0], [1.0], [0.0], [1.0], [2.0], [1.0]])
    own = true * [3.0] + [[0.0], [0.0], [0.0], [2.0], [2.0], [2.0]]
    found = in_latents(own, true, 3)
    # Second differences 2 and 2, tripled; steps 1 four times, tripled; across: 1, and 3 + 2.
    assert (found["second_difference"], found["true_second_difference"]) == (6.0, 2.0)
    assert (found["step_inside"], found["true_step_inside"]) == (3.0, 1.0)
    assert (found["step_between"], found["true_step_between"]) == (5.0, 1.0)
    assert found["latents"] == pytest.approx((0 + 4 + 0 + 16 + 36 + 16) / 6)
    # Squares about the means: 123 / 6 - 3.5^2 and 7 / 6 - (5 / 6)^2.
    assert (found["deviation"], found["true_deviation"]) == pytest.approx((8.25**0.5, (17 / 36) ** 0.5))
    kept = {"clips": {"one": found, "two": found | {"second_difference": 4.0, "true_second_difference": 8.0}}}
    # Ratios of means over clips, not means of ratios.
    assert MEASURES["jitter"].value(kept) == pytest.approx((6 + 4) / (2 + 8))
    assert MEASURES["motion"].value(kept) == pytest.approx((8.25 * 36 / 17) ** 0.5)
    assert MEASURES["boundary"].value(kept) == pytest.approx(5 / 3)


def difference(mean: float) -> Interval:
    return Interval(mean, mean - 0.1, mean + 0.1, 5)


def test_a_claim_holds_is_open_or_is_the_other_way_round() -> None:
    less, more = (next(claim for claim in CLAIMS if claim.sign == sign) for sign in (-1, 1))
    assert claim_word(less, Comparison(difference(-1.0), 0.049)) == "**holds**"
    assert claim_word(more, Comparison(difference(-1.0), 0.001)) == "**the other way round**"
    assert claim_word(less, Comparison(difference(-1.0), 0.05)) == "open"
    assert claim_word(less, Comparison(None, None)) == "open"


def made_up(value: float) -> dict[str, Any]:
    """What is kept of a row and seed, all measures at a value."""
    names = ("response", "lag", "emotion_error", "emotion_strength", "latents", "step_inside", "second_difference",
             "step_between", "deviation", "identity")  # fmt: skip
    clip = dict.fromkeys(names, value) | {"true_deviation": 2.0, "true_second_difference": 4.0}
    return {"clips": {"clip": clip}, "frechet": value, "evaluations": 27, "weights": 1_500_000}


def results(**rows: list[float]) -> dict[str, Any]:
    named = {row.name: rows.get(row.name.replace("-", "_"), []) for row in ROWS}
    kept = {row: {str(seed): made_up(each) for seed, each in enumerate(values)} for row, values in named.items()}
    swept = made_up(0.25)
    swept["clips"]["clip"]["emotion_strength"] = None
    sweep = {"1": {"0": swept}}
    return {
        "rows": kept, "truth": {"0": made_up(1.0)}, "sweeps": {"audio": sweep, "emotion": sweep}, "sweep_clips": 6,
        "scales": {"audio": 2.0, "emotion": 1.0}, "steps": {"all": 7}, "clips": 4, "overrides": ["a.b=1"],
    }  # fmt: skip


def test_the_page_tests_the_claims_alone_and_keeps_what_was_written_by_hand(tmp_path: Path) -> None:
    given = results(paper=[1.0, 1.0, 1.1], no_velocity_loss=[2.0, 2.1, 2.1], cross_attention=[0.5, 0.6])
    text = write_float_page(given, tmp_path / "page.md").read_text()
    assert text.startswith(TITLE)
    assert "Seeds per row: **0 to 3 (not finished)**, each measured on 4 held-out clips" in text
    assert "steps: 7 of `all`" in text
    assert "(27 a window), at audio scale 2 and emotion scale 1." in text
    assert "--page docs/results/float.md a.b=1\n" in text
    assert (
        "| no-velocity-loss | squared errors of single frames alone | `teacher.stages.all.velocity_weight=0.0` | 1.50 |"
        in text
    )
    assert "| *true latents, decoded* | 1 | 1.000 |" in text
    # Jitter is a share of the truth's 4: differences 0.25, 0.275, 0.25, p of the t-test 0.00104, times four tests that
    # there are. Cross-attention's three are of -0.5 and -0.4: p 0.0704, times three.
    row = (
        "| the velocity loss makes motion smoother | no-velocity-loss | jitter, of the truth's | +0.26 ± 0.04 | 0.004 |"
    )
    assert f"{row} **holds** |" in text
    assert "| cross-attention | mouth follows sound, r | -0.450 ± 0.635 | 0.211 | open |" in text
    assert "| x0 | mouth follows sound, r | – | – | open |" in text
    # Not tested, but shown: half the step between windows is no claim of this row.
    assert "| no-velocity-loss | +1.033 ± 0.143 |" in text
    assert "The paper's row, at emotion scale 1, on 4 clips of every seed." in text
    assert "| 1 | 1 | 0.250 | 0.250 | – | 0.12 | 0.06 |" in text
    (tmp_path / "page.md").write_text(text.replace("Not written yet.", "By hand."))
    assert "By hand." in write_float_page(given, tmp_path / "page.md").read_text()


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose codec and shards are finished, and nothing else."""
    folder = tmp_path_factory.mktemp("given") / "float"
    with Run(load_recipe("tiny/float", [f"output={folder}", *SMALL]), QUIET).opened("making") as run:
        _ = run.data
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_rows_train_on_a_given_runs_latents_and_leave_it_as_it_is(
    given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(studies, "AXES", {"audio": (1.0, 2.0), "emotion": (1.0,)})
    # Expressions take most of the time; without them their values are null.
    monkeypatch.setattr(measures, "instruments", lambda clips: replace(instruments(clips), measure_expression=None))
    before, out = contents(given), tmp_path / "out"
    study = FloatStudy(1, out, 2, ("teacher.stages.all.steps=2",), given, threads=1)
    rows = [row.name for row in ROWS]
    found = run_study(study, QUIET, tmp_path / "page.md", only=rows[:2])
    assert contents(given) == before
    assert [row for row, seeds in found["rows"].items() if seeds] == rows[:2]
    assert not list(out.glob("seed-*/*/work/*/checkpoints/step-*/state*"))
    kept = read_json(out / "rows" / "paper-seed-0.json")
    # Three Euler steps of three branches: the emotion's scale is 1, but the audio's is not.
    assert [found["rows"][row]["0"]["evaluations"] for row in rows[:2]] == [9, 9]
    assert {axis: list(scales) for axis, scales in kept["sweeps"].items()} == {"audio": ["1", "2"], "emotion": ["1"]}
    usual = {key: values["response"] for key, values in kept["clips"].items()}
    for scale in (kept["sweeps"]["audio"]["2"], kept["sweeps"]["emotion"]["1"]):
        assert {key: values["response"] for key, values in scale["clips"].items()} == usual
    truth = kept["truth"]["clips"]
    assert all(
        each["latents"] == 0 and each["second_difference"] == each["true_second_difference"] for each in truth.values()
    )
    # Shards hold half precision, the truth of held-out clips does not pass through them.
    assert kept["truth"]["frechet"] < 1e-9
    assert {each["emotion_error"] for each in kept["clips"].values()} == {None}
    # Without a given run the study makes codec and shards of the same recipe in its own folder: the same values.
    small = tuple(each for each in SMALL if not each.startswith("distill"))
    own = replace(study, out=tmp_path / "own", given=None, overrides=(*small, *study.overrides))
    again = run_study(own, QUIET, tmp_path / "own.md", only=[rows[1]])
    assert (tmp_path / "own" / "base" / "vae").is_dir()
    assert again["rows"][rows[1]] == found["rows"][rows[1]]
    # A finished row is found again, another is trained beside it.
    stamp = (out / "rows" / "paper-seed-0.json").stat().st_mtime_ns
    main(["--run", str(given), "--out", str(out), "--page", str(tmp_path / "page.md"), "--clips", "2", "--seeds", "1",
          "--steps", "2", "--threads", "1", "--rows", "paper,independent-windows"])  # fmt: skip
    assert (out / "rows" / "paper-seed-0.json").stat().st_mtime_ns == stamp
    values = json.loads((tmp_path / "page.json").read_text())
    assert [row for row, seeds in values["rows"].items() if seeds] == [PAPER, "cross-attention", "independent-windows"]
    with pytest.raises(ValueError, match="rows: no row named 'adaln'; choose from paper, cross-attention"):
        run_study(study, QUIET, tmp_path / "page.md", only=["adaln"])
    with pytest.raises(ValueError, match="clips: 3 held-out clips are asked for, but there are 2"):
        run_study(replace(study, clips=3), QUIET, tmp_path / "page.md")


def test_a_run_with_another_codec_is_refused(given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = FloatStudy(1, tmp_path / "out", 2, ("teacher.stages.all.steps=1",), given, threads=1)
    own = study.made_of()
    monkeypatch.setattr(FloatStudy, "made_of", lambda self: own | {"vae": "another"})
    with pytest.raises(ValueError, match="float: its training shards were made with another codec or audio encoder"):
        run_study(study, QUIET, tmp_path / "page.md", only=[PAPER])
    (tmp_path / "out" / "made_of.json").write_text(json.dumps(own | {"clips": "others"}))
    monkeypatch.setattr(FloatStudy, "made_of", lambda self: own)
    with pytest.raises(
        FolderFault, match=r"out: its rows were trained on other clips, or with another codec, than .*float"
    ):
        run_study(study, QUIET, tmp_path / "page.md", only=[PAPER])
