"""The teacher's sweep: what is measured at each scale, what is kept, and which scale is best."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from fada.assembly.settings import default_steps
from fada.eval.bench.footage import Footage
from fada.eval.bench.measure import Instruments
from fada.eval.bench.systems import GenerationResult
from fada.eval.instruments.instruments import FeatureInstrument, RealInstruments, VideoInstrument
from fada.family import Family
from fada.recipe import load_recipe
from fada.studies import spare_clips, sweeps
from fada.studies.sweeps import best_audio_scale, best_reference_scale, sweep_scales

QUIET = Console(quiet=True)
UNWANTED = VideoInstrument(("niqe",), {}, lambda footage: pytest.fail("a sweep shows no NIQE"))


def lateness(footage: Footage) -> dict[str, float]:
    return {"sync_c": 1.0, "sync_d": 255 - float(footage.frames.mean()), "sync_offset": 0.0}


def colours(footage: Footage) -> np.ndarray:
    return footage.frames[:, :2, 0, 0].astype(float)


REAL = RealInstruments(
    (UNWANTED, VideoInstrument(("sync_c", "sync_d", "sync_offset"), {}, lateness)),
    (FeatureInstrument("resnet", ("fvd_r",), "frames", {}, colours),
     FeatureInstrument("inception", ("fid", "kid"), "frames", {}, reason="no weights-inception")),
)  # fmt: skip


TOOLS = Instruments(real=REAL)
TEACHER: Any = SimpleNamespace(model=None, vae=None, audio_encoder=None)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float]]:
    """A teacher whose pictures grow brighter with the audio scale; the scales that it was called with."""
    seen: list[tuple[float, float]] = []

    def generator(built: Any, setting: Any) -> Any:
        def generate(clip: Any, seed: int) -> GenerationResult:
            seen.append(setting.scales)
            frames = (clip.truth_frames // 2 + int(20 * setting.scales[-1])).astype(np.uint8)
            latents = None if clip.truth_latents is None else clip.truth_latents * setting.scales[-1]
            return GenerationResult(frames, latents, {}, 6, 1, 0.1)

        return generate

    monkeypatch.setattr(sweeps, "generator", generator)
    monkeypatch.setattr(spare_clips, "fingerprint", lambda model: "teacher")
    monkeypatch.setattr(spare_clips, "features_of", lambda vae, encoder: {"vae": "vae", "audio_encoder": "encoder"})
    return seen


def recipe(**bench: Any) -> Any:
    loaded = load_recipe("tiny/smoke")
    wanted = {
        "scales": {"reference": None, "audio": None},
        "sweep": {"reference": (1.0, 1.5), "audio": (1.0, 2.0, 3.0)},
        "sweep_clips": 2,
        **bench,
    }
    return loaded.model_copy(update={"bench": loaded.bench.model_copy(update=wanted)})


def test_on_real_footage_a_sweep_has_the_papers_metrics_and_takes_the_scale_nearest_to_the_truth(
    calls, make_clip, tmp_path: Path
) -> None:
    clips = [make_clip(index, drawn=False) for index in range(3)]
    found, scales = sweep_scales(recipe(), TEACHER, clips, TOOLS, tmp_path / "sweep.json", QUIET)
    assert scales == (1.0, 1.0)
    by_audio = found[0].lines["teacher"]
    assert {len(values) for values in by_audio["sync_d"].values()} == {2}
    assert by_audio["sync_d"][3.0] < by_audio["sync_d"][1.0]
    assert [len(values) for values in by_audio["fvd_r"].values()] == [1, 1, 1]
    assert "fid" not in by_audio
    assert found[0].caption.startswith("reference scale 1.5")
    assert found[1].caption.startswith("audio scale 1,")
    assert len(calls) == 2 * (3 + 2) - 2  # (1.5, 1) belongs to both.


def test_a_sweep_is_not_made_again_unless_instruments_change(calls, make_clip, tmp_path: Path) -> None:
    clips, store = [make_clip(index, drawn=False) for index in range(2)], tmp_path / "sweep.json"
    first = sweep_scales(recipe(), TEACHER, clips, TOOLS, store, QUIET)
    made = len(calls)
    assert sweep_scales(recipe(), TEACHER, clips, TOOLS, store, QUIET) == first
    assert len(calls) == made
    other = replace(REAL, videos=(replace(REAL.videos[1], protocol={"weights": "others"}),))
    sweep_scales(recipe(), TEACHER, clips, Instruments(real=other), store, QUIET)
    assert len(calls) == 2 * made
    assert set(json.loads(store.read_text())) == {"fingerprint", "measured"}


def test_students_that_are_told_the_scales_have_a_line_at_the_same_ones_in_their_own_steps(
    calls, make_clip, tmp_path: Path
) -> None:
    clips = [make_clip(index, drawn=False) for index in range(2)]
    parts: Any = {"vae": None, "audio_encoder": None}
    fast: Any = SimpleNamespace(model=SimpleNamespace(is_guided=True), **parts)
    balanced: Any = SimpleNamespace(model=SimpleNamespace(is_guided=False), **parts)
    given = recipe(scales={"reference": 2.0, "audio": 3.0}, sweep={"reference": (), "audio": (1.0, 2.0)})
    students = {"balanced": balanced, "fast": fast}
    (found,), scales = sweep_scales(given, TEACHER, clips, TOOLS, tmp_path / "sweep.json", QUIET, students)
    assert list(found.lines) == ["teacher", "fast"]
    assert found.lines["fast"] == found.lines["teacher"]
    assert scales == (2.0, 3.0)
    assert calls == [(2.0, 1.0), (2.0, 1.0), (2.0, 2.0), (2.0, 2.0)] * 2
    steps = default_steps(given)
    assert steps != given.bench.teacher_steps
    assert (
        found.caption == f"reference scale 2, teacher and students of {steps} steps, held-out clips outside the report"
    )
    assert all(f"steps={steps}" in key for key in json.loads((tmp_path / "sweep-fast.json").read_text())["measured"])
    again = len(calls)
    sweep_scales(given, TEACHER, clips, TOOLS, tmp_path / "sweep.json", QUIET, students)
    assert len(calls) == again


def test_branches_of_any_names_are_swept_from_the_last_to_the_first(
    calls, make_clip, tmp_path: Path, dancer: Family
) -> None:
    """Latents are the truth times the last scale: 1 is nearest; of the others every scale is as good: the first is."""
    text = "name: a\noutput: runs/a\ndata: {train_shards: a, test_shards: b}\nteacher: {kind: dancer, path: c}\n"
    (tmp_path / "a.yaml").write_text(text)
    given = ["bench.scales={tempo: null, mood: null}", "bench.sweep={tempo: [1.5, 2, 3], mood: [2, 1, 4]}"]
    loaded = load_recipe(tmp_path / "a.yaml", given)
    clips = [make_clip(0, drawn=False)]
    found, scales = sweep_scales(loaded, TEACHER, clips, TOOLS, tmp_path / "sweep.json", QUIET)
    assert scales == (1.5, 1.0)
    assert [each.name for each in found] == ["mood-scale", "tempo-scale"]
    assert [each.label for each in found] == ["mood scale", "tempo scale"]
    # Tempo is in the middle of its sweep as long as it is not known; (2, 1) belongs to both.
    assert calls == [(2.0, 2.0), (2.0, 1.0), (2.0, 4.0), (1.5, 1.0), (3.0, 1.0)]
    assert found[0].caption.startswith("tempo scale 2, teacher")
    assert found[1].caption.startswith("mood scale 1, teacher")


def test_a_scale_that_is_given_is_swept_for_the_plot_and_kept(calls, make_clip, tmp_path: Path) -> None:
    given = recipe(scales={"reference": 2.0, "audio": 3.0}, sweep={"reference": (), "audio": (1.0, 2.0)})
    clips = [make_clip(0, drawn=False)]
    found, scales = sweep_scales(given, TEACHER, clips, TOOLS, tmp_path / "sweep.json", QUIET)
    assert (scales, [each.name for each in found]) == ((2.0, 3.0), ["audio-scale"])
    assert calls == [(2.0, 1.0), (2.0, 2.0)]


def test_scales_that_a_recipe_gives_need_no_sweep(calls, tmp_path: Path) -> None:
    given = recipe(scales={"reference": 2.0, "audio": 6.5}, sweep={"reference": (), "audio": ()})
    assert sweep_scales(given, TEACHER, [], TOOLS, tmp_path / "sweep.json", QUIET) == (
        [],
        (2.0, 6.5),
    )  # type: ignore[arg-type]
    assert calls == []


def test_a_sweep_without_spare_clips_is_refused(calls, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a sweep needs held-out clips beside those of the report"):
        sweep_scales(recipe(), TEACHER, [], TOOLS, tmp_path / "sweep.json", QUIET)


def point(mouth: float, identity: float) -> dict[str, list[float]]:
    return {"mouth_correlation_synth": [mouth], "identity_error_synth": [identity], "latent_mse_truth": [1.0]}


def test_best_audio_scale_is_the_best_mouth_among_the_faithful_faces() -> None:
    measured = {1.0: point(0.8, 1.0), 2.0: point(0.9, 1.04), 4.0: point(0.95, 1.2)}
    assert best_audio_scale(measured) == 2.0


def test_best_reference_scale_is_the_most_faithful_face() -> None:
    assert best_reference_scale({1.0: point(0.9, 1.1), 1.5: point(0.8, 1.0), 2.0: point(0.7, 1.2)}) == 1.5


@pytest.mark.parametrize("best", [best_audio_scale, best_reference_scale])
def test_without_mouths_the_best_scale_is_nearest_to_the_truth(best) -> None:
    assert best({1.0: {"latent_mse_truth": [0.3]}, 2.0: {"latent_mse_truth": [0.2]}}) == 2.0
