"""A family of another kind goes through every verb: one folder (toy/) and one line (conftest.py), nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from rich.console import Console
from toy.networks import NUMBERS, ToyCodec, new

from fada import jobs
from fada.cli.app import run as main
from fada.data.audio.features import LogMelEncoder
from fada.diffusion.scheduler import PeRFlowScheduler
from fada.export.delta import load_delta
from fada.export.run_export import Contents, export_run
from fada.generation.pipelines import PIPELINES, open_pipeline
from fada.recipe import RecipeError, load_recipe

QUIET = Console(quiet=True)
RECIPE = {
    "name": "toy",
    "data": {"world": {"clips": 4, "test_clips": 3, "frames": 10, "flawed_share": 0.25}},
    "clip": {"frames": 4, "motion_frames": 2, "size": 32},
    "audio": {"kind": "log_mel", "bins": 4},
    "noise": {"prediction_type": "flow_prediction"},
    "distill": {
        "cfg": {"tokens": 2},
        "phases": [
            {"name": "balanced", "guidance": "sync", "steps": 3, "batch": 2, "lr": 1e-3, "solver": {"steps": 2}},
            {
                "name": "fast", "init": "balanced", "steps": 4, "batch": 2, "lr": 1e-3, "solver": {"steps": 2},
                "scales": {"voice": {"low": 1.0, "high": 4.0}},
            },
        ],
    },
    "engine": {"precision": "fp32", "warmup": 1, "checkpoint_every": 2, "preview_every": 2, "log_every": 1},
    "bench": {"clips": 2, "seconds": 0.32, "teacher_steps": 4, "search_clips": 1, "repeats": 1, "warmups": 0},
}  # fmt: skip
PORTRAIT = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
SOUND = (np.random.default_rng(1).standard_normal(16000 // 25 * 10) * 0.1).astype(np.float32)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe's file, beside a teacher with random weights."""
    folder = tmp_path_factory.mktemp("toy")
    torch.manual_seed(0)
    encoder = LogMelEncoder(4)
    model = new(None, RECIPE["noise"], (5, encoder.layers, encoder.states_dim), (NUMBERS,))  # type: ignore[arg-type]
    scheduler = PeRFlowScheduler(prediction_type="flow_prediction", num_windows=4)
    PIPELINES["ToyPipeline"](
        vae=ToyCodec(), **model.components(), audio_encoder=encoder, scheduler=scheduler,
        frames=4, motion_frames=2, size=32, steps=4,
    ).save_pretrained(str(folder / "teacher"))  # fmt: skip
    content = {**RECIPE, "output": str(folder / "run"), "teacher": {"kind": "toy", "path": str(folder / "teacher")}}
    (folder / "toy.yaml").write_text(yaml.safe_dump(content))
    return folder / "toy.yaml"


@pytest.fixture(scope="module")
def run(recipe: Path) -> Path:
    """Distilled; the second student was stopped half way, and went on."""
    loaded = load_recipe(recipe)
    students = jobs.distill(loaded, QUIET)
    log = recipe.parent / "run" / "work" / "fast" / "log.jsonl"
    whole = log.read_text()
    weights = [folder / "transformer" / "diffusion_pytorch_model.safetensors" for folder in students]
    before = weights[1].read_bytes()
    shutil.rmtree(students[1])
    shutil.rmtree(recipe.parent / "run" / "work" / "fast" / "checkpoints" / "step-00000004")
    jobs.distill(loaded, QUIET)
    assert weights[1].read_bytes() == before
    assert [json.loads(line)["loss"] for line in log.read_text().splitlines()] == [
        json.loads(line)["loss"] for line in whole.splitlines()
    ]
    return recipe.parent / "run"


def test_its_recipe_says_scales_by_its_own_names(recipe: Path) -> None:
    loaded = load_recipe(recipe, ["bench.scales.look=1.25"])
    fast = loaded.distill.phases[1].scales
    assert {name: (each.low, each.high) for name, each in fast.items()} == {"look": (1.0, 2.0), "voice": (1.0, 4.0)}
    assert loaded.bench.scales == {"look": 1.25, "voice": 2.0}
    with pytest.raises(RecipeError, match=r"no guidance scale named 'audio'; choose from look, voice"):
        load_recipe(recipe, ["bench.scales.audio=3"])


