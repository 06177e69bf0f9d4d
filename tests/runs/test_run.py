"""The whole main job, small: drawn world, VAE, teacher, both students, report; killed, resumed, exported, used."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from fada import jobs
from fada.assembly.models import pipeline, untrained
from fada.assembly.settings import default_scales
from fada.cli.app import run as fada
from fada.export.opening import find_model, find_teacher, load_pipeline
from fada.export.run_export import ExportError, export_run
from fada.media.video import read_video
from fada.recipe import load_recipe
from fada.recipe.errors import RecipeError
from fada.run.data import fingerprint
from fada.run.training_run import Run, Shared
from fada.student.copies import student_of
from fada.studies.dry_run import state_bytes

QUIET = Console(quiet=True)


def test_a_run_leaves_recipe_models_and_report(finished: Path) -> None:
    expected = ["recipe.yaml", "environment.json", "vae/config.json", "teacher/model_index.json",
                "students/balanced/model_index.json", "students/fast/model_index.json",
                "report/report.md", "report/results.json", "report/index.html"]  # fmt: skip
    assert [name for name in expected if not (finished / name).is_file()] == []


def test_the_report_counts_the_evaluations_of_every_system(finished: Path) -> None:
    rows = json.loads((finished / "report" / "results.json").read_text())["rows"]
    counted = {row["system"]: row["nfe"] for row in rows if row.get("nfe")}
    by_kind = {name: nfe for name, nfe in counted.items() if not name.startswith("control")}
    assert by_kind["fast-6"] == 6
    assert by_kind["balanced-18"] == 18
    assert by_kind["teacher-6-conditional"] == 6
    assert by_kind["teacher-2x3"] == 6
    assert by_kind["teacher-6x3"] == by_kind["untrained-18"] == 18
    assert by_kind["untrained-6"] == 6


def test_the_report_says_whether_there_was_anything_to_win(finished: Path) -> None:
    text = (finished / "report" / "report.md").read_text()
    # One clip: nothing can be shown.
    assert "| fast-6 | untrained-6 | 6 |" in text
    assert "| no headroom: this comparison shows nothing |" in text
    assert "## Students against the best without training" in text


def test_nodes_are_searched_on_clips_that_are_not_in_the_report(finished: Path) -> None:
    text = (finished / "report" / "report.md").read_text()
    found = re.search(r"On (\d+) spare held-out clips \(([^)]*)\), none of the report's", text)
    assert found is not None
    measured = json.loads((finished / "report" / "results.json").read_text())["protocol"]["clips"]
    assert found[1] == "1"
    assert found[2] not in measured
    assert "| teacher-6x3: guided, 6 x 3 | dpmpp_2m | noise_share |" in text


def test_an_untrained_student_is_the_teacher_in_the_students_windows(smoke, finished: Path) -> None:
    teacher, recipe = load_pipeline(finished, "teacher"), smoke(finished)
    copied = pipeline(
        recipe, student_of(teacher.model, "none", 1), teacher.vae, teacher.audio_encoder,
        steps=6, scales=(2.5, 6.5), is_student=True,
    )  # fmt: skip
    image, audio = np.full((32, 32, 3), 90, np.uint8), np.random.default_rng(0).normal(0, 0.1, 3200).astype(np.float32)
    for guidance in ("ladder", "none"):
        made, expected = (
            each(image, audio, steps=6, guidance=guidance, decode=False).latents
            for each in (untrained(recipe, teacher), copied)
        )  # fmt: skip
        # Equal weights elsewhere in memory: on some processors products then differ in their last bits.
        torch.testing.assert_close(made, expected, atol=1e-5, rtol=1e-4)
        other = teacher(image, audio, steps=6, guidance=guidance, decode=False).latents
        assert not torch.allclose(made, other, atol=1e-3)


def test_checkpoints_know_the_student_that_a_phase_started_from(finished: Path) -> None:
    def facts(phase: str) -> dict:
        (manifest, *_) = (finished / "work" / phase / "checkpoints").glob("step-*/manifest.json")
        return json.loads(manifest.read_text())["facts"]

    assert facts("fast")["start"] == fingerprint(load_pipeline(finished, "balanced").model)
    assert "start" not in facts("balanced")


def test_a_phase_starts_from_the_student_that_other_runs_made(smoke, finished: Path, tmp_path: Path) -> None:
    recipe, balanced = smoke(tmp_path / "run"), finished / "students" / "balanced"
    first, fast = recipe.distill.phases
    shared = Shared(None, finished / "teacher", tmp_path / "targets", {first.name: balanced})  # type: ignore[arg-type]
    run = Run(recipe, QUIET, shared)
    assert run.student(first, shared.teacher) == balanced
    student, given = run.new_student(fast, shared.teacher), load_pipeline(balanced).model
    own, theirs = student.denoising_unet.state_dict(), given.denoising_unet.state_dict()
    assert all(torch.equal(own[name], value) for name, value in theirs.items())
    assert not (tmp_path / "run").exists()


def test_the_same_command_again_trains_nothing(smoke, finished: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*.safetensors")}
    jobs.distill(smoke(finished), QUIET)
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*.safetensors")} == before


def test_another_recipe_in_the_same_folder_is_refused(smoke, finished: Path) -> None:
    with pytest.raises(RecipeError, match=r"holds a run of another recipe \(clip.frames was .*give another folder"):
        jobs.distill(smoke(finished, "clip.frames=2"), QUIET)


def test_settings_that_do_not_change_what_is_learned_may_change(smoke, finished: Path) -> None:
    jobs.distill(smoke(finished, "engine.log_every=1", "bench.clips=1"), QUIET)


def test_untrained_and_loaded_student_give_the_same_video_at_the_same_seed(finished: Path) -> None:
    image, audio = np.full((40, 30, 3), 90, np.uint8), np.zeros(8000, np.float32)
    first, second = (load_pipeline(finished)(image, audio, seed=3) for _ in range(2))
    assert torch.equal(first.latents, second.latents)
    assert not torch.equal(first.latents, load_pipeline(finished)(image, audio, seed=4).latents)


def test_video_is_as_long_as_the_audio_and_of_the_models_size(finished: Path) -> None:
    made = load_pipeline(finished)(np.zeros((50, 50, 3), np.uint8), np.zeros(16000, np.float32))
    assert made.frames.shape == (25, 32, 32, 3)
    assert set(made.stage_seconds) == {"audio", "reference", "denoise", "decode"}


def test_audio_shorter_than_a_frame_is_refused(finished: Path) -> None:
    with pytest.raises(ValueError, match="shorter than one frame"):
        load_pipeline(finished)(np.zeros((50, 50, 3), np.uint8), np.zeros(100, np.float32))


def test_embedded_guidance_of_a_model_without_it_is_refused(finished: Path) -> None:
    with pytest.raises(ValueError, match="this model was not taught its scales"):
        load_pipeline(finished, "teacher")(
            np.zeros((32, 32, 3), np.uint8), np.zeros(8000, np.float32), guidance="embedded"
        )


def test_missing_model_names_what_is_there(finished: Path) -> None:
    with pytest.raises(ValueError, match="no model named 'slow'; choose from teacher, balanced, fast"):
        find_model(finished, "slow")


def test_the_teacher_of_a_run_is_never_one_of_its_students(finished: Path) -> None:
    assert find_teacher(finished) == find_teacher(finished / "teacher") == finished / "teacher"


def test_an_exported_folder_generates_a_video_with_sound(finished: Path, tmp_path: Path) -> None:
    out = export_run(finished, tmp_path / "model")
    assert "evaluations of the denoising net per clip: 6" in (out / "README.md").read_text()
    sound = next((finished / "data" / "clips").glob("test-*.wav"))
    portrait, video = tmp_path / "portrait.png", tmp_path / "out.mp4"
    Image.new("RGB", (64, 64), (180, 120, 90)).save(portrait)
    paths = ["--model", str(out), "--image", str(portrait), "--audio", str(sound), "--out", str(video)]
    assert fada(["generate", *paths, "--seconds", "0.2"]) == 0
    assert len(read_video(video)) == 5


def test_export_into_a_full_folder_is_refused(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match="is not empty"):
        export_run(finished, tmp_path)


def test_a_first_run_that_is_killed_while_its_teacher_is_trained_equals_the_unbroken_one(
    smoke, finished: Path, equal_runs, tmp_path: Path
) -> None:
    killed = tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, "-m", "fada", "distill", "tiny/smoke", f"output={killed}", "engine.threads=1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    checkpoint = killed / "work" / "teacher-images" / "checkpoints" / "step-00000002"
    deadline = time.monotonic() + 240
    while not checkpoint.is_dir() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert checkpoint.is_dir()
    assert not (killed / "teacher").exists()
    jobs.distill(smoke(killed), QUIET)
    equal_runs(killed, finished)


def test_default_scales_are_the_reports_or_the_middle_of_what_the_student_learned() -> None:
    assert default_scales(load_recipe("tiny/full")) == (1.5, 2.0)
    assert default_scales(load_recipe("tiny/full", ["bench.scales.audio=3.5"])) == (1.5, 3.5)


def test_dry_run_prices_cached_windows_once_and_a_student_without_the_teacher() -> None:
    cached = ["distill.phases.fast.targets=cached", "distill.phases.fast.cached_samples=6"]
    online, offline = (jobs.dry_run(load_recipe("tiny/smoke", own)).costs[-1] for own in ([], cached))
    # 3 steps of 2 samples, 2 solver steps of 3 branches each; six cached windows are eight, two of each of the four.
    assert (online.passes.teacher, offline.passes.teacher) == (6, 6 * 8 / 6)
    assert offline.gibibytes < online.gibibytes
    many = jobs.dry_run(load_recipe("tiny/smoke", [*cached, "distill.phases.fast.steps=30"])).costs[-1]
    assert many.passes.teacher == pytest.approx(0.8)


def test_dry_run_prices_the_paper_scale_recipe() -> None:
    priced = jobs.dry_run(load_recipe("sd15/fast"))
    assert any("evaluations per clip: teacher 75" in line for line in priced.lines)
    fast = priced.costs[-1]
    # 65,536 windows of three branches and four steps for 640,000 samples.
    assert fast.passes.teacher == pytest.approx(12 * 65536 / 640000)
    # Two points, forward and backward; of the forward pass the levels at full resolution are computed again.
    assert fast.passes.student == pytest.approx(2 * 3.4, abs=0.05)
    assert fast.gibibytes < 40
    line = next(line for line in priced.lines if line.startswith("fast: 1.23 teacher and 6."))
    assert re.search(r"the public way 24 and 6\.\d+: 3\.\d\d times the operations", line)


@pytest.mark.parametrize(
    ("strategy", "processes", "expected"),
    [("ddp", 8, 20), ("zero1", 8, 6 + 2), ("zero2", 8, 2 + 20 / 8), ("zero3", 8, 22 / 8), ("zero3", 1, 22)],
)
def test_state_per_weight_falls_with_what_is_divided(strategy: str, processes: int, expected: float) -> None:
    engine = load_recipe("sd15/fast", [f"engine.strategy={strategy}"]).engine
    assert state_bytes(engine, processes) == pytest.approx(expected)


def test_recomputed_activations_are_not_kept_but_paid_again() -> None:
    # A small network of SD's shape: all levels, little width, half the blocks.
    small = [
        "clip.size=128",
        "teacher.network.layers_per_block=1",
        "teacher.network.channels=[32,64,128,128]",
        "teacher.network.norm_groups=8",
    ]
    kept, some, every = (
        jobs.dry_run(load_recipe("sd15/fast", [*small, f"engine.activation_checkpointing={flag}"])).costs[-1]
        for flag in ("false", "full_resolution", "true")
    )
    assert every.gibibytes < some.gibibytes < kept.gibibytes
    assert kept.passes.student == 6
    # Everything but the first and last convolutions and the time embedding.
    assert every.passes.student == pytest.approx(8, abs=0.4)
    assert 6.4 < some.passes.student < 7.2
    assert every.tera_flop > some.tera_flop > kept.tera_flop
