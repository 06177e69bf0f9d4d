"""A small FLOAT from a recipe: its codec, both students, generation, report, shards, export; resumed, bit for bit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from fada import jobs
from fada.cli.app import run as command
from fada.data.audio.features import LogMelEncoder
from fada.eval.bench.results import read_json
from fada.export.delta import load_delta
from fada.export.run_export import Contents, export_run
from fada.generation.directions import directions_sheet
from fada.generation.pipelines import open_pipeline
from fada.media.audio import write_wav
from fada.media.image import write_png
from fada.media.video import read_video
from fada.packing.tools import load_tools
from fada.recipe import load_recipe
from fada.recipe.errors import RecipeError
from fada.recipe.schema import Recipe
from fada.run.data import prepare_data
from fada.run.training import objective_of
from fada.teacher.codec import load_codec
from fada.teacher.float.model import Float
from fada.teacher.float.motion_autoencoder import MotionAutoencoder
from fada.teacher.pretrain import DropRates, PretrainObjective
from tests.runs.small_float import SMALL

QUIET = Console(quiet=True)
Recipes = Callable[..., Recipe]
PORTRAIT = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
SOUND = (np.random.default_rng(1).standard_normal(640 * 10) * 0.1).astype(np.float32)


@pytest.fixture(scope="module")
def recipe() -> Recipes:
    """``recipe(folder, "key=value", …)``: the tiny recipe, much smaller."""
    return lambda folder, *overrides: load_recipe("tiny/float", [f"output={folder}", *SMALL, *overrides])


@pytest.fixture(scope="module")
def finished(recipe: Recipes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with its report."""
    folder = tmp_path_factory.mktemp("run") / "float"
    jobs.distill(recipe(folder), QUIET)
    jobs.bench(recipe(folder), QUIET)
    return folder


def test_a_run_leaves_a_codec_a_teacher_and_two_students_of_the_family(finished: Path) -> None:
    teacher = open_pipeline(finished / "teacher")
    assert isinstance(teacher.model, Float)
    assert isinstance(teacher.vae, MotionAutoencoder)
    own = load_codec(finished / "vae")
    for key, value in teacher.vae.state_dict().items():
        assert torch.equal(value, own.state_dict()[key])
    for name, mode in (("balanced", None), ("fast", "tokens")):
        layers = open_pipeline(finished / "students" / name).guidance_layers
        assert (None if layers is None else layers.config.mode) == mode
    # A layer in front of each of two blocks, whose frames' conditions are 16 wide.
    assert list(layers.config.sites) == [16, 16]


