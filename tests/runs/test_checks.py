"""Parts that would find no clips are named before anything is trained."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fada.data.sampling.dataset import LatentClip
from fada.data.shards.reading import Sample, write_shards
from fada.recipe import Recipe, RecipeError, load_recipe
from fada.run.checks import check_qualities, check_shards, check_trained_clips


def recipe(*overrides: str) -> Recipe:
    return load_recipe("tiny/smoke", ["data={train_shards: shards, test_shards: shards}", *overrides])


def clip(quality: str, frames: int) -> LatentClip:
    return LatentClip("k", quality, torch.zeros(frames, 4, 2, 2), torch.zeros(frames, 1, 8))


@pytest.mark.parametrize(
    ("override", "qualities", "message"),
    [
        ("distill.phases.fast.quality=B", ["A", "A"], r"distill.phases.1.quality: B, but .* \(there are 2 of A\)"),
        ("teacher.stages.0.quality=A", ["B"], r"teacher.stages.0.quality: A, but of shards's training clips none"),
        ("distill.phases.fast.quality=all", [], r"there are none"),
    ],
)
def test_a_quality_without_clips_is_named_by_its_key(override: str, qualities: list[str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        check_qualities(recipe(override), qualities)


def test_a_part_whose_clips_are_too_short_is_named() -> None:
    wanted = recipe("clip.frames=6", "distill.phases.fast.quality=B")
    with pytest.raises(RecipeError, match=r"distill.phases.1: wants 6 frames, but the longest of its 1 training clips"):
        check_trained_clips(wanted, [clip("A", 6), clip("B", 5)])
    check_trained_clips(wanted, [clip("A", 6), clip("B", 6)])


def test_shards_on_this_machine_are_asked_and_others_not(tmp_path: Path) -> None:
    write_shards([Sample("a", {"quality": "B"}, latents=torch.zeros(1, 1, 2, 2))], tmp_path / "s", 1)
    with pytest.raises(RecipeError, match=r"teacher\.stages\.0\.quality: A"):
        check_shards(recipe(f"data.train_shards={tmp_path}/s", "teacher.stages.0.quality=A"))
    check_shards(recipe(f"data.train_shards={tmp_path}/missing"))


def test_training_says_at_once_which_path_is_missing() -> None:
    from rich.console import Console

    from fada.cli.running import run_training

    with pytest.raises(RecipeError, match=r"vae\.path: 'nowhere' is not here; give another"):
        run_training(load_recipe("tiny/smoke", ["vae.path=nowhere"]), Console(), pytest.fail, ["distill"])
