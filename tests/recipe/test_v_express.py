"""What a recipe for V-Express may say."""

from __future__ import annotations

import pytest

from fada.diffusion.paths import NoisePath
from fada.diffusion.scheduler import PeRFlowScheduler
from fada.recipe import RecipeError, load_recipe
from fada.recipe.sections.teacher import FrameDrop
from fada.teacher.v_express.schedule import v_express_scheduler
from fada.teacher.v_express.section import Network
from fada.teacher.v_express.settings import RELEASED_FPS

TINY = "tiny/v-express"
ALL = ("reference", "keypoints", "spatial", "audio", "temporal")


def test_the_tiny_recipe_trains_the_papers_three_stages() -> None:
    stages = load_recipe(TINY).teacher.stages
    assert [stage.trains for stage in stages] == [("reference", "keypoints", "spatial"), ("audio", "temporal"), ALL]
    assert [stage.frames for stage in stages] == [1, None, None]
    assert [stage.frame_drop for stage in stages] == [FrameDrop(), *2 * [FrameDrop(reference=0.1, keypoints=0.1)]]
    # Min-SNR weights are zero at zero SNR, where sampling begins.
    assert {stage.min_snr_gamma for stage in stages} == {None}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("clip.motion_frames=2",), r"clip.motion_frames: v_express has none, its contexts overlap instead: .* got 2"),
        (
            ("clip.frames=20", "data.world.frames=40"),
            r"clip.frames is 20, but teacher.network.max_frames is 16; raise it",
        ),
        (("teacher.network.overlap=8",), r"teacher.network.overlap: contexts of 8 frames cannot share 8; lower it"),
        (
            ("teacher.network.channels=[32,60]",),
            r"channels: 60 must be divisible by norm_groups \(8\), heads \(4\) and",
        ),
        (("teacher.network.channels=[32,64,64]",), r"attention_levels has 2 entries and channels 3"),
        (
            ("teacher.network.keypoint_channels=[8,8]",),
            r"the guider halves its pictures three times: give 4 widths, got 2",
        ),
        (("teacher.network.audio_hidden=30",), r"audio_hidden: 30 must be divisible by audio_heads \(4\)"),
        (
            ("teacher.stages.sound.trains=[mouth]",),
            r"sound: trains: got 'mouth'; choose from reference, keypoints, spat",
        ),
        (("teacher.stages.sound.frame_drop.reference=1.5",), r"frame_drop.reference"),
        (
            ("vae={channels: [8, 8, 8, 8, 8]}", "clip.size=80"),
            r"clip.size 80 must be a multiple of 32 \(VAE 16x, 1 halvin",
        ),
    ],
)
def test_recipes_that_the_networks_cannot_follow_are_refused(overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(TINY, list(overrides))


@pytest.mark.parametrize("setting", ["frame_drop={reference: 0.1}", "frame_drop={keypoints: 0.1}", "lip_weight=2"])
def test_families_that_are_shown_no_keypoints_have_neither_frame_drop_nor_lip_weight(setting: str) -> None:
    with pytest.raises(RecipeError, match="clips: frame_drop and lip_weight are for families that are shown keypoints"):
        load_recipe("tiny/smoke", [f"teacher.stages.clips.{setting}"])


def test_offset_noise_is_for_every_family() -> None:
    (_, clips) = load_recipe("tiny/smoke", ["teacher.stages.clips.offset_noise=0.05"]).teacher.stages
    assert clips.offset_noise == 0.05


def test_a_released_teacher_may_have_longer_contexts_than_a_recipes_networks() -> None:
    released = ["teacher.path=weights/v-express", "teacher.stages=[]", "clip.frames=24"]
    assert load_recipe(TINY, released).clip.frames == 24


@pytest.mark.parametrize("name", ["teacher", "balanced", "fast"])
def test_shipped_recipes_are_what_the_released_weights_were_trained_on(name: str) -> None:
    recipe = load_recipe(f"v-express/{name}")
    path = NoisePath.from_config(PeRFlowScheduler.from_config(v_express_scheduler().config).config)
    own = path.to_config()
    assert recipe.noise.model_dump() == {key: own[key] for key in recipe.noise.model_dump()}
    assert (recipe.clip.fps, recipe.clip.frames, recipe.clip.motion_frames) == (RELEASED_FPS, 24, 0)
    assert (recipe.audio.rate, recipe.audio.context) == ("pairs", 2)
    # One scale in the public code: two branches a step.
    assert set(recipe.bench.scales.values()) == {3.5}


def test_the_shipped_teacher_is_of_the_released_shape_and_trained_in_the_papers_steps() -> None:
    teacher = load_recipe("v-express/teacher").teacher
    assert teacher.network == Network()
    assert [(stage.frames, stage.batch, stage.steps) for stage in teacher.stages] == [
        (1, 8, 40_000), (20, 1, 300_000), (8, 1, 100_000),
    ]  # fmt: skip
    assert {(stage.lr, stage.min_snr_gamma, stage.offset_noise) for stage in teacher.stages} == {(1e-6, 5.0, 0.05)}
