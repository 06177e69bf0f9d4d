"""A benchmark of real footage with stand-ins for its instruments: rows, controls, distances, protocol, resuming."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fada.eval.bench.bench import run_bench
from fada.eval.bench.controls import BLURRED, FROZEN, SHUFFLED, TRUTH, blurred, measure_controls, other_sound
from fada.eval.bench.footage import Footage
from fada.eval.bench.measure import Instruments
from fada.eval.bench.results import BenchResults
from fada.eval.comparison.verdicts import instrument_checks
from fada.eval.instruments.instruments import FeatureInstrument, RealInstruments, VideoInstrument
from fada.eval.report.tables import all_tables


def coarseness(footage: Footage) -> dict[str, float]:
    """Grows as the picture loses detail, as NIQE does."""
    return {"niqe": 100 - float(np.abs(np.diff(footage.frames.astype(float), axis=1)).mean())}


def togetherness(footage: Footage) -> dict[str, float]:
    """Large where the sound begins with the picture's own level, as a clip's own sound does here."""
    return {"lip_sound_confidence": 10 - abs(float(footage.audio[0]) * 1000 - footage.reference.mean())}


def corners(footage: Footage) -> np.ndarray:
    return footage.frames[:, :2, 0, 0].astype(float)


REAL = RealInstruments(
    videos=(
        VideoInstrument(("niqe",), {"weights": {"a.npz": "00"}}, coarseness),
        VideoInstrument(("lip_sound_confidence",), {"weights": {}}, togetherness, hears=True),
        VideoInstrument(("iqa",), {}, reason="no one-align/"),
    ),
    features=(
        FeatureInstrument("blendshapes", ("efid_blendshape",), "frames", {"weights": {}}, corners),
        FeatureInstrument("inception", ("fid", "kid"), "frames", {}, reason="no weights-inception"),
    ),
)


@pytest.fixture(scope="module")
def tools() -> Instruments:
    return Instruments(real=REAL)


@pytest.fixture(scope="module")
def clips(make_clip) -> list[Any]:
    """Real clips whose sound begins with the level of their own picture."""
    made = [make_clip(index, drawn=False) for index in range(3)]
    levels = [clip.reference.mean() / 1000 for clip in made]
    return [replace(clip, audio=clip.audio * 0 + level) for clip, level in zip(made, levels, strict=True)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the benchmark lies; do not write into it."""
    return tmp_path_factory.mktemp("real")


@pytest.fixture(scope="module")
def real_results(clips, make_systems, tools: Instruments, folder: Path) -> BenchResults:
    return run_bench(make_systems()[:2], clips, folder, repeats=0, instruments=tools)


@pytest.fixture
def copied(real_results: BenchResults, folder: Path, tmp_path: Path) -> Path:
    """The benchmark's folder, to go on in."""
    return shutil.copytree(folder, tmp_path / "copied")


def test_controls_of_real_footage_are_truth_another_sound_a_still_and_a_blurred_picture(
    clips, tools: Instruments
) -> None:
    controls = measure_controls(clips[0], clips, tools, None)
    assert list(controls) == [TRUTH, SHUFFLED, FROZEN, BLURRED]
    assert list(controls[SHUFFLED].values) == ["lip_sound_confidence"]
    assert controls[SHUFFLED].values["lip_sound_confidence"] < controls[TRUTH].values["lip_sound_confidence"]
    assert controls[BLURRED].values["niqe"] > controls[TRUTH].values["niqe"]


def test_real_clips_are_paired_with_another_real_sound_only(make_clip, clips) -> None:
    twin = replace(clips[0], key="twin")
    assert other_sound(clips[0], [clips[0], make_clip(1), twin, clips[2]]) is clips[2]
    assert other_sound(clips[0], [clips[0], make_clip(1), twin]) is None


def test_another_clips_shorter_sound_cuts_the_video(clips, tools: Instruments) -> None:
    seen = []

    def spy(footage: Footage) -> dict[str, float]:
        seen.append((len(footage.frames), len(footage.audio)))
        return {"lip_sound_confidence": 1.0}

    ears = Instruments(real=RealInstruments((VideoInstrument(("lip_sound_confidence",), {}, spy, hears=True),), ()))
    short = replace(clips[1], audio=clips[1].audio[: 640 * 10])
    measure_controls(clips[0], [clips[0], short], ears, None)
    assert (10, 6400) in seen


def test_blur_keeps_the_mean_and_takes_detail() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    soft = blurred(frames)
    assert soft.dtype == np.uint8
    assert soft.mean() == pytest.approx(frames.mean(), abs=1)
    assert soft.std() < 0.5 * frames.std()


