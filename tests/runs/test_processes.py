"""`fada distill` with processes of its own: the same students; killed, stopped, replayed, exported from shards."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from fada import jobs
from fada.export.opening import load_pipeline
from fada.export.run_export import export_run

QUIET = Console(quiet=True)


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(str(run / "students" / "fast" / "denoising_unet" / "diffusion_pytorch_model.safetensors"))


def command(folder: Path, *overrides: str) -> list[str]:
    return [sys.executable, "-m", "fada", "distill", "tiny/smoke", f"output={folder}", *overrides]


TRAIN = """
import sys
from rich.console import Console
from fada import jobs
from fada.recipe import load_recipe
jobs.distill(load_recipe("tiny/smoke", sys.argv[1:]), Console(quiet=True))
"""
"""`fada distill` without its report."""


@pytest.fixture(scope="module")
def settings(finished: Path) -> list[str]:
    """Longer than the smoke recipe, from its teacher, in samples per step that two processes can share."""
    return [
        f"teacher.path={finished / 'teacher'}",
        f"vae.path={finished / 'vae'}",
        # A step of two processes takes seconds: they gather every layer of a divided teacher, at every evaluation.
        "distill.phases.balanced.steps=1",
        "distill.phases.balanced.solver.steps=1",
        "distill.phases.fast.steps=6",
        "distill.phases.fast.solver.steps=1",
        "engine.checkpoint_every=2",
        "engine.preview_every=0",
    ]


@pytest.fixture(scope="module")
def alone(smoke, settings: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same training in one plain process."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    jobs.distill(smoke(folder, *settings), QUIET)
    return folder


HALVES = ["distill.phases.balanced.batch=1", "distill.phases.fast.batch=1"]
TWO = ["engine.processes=2", "engine.strategy=zero2", "engine.shard_teacher=true", *HALVES]


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 200
    while not path.exists() and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[0][-4000:]
        time.sleep(0.005)
    assert path.exists()


def test_two_processes_with_zero2_train_the_tiny_recipe_stop_when_asked_and_one_goes_on(
    smoke, settings: list[str], alone: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    checkpoints = folder / "work" / "fast" / "checkpoints"

    process = subprocess.Popen(
        command(folder, *settings, *TWO), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    wait_for(checkpoints / "step-00000002", process)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=200)
    assert (process.returncode, "the same command resumes" in said) in ((130, True), (0, False)), said[-3000:]

    # Half way, without a finished student: the newest checkpoint's average becomes a model.
    half = tmp_path / "half"
    export_run(folder, half, built=jobs.from_checkpoint(folder, "fast", None, QUIET))
    assert load_pipeline(half).guidance_layers.config.mode == "tokens"

    jobs.distill(smoke(folder, *settings), QUIET)
    torch.testing.assert_close(weights(folder), weights(alone), rtol=1e-3, atol=1e-5)


def test_zero2_trains_in_bf16_weights(settings: list[str], tmp_path: Path) -> None:
    # Under DeepSpeed the weights themselves are bf16: nothing casts inputs to them but the network. DeepSpeed makes its
    # process one of a group, so it is not this one.
    own = [*settings, "engine.strategy=zero2", "engine.precision=bf16", "distill.phases.fast.steps=3"]
    trained = [sys.executable, "-c", TRAIN, f"output={tmp_path / 'run'}", *own]
    done = subprocess.run(trained, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert all(torch.isfinite(value).all() for value in weights(tmp_path / "run").values())


def test_cached_targets_train_a_student_without_the_teacher(smoke, settings: list[str], tmp_path: Path) -> None:
    cached = [*settings, "distill.phases.fast.targets=cached", "distill.phases.fast.cached_samples=8"]
    jobs.distill(smoke(tmp_path / "run", *cached), QUIET)
    targets = tmp_path / "run" / "work" / "fast" / "targets"
    assert json.loads((targets / "index.json").read_text())["count"] == 8
    rows = [json.loads(row) for row in (tmp_path / "run" / "work" / "fast" / "log.jsonl").read_text().splitlines()]
    assert len(rows) == 6
    assert all("seconds_teacher" not in row and row["seconds_data"] >= 0 for row in rows)


def test_activation_checkpointing_changes_memory_not_the_student(
    smoke, settings: list[str], alone: Path, tmp_path: Path
) -> None:
    jobs.distill(smoke(tmp_path, *settings, "engine.activation_checkpointing=true"), QUIET)
    torch.testing.assert_close(weights(tmp_path), weights(alone), rtol=1e-4, atol=1e-6)


def test_a_failed_step_is_replayed_sample_by_sample(smoke, settings: list[str], alone: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    failed = alone / "work" / "fast" / "failed" / "step-00000003"
    failed.mkdir(parents=True)
    broken = {f"denoising_unet.{name}": value for name, value in weights(alone).items()}
    broken["denoising_unet.conv_out.bias"] = torch.full_like(broken["denoising_unet.conv_out.bias"], torch.nan)
    save_file(broken, str(failed / "weights.safetensors"))
    record = {"phase": "fast", "step": 3, "micro": 0, "processes": 2, "fault": "the loss is nan", "keys": []}
    (failed / "failure.json").write_text(json.dumps(record))
    again = jobs.replay(smoke(alone, *settings), failed, QUIET)
    assert again.bad_weights == ["denoising_unet.conv_out.bias"]
    assert len(again.samples) == 4
    assert all("not finite" in sample.fault for sample in again.samples)
    assert all(sample.key for sample in again.samples)
    again.print(QUIET)