def test_its_students_have_layers_at_its_sites_and_share_nothing_with_it(run: Path) -> None:
    balanced, fast = (open_pipeline(run / "students" / name) for name in ("balanced", "fast"))
    assert balanced.guidance_layers is None
    assert (fast.guidance_layers.config.branches, fast.guidance_layers.config.sites) == (3, [32])
    teacher = open_pipeline(run.parent / "teacher").model
    for name in ("transformer", "sound"):
        theirs = getattr(teacher, name).state_dict()
        assert any(not torch.equal(value, theirs[key]) for key, value in getattr(fast, name).state_dict().items())


def test_it_generates_and_streams_the_same_video_at_scales_by_name(run: Path) -> None:
    fast = open_pipeline(run / "students" / "fast")
    made = fast(PORTRAIT, SOUND, scales={"voice": 3.0}, seed=1)
    assert (made.frames.shape, made.latents.shape, made.clips, made.nfe) == ((10, 32, 32, 3), (10, NUMBERS), 3, 6)
    streamed = np.concatenate(list(fast.stream(PORTRAIT, [SOUND[:3000], SOUND[3000:]], voice_scale=3.0, seed=1)))
    assert np.array_equal(made.frames, streamed)
    assert not torch.equal(made.latents, fast(PORTRAIT, SOUND, seed=1).latents)
    # What its latents leave out of a frame is the portrait's.
    codec = ToyCodec()
    assert np.array_equal(codec.decode(codec.encode(PORTRAIT[None]), codec.appearance(PORTRAIT))[0], PORTRAIT)


def test_its_teacher_is_guided_by_three_branches_in_one_pass(run: Path) -> None:
    teacher = open_pipeline(run.parent / "teacher")
    assert teacher(PORTRAIT, SOUND, steps=2, decode=False).nfe == 2 * 3
    assert teacher(PORTRAIT, SOUND, steps=2, look_scale=1.0, voice_scale=1.0, decode=False).nfe == 2


def test_it_is_benched(recipe: Path, run: Path) -> None:
    out = jobs.bench(load_recipe(recipe), QUIET)
    found = {each["name"]: each for each in json.loads((out / "results.json").read_text())["systems"]}
    assert {"teacher-12", "balanced-18", "fast-6"} <= set(found)
    assert json.loads((out / "scales.json").read_text()) == {"look_scale": 1.5, "voice_scale": 2.0}


@pytest.mark.parametrize("form", ["full", "delta"])
def test_it_is_exported(run: Path, tmp_path: Path, form: Any) -> None:
    out = export_run(run, tmp_path / "model", "fast", contents=Contents(form), teacher=run.parent / "teacher")
    opened = open_pipeline(out) if form == "full" else load_delta(out, run.parent / "teacher")
    expected = open_pipeline(run / "students" / "fast")(PORTRAIT, SOUND, seed=2, decode=False).latents
    torch.testing.assert_close(opened(PORTRAIT, SOUND, seed=2, decode=False).latents, expected)
    assert "voice" in (out / "README.md").read_text()


def test_its_cost_is_known_beforehand(recipe: Path) -> None:
    priced = jobs.dry_run(load_recipe(recipe))
    assert [cost.name for cost in priced.costs] == ["balanced", "fast"]


def test_the_command_line_generates_with_it(run: Path, tmp_path: Path) -> None:
    from PIL import Image

    from fada.media.audio import write_wav

    Image.fromarray(PORTRAIT).save(tmp_path / "me.png")
    write_wav(tmp_path / "speech.wav", SOUND)
    code = main([
        "generate", "--model", str(run), "--image", str(tmp_path / "me.png"), "--audio", str(tmp_path / "speech.wav"),
        "--out", str(tmp_path / "me.mp4"), "--scale", "voice=3",
    ])  # fmt: skip
    assert code == 0
    assert (tmp_path / "me.mp4").stat().st_size > 0
