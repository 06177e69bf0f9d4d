"""A small Hallo distilled from shards that know their faces: the whole path of a released teacher."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from transformers import Wav2Vec2Config, Wav2Vec2Model

from fada import jobs
from fada.data.audio.features import Wav2Vec2Encoder
from fada.data.shards.reading import Sample, write_shards
from fada.diffusion.scheduler import PeRFlowScheduler
from fada.eval.bench.results import read_json
from fada.generation.pipelines import HalloPipeline, open_pipeline
from fada.recipe import RecipeError, load_recipe
from fada.recipe.schema import Recipe
from fada.run.data import prepare_data
from fada.teacher.dual_unet.audio_projection import AudioProjection
from fada.teacher.hallo.projections import FaceLocator, FaceProjection
from fada.teacher.hallo.schedule import hallo_scheduler
from fada.teacher.hallo.unets import HalloDenoisingUNet, HalloReferenceUNet
from fada.teacher.vae import new_vae

QUIET = Console(quiet=True)
SIZE, FRAMES = 64, 8
Recipes = Callable[..., Recipe]


def encoder() -> Wav2Vec2Encoder:
    torch.manual_seed(0)
    config = Wav2Vec2Config(
        hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=8,
        conv_dim=(8, 8, 8, 8, 8, 8, 8), num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    return Wav2Vec2Encoder(Wav2Vec2Model(config), rate="features")


def teacher() -> HalloPipeline:
    """Random weights in Hallo's layout, with a VAE of eight pixels per cell."""
    heard = encoder()
    torch.manual_seed(1)
    shape = {"channels": (32, 64), "attention_levels": (True, True), "layers_per_block": 1, "heads": 2, "token_dim": 24}
    return HalloPipeline(
        HalloReferenceUNet(**shape),
        HalloDenoisingUNet(**shape, audio_dim=16, max_frames=8),
        AudioProjection(5, heard.layers, heard.states_dim, 16, 3, 16),
        FaceProjection(512, 4, 24),
        FaceLocator(32, (8, 8, 8, 8)),
        PeRFlowScheduler.from_config(hallo_scheduler().config),
        new_vae((8, 8, 8, 8), 4),
        heard,
        frames=3,
        motion_frames=1,
        size=SIZE,
        steps=4,
    )


def samples(split: str, count: int) -> list[Sample]:
    rng = np.random.default_rng(len(split))
    made = []
    for number in range(count):
        landmarks = torch.from_numpy(rng.uniform(0.3, 0.7, (FRAMES, 478, 2)).astype(np.float16))
        made.append(
            Sample(
                f"{split}{number}",
                {"split": split, "quality": "AB"[number % 2], "identity": f"{split}{number}"},
                rng.integers(0, 256, (FRAMES, SIZE, SIZE, 3), dtype=np.uint8),
                rng.uniform(-0.5, 0.5, FRAMES * 640).astype(np.float32),
                landmarks={"landmarks": landmarks},
                face=torch.from_numpy(rng.normal(size=512).astype(np.float32)),
            )
        )
    return made


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hallo folder, and shards of clips that know their faces."""
    folder = tmp_path_factory.mktemp("hallo")
    teacher().save_pretrained(folder / "teacher")
    for split, count in (("train", 4), ("test", 2)):
        write_shards(samples(split, count), folder / "shards" / split, 10)
    return folder


@pytest.fixture(scope="module")
def recipe(made: Path) -> Recipes:
    """``recipe(folder, "key=value", …)``: the shipped fast recipe, small."""
    small = (
        f"teacher.path={made / 'teacher'}", f"vae.path={made / 'teacher/vae'}",
        f"audio.path={made / 'teacher/audio_encoder'}",
        *(f"data.{split}_shards={made / 'shards' / split}" for split in ("train", "test")),
        f"clip.size={SIZE}", "clip.frames=3", "clip.motion_frames=1", "distill.cfg.tokens=2",
        *(f"distill.phases.{name}.{rest}" for name in ("balanced", "fast")
          for rest in ("steps=2", "batch=2", "solver.steps=2", "cached_samples=4")),
        "engine.processes=1", "engine.strategy=ddp", "engine.precision=fp32", "engine.accumulate=1",
        "engine.checkpoint_every=2", "engine.preview_every=2", "engine.log_every=1", "engine.ema=0",
        "bench.clips=1", "bench.search_clips=0", "bench.seconds=0.2",
        "bench.teacher_steps=6", "bench.repeats=1", "bench.warmups=0",
    )  # fmt: skip
    return lambda folder, *overrides: load_recipe("hallo/fast", [f"output={folder}", *small, *overrides])


@pytest.fixture(scope="module")
def finished(recipe: Recipes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with its report."""
    folder = tmp_path_factory.mktemp("run") / "hallo"
    jobs.distill(recipe(folder), QUIET)
    jobs.bench(recipe(folder), QUIET)
    return folder