def test_a_run_that_was_broken_off_ends_as_the_unbroken_one(recipe: Recipes, finished: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    shutil.copytree(finished, again, ignore=shutil.ignore_patterns("report"))
    for part in ("students/fast", "work/fast/checkpoints/step-00000002", "teacher", "stages",
                 "work/teacher-all/checkpoints/step-00000003"):  # fmt: skip
        shutil.rmtree(again / part)
    jobs.distill(recipe(again), QUIET)
    for part in ("teacher/vector_field", "students/fast/vector_field", "students/fast/guidance_layers"):
        file = f"{part}/diffusion_pytorch_model.safetensors"
        assert (again / file).read_bytes() == (finished / file).read_bytes(), part


def test_its_stage_learns_what_its_section_says(finished: Path, recipe: Recipes) -> None:
    made = objective_of(recipe(finished), "teacher-all", QUIET)
    assert isinstance(made, PretrainObjective)
    assert made.drop == DropRates({"audio": 0.1, "emotion": 0.1}, motion=0.5, reference=0.1)
    assert (made.velocity_weight, made.motion_weight) == (1.0, 1.0)
    logged = json.loads((finished / "work" / "teacher-all" / "log.jsonl").read_text().splitlines()[0])
    assert logged["loss_velocity"] > 0
    other = objective_of(
        recipe(finished, "teacher.stages.all.velocity_weight=2", "teacher.stages.all.motion_weight=3",
               "teacher.stages.all.drop={reference: 0.4}", f"output={finished.parent}/other"), "teacher-all", QUIET,
    )  # fmt: skip
    assert isinstance(other, PretrainObjective)
    assert (other.velocity_weight, other.motion_weight, other.drop.reference) == (2.0, 3.0, 0.4)


def test_a_run_whose_networks_leave_emotions_out_needs_none(recipe: Recipes, tmp_path: Path) -> None:
    asked = recipe(tmp_path / "plain", "data.world.emotion=false", "teacher.network.uses_emotion=false")
    (student, *_) = jobs.distill(asked, QUIET)
    assert prepare_data(asked, asked.output, QUIET).train[0].emotion is None
    assert open_pipeline(student)(PORTRAIT, SOUND, decode=False).latents.isfinite().all()


def test_scales_emotion_and_directions_change_what_they_are_for(finished: Path) -> None:
    fast = open_pipeline(finished / "students" / "fast")
    made = fast(PORTRAIT, SOUND, seed=1)
    assert (made.frames.shape, made.latents.shape, made.clips, made.nfe) == ((10, 32, 32, 3), (10, 4), 3, 2)
    moved = fast(PORTRAIT, SOUND, seed=1, motion={2: 3.0})
    assert torch.equal(moved.latents, made.latents)
    appearance = fast.vae.appearance(PORTRAIT)
    frames = fast.vae.decode(fast.vae.within_reach(made.latents, appearance) + 3.0 * torch.eye(4)[2], appearance)
    assert np.array_equal(moved.frames, frames)
    assert not np.array_equal(moved.frames, made.frames)
    felt = fast(PORTRAIT, SOUND, seed=1, emotion={"happy": 1.0}, decode=False)
    assert not torch.equal(felt.latents, made.latents)
    streamed = np.concatenate(
        list(fast.stream(PORTRAIT, [SOUND[:3000], SOUND[3000:]], seed=1, emotion={"happy": 1.0}, motion={2: 3.0}))
    )
    assert np.array_equal(streamed, fast(PORTRAIT, SOUND, seed=1, emotion={"happy": 1.0}, motion={2: 3.0}).frames)


def test_the_teacher_is_guided_by_three_branches_in_one_pass(finished: Path) -> None:
    teacher = open_pipeline(finished / "teacher")
    assert teacher(PORTRAIT, SOUND, steps=2, decode=False).nfe == 2 * 3
    # At equal scales the middle branch cancels.
    assert teacher(PORTRAIT, SOUND, steps=2, emotion_scale=2.0, decode=False).nfe == 2 * 2


@pytest.mark.parametrize(
    ("motion", "message"),
    [
        ({4: 1.0}, "motion: there are directions 0 to 3, got 4"),
        ({-1: 1.0}, "got -1"),
        ({"smile": 1.0}, "got 'smile'"),
        ({1: float("nan")}, "motion 1: must be a number from -100 to 100, got nan"),
    ],
)
def test_directions_that_are_not_there_are_refused(finished: Path, motion: dict[int, float], message: str) -> None:
    fast = open_pipeline(finished / "students" / "fast")
    for call in (fast.in_chunks, fast.stream):
        with pytest.raises(ValueError, match=message):
            call(PORTRAIT, SOUND, motion=motion)


def test_codecs_without_directions_take_no_motion() -> None:
    with pytest.raises(ValueError, match="the codec of a FadaPipeline has no directions; leave motion out"):
        open_pipeline("shipped:drawn")(PORTRAIT, SOUND, motion={0: 1.0})


def test_the_report_counts_evaluations_and_measures_expressions(finished: Path) -> None:
    systems = {each["name"]: each for each in read_json(finished / "report" / "results.json")["systems"]}
    # Three steps of three branches, and a window for each of two steps.
    assert {"teacher-9", "balanced-6", "fast-2"} <= set(systems)
    assert "emotion" in (finished / "report" / "report.md").read_text()


def test_the_command_line_generates_with_it(finished: Path, tmp_path: Path) -> None:
    write_png(tmp_path / "me.png", PORTRAIT)
    write_wav(tmp_path / "speech.wav", SOUND)
    call = ["generate", "--model", str(finished), "--image", str(tmp_path / "me.png"),
            "--audio", str(tmp_path / "speech.wav"), "--out", str(tmp_path / "me.mp4")]  # fmt: skip
    assert command([*call, "--emotion", "sad=0.5", "--motion", "3=+0.5", "--motion", "0=-1"]) == 0
    assert read_video(tmp_path / "me.mp4", fps=None).shape == (10, 32, 32, 3)
    for given in ("7=1", "1=x", "1", "a=1"):
        assert command([*call, "--motion", given, "--overwrite"]) == 2


def test_a_sheet_shows_each_direction(finished: Path, tmp_path: Path) -> None:
    fast = open_pipeline(finished / "students" / "fast")
    sheet = directions_sheet(fast, PORTRAIT, (0.0, 3.0))
    # Rows of two pictures, 96 wide, with gaps of 4 and labels of 20; the first is the portrait as the codec has it.
    assert sheet.shape == (4 * (96 + 24) + 4, 2 * 100 + 4, 3)
    still = fast.vae.decode(fast.vae.encode(PORTRAIT[None]), fast.vae.appearance(PORTRAIT))[0]
    moved = fast.vae.along(fast.vae.encode(PORTRAIT[None]), 3, 3.0)
    last = fast.vae.decode(moved, fast.vae.appearance(PORTRAIT))[0]
    assert np.array_equal(sheet[24:120:3, 4:100:3], still)
    assert np.array_equal(sheet[24 + 360 : 120 + 360 : 3, 104:200:3], last)
    write_png(tmp_path / "me.png", PORTRAIT)
    call = ["directions", "--model", str(finished), "--image", str(tmp_path / "me.png"), "--out"]
    assert command([*call, str(tmp_path / "sheet.png")]) == 0
    assert command([*call, str(tmp_path / "sheet.png")]) == 2
    assert command([*call, str(tmp_path / "sheet.jpg")]) == 2
    with pytest.raises(ValueError, match="has no directions"):
        directions_sheet(open_pipeline("shipped:drawn"), PORTRAIT)


@pytest.mark.parametrize("form", ["full", "delta"])
def test_it_is_exported(finished: Path, tmp_path: Path, form: Any) -> None:
    out = tmp_path / "model"
    export_run(finished, out, "fast", contents=Contents(form), teacher=finished / "teacher")
    opened = open_pipeline(out) if form == "full" else load_delta(out, finished / "teacher")
    expected = open_pipeline(finished / "students" / "fast")(PORTRAIT, SOUND, seed=2, decode=False).latents
    torch.testing.assert_close(opened(PORTRAIT, SOUND, seed=2, decode=False).latents, expected)
    assert "emotion" in (out / "README.md").read_text()


def test_shards_hold_its_latents_and_a_run_takes_them(finished: Path, recipe: Recipes, tmp_path: Path) -> None:
    LogMelEncoder(4).save_pretrained(tmp_path / "audio")
    assert isinstance(load_tools(finished / "vae", tmp_path / "audio").vae, MotionAutoencoder)
    clips = finished / "data" / "clips"
    assert command(["data", "shard", str(clips), "--out", str(tmp_path / "shards"), "--vae", str(finished / "vae"),
                    "--audio-encoder", str(tmp_path / "audio")]) == 0  # fmt: skip
    data = f"data={{train_shards: {tmp_path}/shards/train, test_shards: {tmp_path}/shards/test}}"
    folder = tmp_path / "other"
    of_teacher = recipe(folder, data, f"teacher.path={finished}/teacher", "teacher.stages=[]")
    for asked in (recipe(folder, data, f"vae.path={finished}/vae"), of_teacher):
        found = prepare_data(asked, folder, QUIET).train[0]
        assert found.latents.shape == (12, 4)
        assert found.emotion is not None
    with pytest.raises(RecipeError, match="trains a VAE of its own"):
        prepare_data(recipe(folder, data), folder, QUIET)


def test_a_recipe_without_stages_trains_the_codec_alone(recipe: Recipes, tmp_path: Path) -> None:
    alone = recipe(tmp_path / "codec", "teacher.stages=[]", "distill.phases=[]")
    out = jobs.train_teacher(alone, QUIET)
    assert out == tmp_path / "codec" / "vae"
    assert isinstance(load_codec(out), MotionAutoencoder)
    assert not (tmp_path / "codec" / "teacher").exists()
    with pytest.raises(RecipeError, match="this recipe trains a codec alone"):
        jobs.distill(alone, QUIET)
    lines = "\n".join(jobs.dry_run(alone).lines)
    assert "codec: 0.60 M weights; 4 steps of batch 2" in lines
    with pytest.raises(RecipeError, match=r"give teacher.path \(a teacher folder\) or teacher.stages"):
        load_recipe("tiny/smoke", ["teacher.stages=[]"])
