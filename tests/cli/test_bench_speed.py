"""``fada bench --speed``: no finished run is needed, and everything it prints is also written."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from fada.data.audio.features import LogMelEncoder
from fada.diffusion.paths import NoisePath
from fada.eval.bench.results import read_json
from fada.eval.speed.steps import CACHED, PUBLIC
from fada.teacher.denoiser import AvatarDenoiser
from fada.teacher.dual_unet.audio_projection import AudioProjection
from fada.teacher.hallo.model import Hallo
from fada.teacher.hallo.projections import FaceLocator, FaceProjection
from fada.teacher.hallo.unets import HalloDenoisingUNet, HalloReferenceUNet

SMALL = ("clip.size=16", "clip.frames=2", "teacher.network.channels=[8,16]", "teacher.network.norm_groups=4",
         "vae.channels=[4,8]", "bench.teacher_steps=3", "distill.phases.fast.batch=1")  # fmt: skip

HALLO = ("teacher.kind=hallo", "teacher.path=nowhere", "teacher.stages=[]", "data.world=null",
         "data.train_shards=nowhere", "data.test_shards=nowhere")  # fmt: skip


def small_hallo(network: Any, noise: dict[str, Any], audio: Any, latent_channels: int) -> Hallo:
    """What `new` of its networks makes, with few channels; its motion modules want 32."""
    shape = {"channels": (32, 32), "layers_per_block": 1, "heads": 2, "norm_groups": 4,
             "attention_levels": (True, True), "token_dim": 8}  # fmt: skip
    encoder = LogMelEncoder(8)
    return Hallo(
        HalloReferenceUNet(**shape),
        HalloDenoisingUNet(**shape, audio_dim=8, max_frames=8),
        AudioProjection(5, encoder.layers, encoder.states_dim, 16, 2, 8),
        FaceProjection(512, 2, 8),
        FaceLocator(32),
        NoisePath.from_config(noise),
    )


def test_passes_steps_and_clips_are_measured_of_the_recipes_networks(cli, tmp_path: Path) -> None:
    out = tmp_path / "speed.json"
    cached = ("distill.phases.fast.targets=cached", "distill.phases.fast.cached_samples=2", "engine.processes=1")
    outcome = cli(
        "bench", "tiny/smoke", "--speed", "--rounds", "1", "--device", "cpu", "--out", str(out), *SMALL, *cached
    )
    assert outcome.code == 0, outcome.err
    assert f"figures: {out}" in outcome.out
    read = read_json(out)
    # The smoke recipe's own solver, and the targets that it was told to keep.
    assert [line["name"] for line in read["steps"]] == [PUBLIC, "DDIM, 2 steps", CACHED]
    assert [clip["nfe"] for clip in read["clips"]] == [9, 6]
    assert read["endpoints"] == []
    assert read["sizes"]["type"] == "float32"
    # A cache holds as many windows of each kind: four for three samples.
    assert any("2 windows for 3 samples of fast (3 steps); each is solved 1.33 times" in note for note in read["notes"])
    for told in ("weights are random", "window ends: not measured"):
        assert any(told in note for note in read["notes"])
    assert "training step:" in outcome.out


def test_a_balanced_students_step_and_clip_are_measured_with_its_guidance_outside(cli, tmp_path: Path) -> None:
    out = tmp_path / "speed.json"
    told = ("--speed", "--rounds", "1", "--device", "cpu", "--out", str(out), "distill.phases.fast.guidance=sync")
    outcome = cli("bench", "tiny/smoke", *told, *SMALL)
    assert outcome.code == 0, outcome.err
    read = read_json(out)
    assert [clip["nfe"] for clip in read["clips"]] == [9, 18]
    assert read["passes"]["cfg_flop"] == 0
    assert "CFG layers:" not in outcome.out


def test_parts_that_are_not_wanted_are_not_measured(cli, tmp_path: Path) -> None:
    out = tmp_path / "speed.json"
    told = ("--speed", "--only", "clips", "--rounds", "1", "--device", "cpu", "--out", str(out))
    assert cli("bench", "tiny/smoke", *told, *SMALL).code == 0
    read = read_json(out)
    assert len(read["clips"]) == 2
    assert read["passes"]["costs"]
    assert read["steps"] == []


def test_a_full_step_is_run_once_in_short_types(cli, tmp_path: Path) -> None:
    out = tmp_path / "once.json"
    told = ("--speed", "--once", "--dtype", "bf16", "--out", str(out))
    outcome = cli("bench", "tiny/smoke", *told, *SMALL)
    assert outcome.code == 0, outcome.err
    assert "in bfloat16" in outcome.out
    read = read_json(out)
    assert read["moved"] > 0
    assert read["optimizer_bytes"] < 5 * read["trained"]


@pytest.mark.parametrize("options", [(), ("--once",)])
def test_a_hallo_of_random_weights_is_told_of_a_face(
    cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    # In its released sizes it takes minutes.
    monkeypatch.setattr("fada.teacher.hallo.networks.new", small_hallo)
    out = tmp_path / "speed.json"
    told = ("--speed", *options, "--device", "cpu", "--out", str(out), "clip.motion_frames=2",
            "bench.scales.audio=4")  # fmt: skip
    outcome = cli("bench", "tiny/smoke", *told, *(() if options else ("--rounds", "1")), *SMALL, *HALLO)
    assert outcome.code == 0, outcome.err
    read = read_json(out)
    if options:
        assert read["moved"] > 0
    else:
        assert [clip["nfe"] for clip in read["clips"]] == [9, 6]
        assert len(read["steps"]) == 2


def test_clips_that_the_networks_cannot_halve_are_refused(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AvatarDenoiser, "cell", 16)
    outcome = cli("bench", "tiny/smoke", "--speed", "--once", "--device", "cpu", *SMALL)
    assert outcome.code == 2
    assert "clip.size: 16 makes latents of 8 cells a side" in outcome.err
    assert "take a multiple of 32" in outcome.err


@pytest.mark.parametrize("way", [("--once",), ("--only", "steps", "--rounds", "1")])
@pytest.mark.parametrize(("asked", "kept"), [("false", 0), ("true", 1)])
def test_a_step_computes_again_what_the_recipe_does_not_keep(
    cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str, kept: int, way: tuple[str, ...]
) -> None:
    called = []
    monkeypatch.setattr(
        "fada.teacher.checkpointing.recomputed", lambda forward, *args: called.append(1) or forward(*args)
    )
    told = ("--speed", *way, "--dtype", "bf16", "--device", "cpu", "--out", str(tmp_path / "speed.json"))
    outcome = cli("bench", "tiny/smoke", *told, f"engine.activation_checkpointing={asked}", *SMALL)
    assert outcome.code == 0, outcome.err
    assert min(len(called), 1) == kept


def test_cuda_is_refused_where_there_is_none(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    outcome = cli("bench", "tiny/smoke", "--speed", "--device", "cuda")
    assert outcome.code == 2
    assert "--device cuda: there is no CUDA device here; leave it out, or give --device cpu" in outcome.err


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("engine.precision=fp16",), "--dtype: got 'fp16' (the recipe's engine.precision, if none was given)"),
        (("distill.phases=[]",), "speed is measured of a phase with method: perflow; the recipe has none"),
    ],
)
def test_recipes_without_what_is_measured_are_refused(cli, overrides: tuple[str, ...], message: str) -> None:
    outcome = cli("bench", "tiny/smoke", "--speed", *overrides)
    assert outcome.code == 2
    assert message in outcome.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--rounds", "3", "--once", "--compile"), "--rounds, --once, --compile: only with --speed"),
        (("--speed", "--processes", "2"), "--processes: only without --speed"),
    ],
)
def test_options_of_the_other_measurement_are_refused(cli, options: tuple[str, ...], message: str) -> None:
    outcome = cli("bench", "tiny/smoke", *options)
    assert outcome.code == 2
    assert message in outcome.err


def test_the_dry_run_of_the_gpu_benchmark_runs_on_a_cpu(cli, project_root: Path, tmp_path: Path) -> None:
    asked = ["make", "-s", "-n", "bench-gpu", "DRY=1", "STAMP="]
    printed = subprocess.run(asked, cwd=project_root, capture_output=True, text=True, check=True).stdout
    command = shlex.split(printed.replace("\\\n", " "))[1:]
    out = tmp_path / "gpu.json"
    command[command.index("--out") + 1] = str(out)
    outcome = cli(*command)
    assert outcome.code == 0, outcome.err
    read = read_json(out)
    assert [clip["nfe"] for clip in read["clips"]] == [15, 6]
    assert set(read["clips"][1]["seconds"]) == {"whole", "audio", "reference", "denoise", "decode"}
    assert read["sizes"]["type"] == "bfloat16"