def mode_of(student: HalloPipeline) -> str:
    """How a student is told its scales."""
    return "none" if student.guidance_layers is None else student.guidance_layers.config.mode


def test_both_students_are_hallos_and_only_their_own_side_has_learned(finished: Path, made: Path) -> None:
    frozen = HalloPipeline.from_pretrained(made / "teacher")
    for name, mode in (("balanced", "none"), ("fast", "tokens")):
        student = open_pipeline(finished / "students" / name)
        assert isinstance(student, HalloPipeline)
        assert (student.config.is_student, mode_of(student)) == (True, mode)
        for network in ("reference_unet", "face_projection", "face_locator"):
            for key, value in getattr(student, network).state_dict().items():
                assert torch.equal(value, getattr(frozen, network).state_dict()[key]), (network, key)
        for network in ("denoising_unet", "audio_projection"):
            theirs = getattr(frozen, network).state_dict()
            assert any(
                not torch.equal(value, theirs[key])
                for key, value in getattr(student, network).state_dict().items()
                if key in theirs
            )


def test_the_report_counts_two_branches_at_hallos_one_scale(finished: Path) -> None:
    systems = {each["name"]: each for each in read_json(finished / "report" / "results.json")["systems"]}
    assert set(systems) == {
        *("teacher-12", "teacher-6-conditional", "teacher-3x2", "teacher-6x2"),
        *("untrained-12", "untrained-6", "balanced-12", "fast-6"),
    }


def test_a_video_of_several_clips_comes_from_picture_sound_and_face(
    finished: Path, recipe: Recipes, tmp_path: Path
) -> None:
    clip = prepare_data(recipe(finished), finished, QUIET).test[0]
    student = open_pipeline(finished / "students" / "fast")
    video = student(clip.frames[0], clip.audio, face=clip.face)
    assert video.frames.shape == (FRAMES, SIZE, SIZE, 3)
    assert (video.nfe, video.clips) == (6, 3)
    streamed = np.concatenate(list(student.stream(clip.frames[0], [clip.audio], face=clip.face)))
    assert streamed.shape == video.frames.shape


def test_without_a_face_it_says_what_is_missing(finished: Path) -> None:
    student = open_pipeline(finished / "students" / "fast")
    with pytest.raises(ValueError, match=r"told of the face, but its embedding and boxes are missing: shard the clips"):
        student(np.zeros((SIZE, SIZE, 3), np.uint8), np.zeros(16000, np.float32))


def test_another_family_than_the_recipe_says_is_refused(recipe: Recipes, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"teacher\.kind: \S*teacher holds a hallo, the recipe says dual_unet; set"):
        jobs.distill(recipe(tmp_path / "run", "teacher.kind=dual_unet"), QUIET)


def test_another_noise_path_than_the_teachers_is_refused(recipe: Recipes, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"noise: the teacher in .*beta_schedule=linear \(recipe: scaled_linear\)"):
        jobs.distill(recipe(tmp_path / "run", "noise.beta_schedule=scaled_linear"), QUIET)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("audio.rate=states",), "audio.rate: hallo hears wav2vec2 states that were brought to video rate before"),
        (("teacher.path=null",), "give teacher.path .* or teacher.stages"),
        (
            ("data.world={clips: 1, test_clips: 1, frames: 24}", "data.train_shards=null", "data.test_shards=null"),
            "teacher.kind: hallo needs clips whose faces are known: give shards",
        ),
        (("teacher.stages=[{name: one}]",), "kind: hallo is released, not trained here: give teacher.path"),
    ],
)
def test_recipes_that_hallo_cannot_follow_are_refused(overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe("hallo/fast", list(overrides))


@pytest.mark.parametrize("name", ["balanced", "fast"])
def test_shipped_recipes_price_the_released_size_without_its_weights(name: str) -> None:
    priced = jobs.dry_run(load_recipe(f"hallo/{name}", ["clip.size=64"]))
    teacher_line = next(line for line in priced.lines if line.startswith("teacher:"))
    assert "reference_unet 859.51 M, denoising_unet 1525.53 M, audio_projection 36.47 M" in teacher_line
    assert any(line.startswith("evaluations per clip: teacher 80, then balanced 12") for line in priced.lines)
    assert priced.costs[0].trained > 1500
