"""The study of conditional dropout: its rows, what is measured of a model, its page, and going on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from fada.data.world import make_clip, measure_aperture
from fada.data.world.keypoints import keypoints_of_truth
from fada.eval.bench.measure import heard_aperture
from fada.eval.bench.systems import BenchClip
from fada.eval.metrics import mouth
from fada.files.errors import FolderFault
from fada.recipe.sections.teacher import FrameDrop
from fada.studies.dropout import study as studies
from fada.studies.dropout.page import MEASURES, write_dropout_page
from fada.studies.dropout.study import Study, main, measured
from fada.studies.teachers import study as teachers
from fada.studies.teachers.study import TeacherStudy, run_study
from fada.terminal import SafeConsole

FRAMES = 12
PAGE = Path(__file__).parents[2] / "docs" / "results" / "v-express.md"


def test_rows_are_rates_of_both_conditions_in_the_later_stages_and_one_stage_on_as_many_frames() -> None:
    study = Study(2, Path("out"))
    assert study.rows == ("0", "0.1", "0.3", "0.5", "one stage")
    for row in study.rows[:4]:
        recipe = study.recipe(row, 1)
        frames, *later = recipe.teacher.stages
        assert (recipe.seed, frames.frame_drop) == (1, FrameDrop())
        assert {stage.frame_drop for stage in later} == {FrameDrop(reference=float(row), keypoints=float(row))}
        assert [stage.steps for stage in recipe.teacher.stages] == [800, 500, 400]
    recipe = study.recipe("one stage", 1)
    (only,) = recipe.teacher.stages
    # 800 steps of 16 single frames, 900 of 4 x 8: as many frames as 1300 of 4 x 8.
    assert (only.steps, only.batch, only.frames, only.lr, only.frame_drop) == (1300, 4, None, 2e-3, FrameDrop())
    assert set(only.trains) == {"reference", "keypoints", "spatial", "audio", "temporal"}


def drawn(index: int) -> BenchClip:
    clip = make_clip(0, index, split="test", frames=FRAMES)
    return BenchClip(
        clip.key, clip.key, clip.frames[0], clip.audio, keypoints=keypoints_of_truth(clip.meta),
        truth_frames=clip.frames, truth_latents=torch.tensor([float(index)]), meta=dict(clip.meta),
    )  # fmt: skip


def test_a_perfect_model_follows_its_own_sound_and_no_other_and_is_asked_with_still_and_true_keypoints(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clips, asked = [drawn(0), drawn(1)], []
    by_portrait = {clip.reference.tobytes(): clip for clip in clips}

    def answer(image: np.ndarray, sound: np.ndarray, **options: Any) -> Any:
        asked.append((sound, options))
        return SimpleNamespace(frames=by_portrait[image.tobytes()].truth_frames)

    answer.vae = None  # type: ignore[attr-defined]
    monkeypatch.setattr(studies, "decode_latents", lambda vae, latents: clips[int(latents)].truth_frames)
    found = measured(answer, clips)  # type: ignore[arg-type]
    first, second = clips
    own = np.asarray(measure_aperture(first.truth_frames, first.drawn_truth), dtype=np.float64)
    assert found[first.key]["response"] == found[first.key]["autoencoder"]
    assert found[first.key]["response"] == pytest.approx(mouth.correlation(own, heard_aperture(first.drawn_truth)))
    assert found[first.key]["response"] > 0.9
    assert found[first.key]["foreign"] == pytest.approx(mouth.correlation(own, heard_aperture(second.drawn_truth)))
    assert found[first.key]["identity"] == 0.0
    (true, options), (still, held), (foreign, _) = asked[:3]
    assert true is still is first.audio
    assert foreign is second.audio
    assert options["keypoints"].points.shape == (FRAMES, 5, 2)
    assert torch.equal(held["keypoints"].points, first.keypoints.points[0])
    assert {each["guidance"] for _, each in asked} == {"none"}


def results(**rows: list[tuple[float, float, float]]) -> dict[str, Any]:
    """Made-up values (response, still, foreign) of rows, one clip of each seed."""
    names = {"base": "0", "some": "0.1", "one": "one stage"}
    made = {
        names[name]: {
            str(seed): {"clip": {"response": r, "still": s, "foreign": f, "autoencoder": 0.9, "identity": 10.0}}
            for seed, (r, s, f) in enumerate(values)
        }
        for name, values in rows.items()
    }
    return {"rows": made, "steps": {"frames": 1}, "clips": 1, "overrides": []}


BASE = [(0.8, 0.4, 0.1), (0.8, 0.2, 0.1), (0.5, 0.2, 0.1)]
SOME = [(0.8, 0.6, 0.3), (0.8, 0.41, 0.29), (0.5, 0.4, 0.31)]


def test_the_share_that_survives_is_that_of_the_means_and_none_of_a_mouth_that_does_not_answer() -> None:
    found = results(base=[*BASE, (-0.1, 0.3, 0.0)])
    assert MEASURES["share"].by_seed(found["rows"]["0"]) == pytest.approx({"0": 0.5, "1": 0.25, "2": 0.4})
    assert MEASURES["still"].by_seed(found["rows"]["0"])["3"] == 0.3


def test_the_page_that_lies_in_the_repository_is_what_its_values_say(tmp_path: Path) -> None:
    page = Path(shutil.copy(PAGE, tmp_path))
    values = Path(shutil.copy(PAGE.with_suffix(".json"), tmp_path))
    before = page.read_text(), values.read_text()
    write_dropout_page(json.loads(before[1]), page)
    assert (page.read_text(), values.read_text()) == before


def test_the_page_says_how_many_seeds_and_which_differences_are_open(tmp_path: Path) -> None:
    page = write_dropout_page(results(base=BASE, some=SOME, one=BASE), tmp_path / "page.md")
    text = page.read_text()
    assert "Seeds per row: **3**" in text
    assert "| 0 | 3 | 0.70 ± 0.43 | 0.27 ± 0.29 |" in text
    # 0.2, 0.21, 0.2: p of the t-test 0.00027, times three tests; of equal rows nothing can be tested.
    assert "+0.20 ± 0.01: more, p 0.001" in text
    assert "| one stage | +0.00 ± 0.00: open |" in text
    assert "Not written yet." in text
    page.write_text(text.replace("Not written yet.", "By hand."))
    write_dropout_page(results(base=BASE, some=SOME[:2]), page)
    again = page.read_text()
    assert "By hand." in again
    assert "Seeds per row: **2 to 3 (not finished)**" in again


def test_a_file_that_is_no_page_of_the_study_stays(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("mine")
    with pytest.raises(FolderFault, match=r"page\.md: is there, and no page of ablations; give another name"):
        write_dropout_page(results(base=BASE), tmp_path / "page.md")
    assert (tmp_path / "page.md").read_text() == "mine"


def test_a_study_goes_on_where_it_was_broken_off_and_its_rows_share_the_first_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[str] = []
    monkeypatch.setattr(teachers, "_make_shared", lambda study: None)

    def row(study: TeacherStudy, work: tuple[str, int]) -> tuple[str, int]:
        name, seed = work
        trained.append(f"{name}-{seed}")
        if len(trained) == 3:
            raise KeyboardInterrupt
        mark = teachers._mark(study, name, seed)
        values = next(iter(results(base=BASE)["rows"]["0"].values()))
        teachers.write_json(teachers._file(study, name, seed), {"mark": mark, "clips": values})
        return work

    monkeypatch.setattr(teachers, "_run_row", row)
    study = Study(1, tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        run_study(study, SafeConsole(quiet=True), tmp_path / "page.md")
    run_study(study, SafeConsole(quiet=True), tmp_path / "page.md")
    assert trained == ["0-0", "one stage-0", "0.1-0", "0.1-0", "0.3-0", "0.5-0"]
    main(["--seeds", "1", "--so-far", "--out", str(tmp_path / "out"), "--page", str(tmp_path / "page.md")])
    assert len(trained) == 6
    # Other steps are another study: nothing of it is there.
    other = Study(1, tmp_path / "out", overrides=("teacher.stages.sound.steps=3",))
    assert not run_study(other, SafeConsole(quiet=True), tmp_path / "page.md", trains=False)["rows"]["0"]


def test_trainings_side_by_side_wait_for_the_first_stage_that_they_share(tmp_path: Path) -> None:
    found = list(teachers._groups(Study(3, tmp_path), 2))
    assert found[0] == [("0", 0), ("one stage", 0), ("0", 1), ("one stage", 1)]
    assert found[1] == [(rate, seed) for seed in (0, 1) for rate in ("0.1", "0.3", "0.5")]
    assert found[2] == [("0", 2), ("one stage", 2)]
    assert len(found) == 4
