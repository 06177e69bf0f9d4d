"""The report's systems in the Gaussian world: what each of them is asked, from which noise, and what comes out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gaussian_formulas import Formulas
from gaussian_model import Call, calls_of, gaussian_student, gaussian_teacher
from test_gaussian_generation import (
    PORTRAIT,
    by_ddim,
    exact,
    expected_latents,
    initial_noise,
    made,
    near,
    pipeline,
    sound,
)

from fada.data.clips.clip import Clip
from fada.eval.bench.bench import run_bench
from fada.eval.bench.systems import BenchClip, GenerationResult, System
from fada.eval.bench.undistilled import Search, Tried
from fada.generation.pipelines import FadaPipeline
from fada.recipe import load_recipe
from fada.studies.bench_setting import Setting
from fada.studies.systems import bench_clip, generator, systems, undistilled_costs
from fada.teacher.vae import new_vae

V = Formulas("v_prediction")
SCALES = (2.0, 6.5)
TOTAL = 11


def recipe(*changes: str) -> Any:
    shape = ["clip.frames=4", "clip.motion_frames=2", "clip.size=16", "audio.context=2", "bench.teacher_steps=10",
             "distill.matched=false"]  # fmt: skip
    return load_recipe("tiny/demo", [*shape, *changes])


@pytest.fixture(scope="module")
def models() -> dict[str, FadaPipeline]:
    """A teacher, a fast student that is told its scales, and a balanced one; both perfect in four windows."""
    teacher = gaussian_teacher(V)
    return {
        "teacher": pipeline(teacher, False, steps=10),
        "fast": pipeline(gaussian_student(teacher, 4, is_told=True), True),
        "balanced": pipeline(gaussian_student(teacher, 4), True),
    }


@pytest.fixture(scope="module")
def listed(models: dict[str, FadaPipeline]) -> dict[str, System]:
    students = {name: models[name] for name in ("balanced", "fast")}
    return {each.name: each for each in systems(recipe(), models["teacher"], students, SCALES)}


def clip(number: int = 0, frames: int = TOTAL) -> BenchClip:
    return BenchClip(f"clip-{number}", f"person-{number}", PORTRAIT, sound(frames))


def asked(
    system: System, models: dict[str, FadaPipeline], seed: int = 7, one: BenchClip | None = None
) -> tuple[GenerationResult, list[Call]]:
    """What a system makes, and the calls of whichever network it uses."""
    for built in models.values():
        calls_of(built).clear()
    result = system.generate(one or clip(), seed)
    (calls,) = [calls_of(built) for built in models.values() if calls_of(built)]
    return result, list(calls)


def test_the_systems_are_the_teacher_what_needs_no_training_at_the_students_costs_and_the_students(
    listed: dict[str, System],
) -> None:
    assert list(listed) == [
        "teacher-30", "teacher-6-conditional", "teacher-2x3", "teacher-6x3", "untrained-18", "untrained-6",
        "balanced-18", "fast-6",
    ]  # fmt: skip
    assert [name for name, each in listed.items() if each.is_reference] == ["teacher-30"]
    assert [name for name, each in listed.items() if each.is_candidate] == ["balanced-18", "fast-6"]
    assert {name for name, each in listed.items() if each.is_alternative} == set(list(listed)[1:6])
    assert [name for name, each in listed.items() if not each.is_timed] == [
        "teacher-6x3",
        "untrained-18",
        "untrained-6",
    ]


@pytest.mark.parametrize(
    ("name", "branches", "steps"),
    [
        ("teacher-30", [0, 1, 2], 10),
        ("teacher-6-conditional", [2], 6),
        ("teacher-2x3", [0, 1, 2], 2),
        ("teacher-6x3", [0, 1, 2], 6),
        ("untrained-18", [0, 1, 2], 6),
        ("untrained-6", [2], 6),
        ("balanced-18", [0, 1, 2], 6),
        ("fast-6", [2], 6),
    ],
)
def test_every_system_starts_at_the_same_noise_and_asks_what_its_name_says(
    name: str, branches: list[int], steps: int, listed: dict[str, System], models: dict[str, FadaPipeline]
) -> None:
    result, calls = asked(listed[name], models)
    assert len(calls) == 3 * steps
    assert {tuple(call.branches) for call in calls} == {tuple(branches)}
    assert (result.nfe, listed[name].nfe_expected, result.clips) == (steps * len(branches), steps * len(branches), 3)
    for chunk in range(3):
        assert torch.equal(calls[chunk * steps].latents[:1].float(), initial_noise(chunk))
    if "fast" in name:
        assert all(torch.equal(call.scales, torch.tensor([SCALES])) for call in calls)
    else:
        assert all(call.scales is None for call in calls)
    in_windows = [1, 0.875, 0.75, 0.625, 0.5, 0.25]
    even = [round(1000 * (steps - step) / steps) / 1000 for step in range(steps)]
    expected = even if "teacher" in name else in_windows
    assert [float(call.t[0]) for call in calls] == pytest.approx(expected * 3, abs=1e-6)


@pytest.mark.parametrize("name", ["balanced-18", "fast-6"])
def test_perfect_students_are_benched_as_the_exact_ode_at_the_teachers_scales(
    name: str, listed: dict[str, System], models: dict[str, FadaPipeline]
) -> None:
    built = models[name.split("-")[0]]
    made(built)
    result, _ = asked(listed[name], models)
    near(result.latents, expected_latents(built, result, exact(V), torch.tensor([SCALES]).double()))


def test_the_teacher_and_its_short_cuts_are_benched_at_their_scales(
    listed: dict[str, System], models: dict[str, FadaPipeline]
) -> None:
    built = models["teacher"]
    made(built)
    guided, plain = torch.tensor([SCALES]).double(), torch.ones(1, 2).double()
    for name, steps, scales in (
        ("teacher-30", 10, guided), ("teacher-2x3", 2, guided), ("teacher-6-conditional", 6, plain)
    ):  # fmt: skip
        result, _ = asked(listed[name], models)
        near(result.latents, expected_latents(built, result, by_ddim(V, steps), scales))


def test_scales_of_the_report_are_every_guided_systems_whatever_the_models_own(models: dict[str, FadaPipeline]) -> None:
    students = {name: models[name] for name in ("balanced", "fast")}
    other = {each.name: each for each in systems(recipe(), models["teacher"], students, (3.0, 5.0))}
    _, calls = asked(other["fast-6"], models)
    assert all(torch.equal(call.scales, torch.tensor([[3.0, 5.0]])) for call in calls)
    for name in ("teacher-30", "balanced-18"):
        result, _ = asked(other[name], models)
        built = models[name.split("-")[0]]
        end = by_ddim(V, 10) if built is models["teacher"] else exact(V)
        near(result.latents, expected_latents(built, result, end, torch.tensor([[3.0, 5.0]]).double()))
    assert all((each.notes["reference_scale"], each.notes["audio_scale"]) == (3.0, 5.0) for each in other.values())


def test_searched_samplers_are_asked_of_the_teacher_at_their_cost(models: dict[str, FadaPipeline]) -> None:
    tried = [Tried("ddim", "time", {"a": [1.0]}, 1.0), Tried("ddim", "noise_share", {"a": [1.0]}, 0.5)]
    students = {"fast": models["fast"]}
    found = {
        each.name: each
        for each in systems(
            recipe(), models["teacher"], students, SCALES, {"teacher-2x3": Search("guided 2 x 3", tried)}
        )
    }
    assert [name for name in found if "best" in name or "nearest" in name] == ["teacher-2x3-nearest"]
    _, plain = asked(found["teacher-2x3"], models)
    _, calls = asked(found["teacher-2x3-nearest"], models)
    assert len(calls) == len(plain) == 6
    grid = torch.arange(1, 1001).double() / 1000
    a, c = V.levels(grid)
    share = c / (a + c)
    middle = float(grid[share <= (share[0] + share[-1]) / 2].max())
    assert [float(call.t[0]) for call in calls] == pytest.approx([1.0, middle] * 3, abs=1e-6)
    assert [float(call.t[0]) for call in plain] == pytest.approx([1.0, 0.5] * 3, abs=1e-6)


def test_costs_of_undistilled_ways_are_those_of_the_students(models: dict[str, FadaPipeline]) -> None:
    both = undistilled_costs(recipe(), {name: models[name] for name in ("balanced", "fast")}, SCALES)
    told = [(cost.name, cost.evaluations, cost.setting.steps, cost.setting.guidance, cost.is_timed) for cost in both]
    assert told == [
        ("teacher-6-conditional", 6, 6, "none", True),
        ("teacher-2x3", 6, 2, "auto", True),
        ("teacher-6x3", 18, 6, "auto", False),
    ]
    fast = undistilled_costs(recipe(), {"fast": models["fast"]}, SCALES)
    assert [cost.name for cost in fast] == ["teacher-6-conditional", "teacher-2x3"]
    # Equal scales make one branch fall away: three steps of two.
    equal = undistilled_costs(recipe(), {"balanced": models["balanced"]}, (3.0, 3.0))
    assert [(cost.name, cost.evaluations) for cost in equal] == [
        ("teacher-6-conditional", 6), ("teacher-3x2", 6), ("teacher-6x2", 12)
    ]  # fmt: skip


def test_evaluations_are_counted_and_not_told(models: dict[str, FadaPipeline]) -> None:
    for scales, guidance, nfe in (((2.0, 6.5), "auto", 18), ((3.0, 3.0), "auto", 12), ((2.0, 6.5), "none", 6)):
        found = generator(models["balanced"], Setting(6, scales, ("reference", "audio"), guidance=guidance))(clip(), 7)
        assert (found.nfe, found.clips) == (nfe, 3)
        assert len(found.frames) == len(found.latents) == TOTAL


def test_in_a_benchmark_every_system_has_a_clips_own_noise_and_the_reference_goes_first(
    tmp_path: Path, models: dict[str, FadaPipeline]
) -> None:
    students = {"fast": models["fast"]}
    listed = systems(recipe(), models["teacher"], students, SCALES)
    started: list[tuple[str, np.ndarray]] = []

    def noted(system: System) -> System:
        def generate(one: BenchClip, seed: int) -> GenerationResult:
            found, calls = asked(system, models, seed, one)
            started.append((f"{system.name} {one.key}", calls[0].latents[0].float().numpy()))
            return found

        return replace(system, generate=generate)

    chosen = [noted(each) for each in reversed(listed) if each.name in ("teacher-30", "fast-6")]
    results = run_bench(chosen, [clip(0, 4), clip(1, 4)], tmp_path, seed=3, warmups=1, repeats=1)
    names = [name for name, _ in started]
    # Both clips of both systems, and a warm-up and a round of the first clip.
    assert len(names) == 8
    assert names[:4] == ["teacher-30 clip-0", "fast-6 clip-0", "teacher-30 clip-1", "fast-6 clip-1"]
    by_clip = {key: [noise for name, noise in started if name.endswith(key)] for key in ("clip-0", "clip-1")}
    for noises in by_clip.values():
        assert all(np.array_equal(noises[0], each) for each in noises)
    assert not np.allclose(by_clip["clip-0"][0], by_clip["clip-1"][0])
    # The distance to the reference is that of the latents it made from the same noise.
    rows = {(row["system"], row["clip"]): row for row in results.rows}
    teacher, fast = ({each.name: each for each in listed}[name] for name in ("teacher-30", "fast-6"))
    for key in ("clip-0", "clip-1"):
        one = clip(int(key[-1]), 4)
        latents = [asked(each, models, one.seed(3), one)[0].latents for each in (teacher, fast)]
        expected = float((latents[0] - latents[1]).square().mean())
        assert rows["fast-6", key]["metrics"]["latent_mse_reference"] == pytest.approx(expected, rel=1e-4)
        assert rows["teacher-30", key]["metrics"]["latent_mse_reference"] is None
        assert rows["fast-6", key]["seed"] == one.seed(3) != one.seed(4)


def test_the_reference_is_sampled_as_the_recipe_says(models: dict[str, FadaPipeline]) -> None:
    chosen = recipe("bench.teacher_solver=dpmpp_2m", "bench.teacher_spacing=noise_share", "bench.teacher_steps=4")
    reference = systems(chosen, models["teacher"], {"fast": models["fast"]}, SCALES)[0]
    assert (reference.name, reference.nfe_expected) == ("teacher-12", 12)
    built = models["teacher"]
    made(built)
    result, calls = asked(reference, models)
    nodes = [call.t[:1].round(decimals=3) for call in calls[:4]]
    grid = torch.arange(1, 1001).double() / 1000
    a, c = V.levels(grid)
    share = c / (a + c)
    wanted = [share[-1] + number / 4 * (share[0] - share[-1]) for number in range(4)]
    near(torch.cat(nodes), torch.stack([grid[share <= each + 1e-12].max() for each in wanted]), 1e-6)
    every = [*nodes, torch.zeros(1).double()]
    expected = expected_latents(
        built, result, lambda z, means: V.second_order_end(z, every, means), torch.tensor([SCALES]).double()
    )
    near(result.latents, expected)


def test_stored_rows_are_known_by_all_that_they_follow_from(models: dict[str, FadaPipeline]) -> None:
    teacher = models["teacher"]
    students = {"fast": models["fast"]}

    def marks(chosen: Any, scales: tuple[float, float]) -> dict[str, str]:
        return {each.name: each.fingerprint for each in systems(chosen, teacher, students, scales)}

    plain = marks(recipe(), SCALES)
    assert len(set(plain.values())) == len(plain)
    assert plain == marks(recipe(), SCALES)
    others = [marks(recipe(), (2.0, 5.0)), marks(recipe(), (3.0, 6.5))]
    assert all(other[name] != mark for other in others for name, mark in plain.items())
    # Other windows are other untrained students, and the same teacher.
    last = marks(recipe("distill.extra_steps=last"), SCALES)
    assert last["untrained-6"] != plain["untrained-6"]
    assert last["teacher-30"] == plain["teacher-30"]
    assert marks(recipe("bench.teacher_solver=dpmpp_2m"), SCALES)["teacher-30"] != plain["teacher-30"]


def test_untrained_and_teacher_at_equal_settings_have_rows_of_their_own(models: dict[str, FadaPipeline]) -> None:
    # The same weights, steps and guidance: what tells them apart is the sampler.
    balanced = {"balanced": models["balanced"]}
    found = {each.name: each for each in systems(recipe("bench.teacher_steps=6"), models["teacher"], balanced, SCALES)}
    settings = [found[name].notes["steps"] for name in ("teacher-6-conditional", "untrained-18")]
    assert settings == [6, 6]
    assert all("untrained" in each.fingerprint for name, each in found.items() if name.startswith("untrained"))
    assert not any("untrained" in each.fingerprint for name, each in found.items() if not name.startswith("untrained"))


def test_another_seed_generates_every_video_again(tmp_path: Path, models: dict[str, FadaPipeline]) -> None:
    seeds: list[int] = []
    frames = np.zeros((TOTAL, 16, 16, 3), np.uint8)

    def generate(one: BenchClip, seed: int) -> GenerationResult:
        seeds.append(seed)
        return GenerationResult(frames, torch.zeros(TOTAL, 4, 8, 8), {"denoise": 0.1}, 6)

    system = System("teacher", "", None, generate, is_reference=True)
    for seed in (3, 3, 4):
        run_bench([system], [clip()], tmp_path, seed=seed, repeats=0, warmups=0)
    assert seeds == [clip().seed(3), clip().seed(4)]


def test_a_benched_clip_is_the_beginning_of_its_own() -> None:
    frames = np.random.default_rng(1).integers(0, 255, (20, 16, 16, 3), dtype=np.uint8)
    audio = np.arange(20 * 640, dtype=np.float32)
    truth = {"aperture": list(range(20)), "colour": [1, 2, 3], "radius": 5.0}
    whole = Clip("clip-0", frames, audio, meta={"identity": "someone", "truth": truth})
    vae = new_vae((8, 16), 4).eval()
    found = bench_clip(whole, vae, seconds=0.5)
    assert (found.key, found.identity) == ("clip-0", "someone")
    assert np.array_equal(found.reference, frames[0])
    # Half a second is twelve whole frames of 40 ms.
    assert np.array_equal(found.truth_frames, frames[:12])
    assert np.array_equal(found.audio, audio[: 12 * 640])
    assert len(found.truth_latents) == 12
    assert found.drawn_truth == {"aperture": list(range(12)), "colour": [1, 2, 3], "radius": 5.0}
    assert len(truth["aperture"]) == 20