def test_rows_hold_values_reasons_and_distances_of_systems_and_controls(real_results: BenchResults) -> None:
    row = real_results.rows_of("teacher-75")[0]
    assert row["metrics"]["niqe"] > 0
    assert row["reasons"]["iqa"] == "no one-align/"
    distances = {(one["system"], one["metric"]): one for one in real_results.set_metrics}
    assert distances["control-truth", "efid_blendshape"]["value"] == pytest.approx(0.0, abs=1e-6)
    assert distances["control-frozen-mouth", "efid_blendshape"]["value"] >= 0
    assert distances["teacher-75", "efid_blendshape"]["unit"] == "frames"
    assert distances["teacher-75", "fid"]["reason"] == "no weights-inception"
    assert not [key for key in distances if key[0] == SHUFFLED]


def test_every_value_has_a_protocol_that_changes_with_weights_and_clips(
    real_results: BenchResults, clips, make_systems, tmp_path: Path
) -> None:
    metrics = real_results.protocol["metrics"]
    assert set(metrics) == {"niqe", "lip_sound_confidence", "efid_blendshape"}
    other = VideoInstrument(("niqe",), {"weights": {"a.npz": "99"}}, coarseness)
    changed = Instruments(real=replace(REAL, videos=(other,)))
    again = run_bench(make_systems()[:1], clips[:2], tmp_path / "again", repeats=0, instruments=changed)
    assert again.protocol["metrics"]["niqe"]["fingerprint"] != metrics["niqe"]["fingerprint"]
    assert again.protocol["metrics"]["efid_blendshape"]["fingerprint"] != metrics["efid_blendshape"]["fingerprint"]


def test_the_same_call_again_measures_nothing_and_finds_the_same(
    real_results: BenchResults, clips, make_systems, tools: Instruments, copied: Path
) -> None:
    def refuse(clip: Any, seed: int) -> Any:
        raise AssertionError("generated again")

    stored = [replace(system, generate=refuse) for system in make_systems()[:2]]
    again = run_bench(stored, clips, copied, repeats=0, instruments=tools)
    assert again.set_metrics == real_results.set_metrics
    assert again.rows == real_results.rows


def test_other_weights_measure_again(clips, make_systems, copied: Path) -> None:
    other = VideoInstrument(("niqe",), {"weights": {"a.npz": "99"}}, lambda footage: {"niqe": 1.0})
    changed = Instruments(real=replace(REAL, videos=(other,)))
    again = run_bench(make_systems()[:2], clips, copied, repeats=0, instruments=changed)
    assert again.rows_of("teacher-75")[0]["metrics"]["niqe"] == 1.0


def test_checks_say_whether_truth_is_better_than_its_controls(real_results: BenchResults) -> None:
    checks = {check.goal: check for check in instrument_checks(real_results)}
    niqe = checks["NIQE: the true video's margin over control-blurred"]
    assert niqe.is_reached
    assert "better in 3 of 3 clips" in niqe.detail
    assert checks["lip-sound confidence: the true video's margin over control-shuffled-audio"].is_reached


def test_a_control_that_scores_better_than_the_truth_fails_its_check(real_results: BenchResults) -> None:
    rows = [
        {**row, "metrics": {**row["metrics"], "niqe": 0.0}} if row["system"] == BLURRED else row
        for row in real_results.rows
    ]
    checks = {check.goal: check for check in instrument_checks(replace(real_results, rows=rows))}
    assert checks["NIQE: the true video's margin over control-blurred"].is_reached is False


def test_the_drawn_world_is_not_looked_at_by_them(make_clip, make_systems, tmp_path: Path) -> None:
    def refuse(footage: Footage) -> dict[str, float]:
        raise AssertionError("looked at a drawn clip")

    eyes = Instruments(real=RealInstruments((VideoInstrument(("niqe",), {}, refuse),), ()))
    results = run_bench(make_systems()[:1], [make_clip(0)], tmp_path, repeats=0, instruments=eyes)
    assert "niqe" not in results.rows[0]["metrics"]
    assert not [row for row in results.set_metrics if row["metric"] == "efid_blendshape"]


def test_the_report_shows_values_nulls_with_reasons_controls_and_protocols(real_results: BenchResults) -> None:
    report = "\n".join(table.markdown() for table in all_tables(real_results).values())
    for words in (
        "NIQE",
        "lip-sound confidence",
        "control-blurred",
        "no one-align/",
        "no weights-inception",
        "a.npz 00",
    ):
        assert words in report
