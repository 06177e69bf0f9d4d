"""Clips that were made again under the same path: what follows from them is made anew, or the run is refused."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from fada.data.clips.face import FaceClues
from fada.data.sampling.dataset import LatentClip, hash_clips
from fada.data.shards.reading import Sample, read_index, write_shards
from fada.recipe.errors import RecipeError
from fada.recipe.schema import Recipe
from fada.run.data import prepare_data
from fada.teacher.vae import new_vae

QUIET = Console(quiet=True)


def put_shards(folder: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for split in ("train", "test"):
        frames = rng.integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
        write_shards(
            [Sample("c", {"quality": "A"}, frames, np.zeros(3200, np.float32))], folder / split, 10, overwrite=True
        )


@pytest.fixture
def recipe(smoke: Callable[..., Recipe], tmp_path: Path) -> Callable[..., Recipe]:
    """The smoke recipe on shards, with a VAE that is there, or its own."""
    put_shards(tmp_path / "shards", 0)
    torch.manual_seed(0)
    new_vae((8, 8), 4).save_pretrained(str(tmp_path / "given"))
    paths = [f"data.{split}_shards={tmp_path / 'shards' / split}" for split in ("train", "test")]
    more = ["data.world=null", *paths, "vae.channels=[8,8]", "vae.train.steps=1"]
    return lambda *overrides: smoke(tmp_path / "run", *more, *overrides)


def prepared(recipe: Recipe) -> tuple[torch.Tensor, str]:
    """Latents of the only clip, and what was said."""
    text = io.StringIO()
    data = prepare_data(recipe, recipe.output, Console(file=text, width=10_000))
    return data.train[0].latents, text.getvalue()


def test_clips_are_encoded_once_and_again_when_their_shards_change(recipe, tmp_path: Path) -> None:
    given = recipe(f"vae.path={tmp_path / 'given'}")
    first, said = prepared(given)
    assert "made anew" not in said
    index = tmp_path / "run/data/train/index.json"
    made = index.stat().st_mtime_ns
    assert torch.equal(prepared(given)[0], first)
    assert index.stat().st_mtime_ns == made
    put_shards(tmp_path / "shards", 1)
    second, said = prepared(given)
    assert "run/data/train: was made of other clips or encoders; it is made anew, it now lies in train.aside-1" in said
    assert not torch.equal(first, second)


def test_clips_encoded_by_an_earlier_version_which_noted_no_source_are_encoded_again(recipe, tmp_path: Path) -> None:
    given = recipe(f"vae.path={tmp_path / 'given'}")
    first, _ = prepared(given)
    index = tmp_path / "run/data/train/index.json"
    clips = read_index(tmp_path / "run/data/train").features["clips"]
    index.write_text(index.read_text().replace(f'"clips": "{clips}",', "").replace(f'"clips": "{clips}"', '"x": ""'))
    (tmp_path / "run/stages").mkdir()
    (tmp_path / "run/stages/1-images.safetensors").write_bytes(b"")
    again, said = prepared(given)
    assert "it is made anew" in said
    assert torch.equal(again, first)


def test_clips_that_a_part_of_the_run_was_trained_on_are_not_exchanged(recipe, tmp_path: Path) -> None:
    given = recipe(f"vae.path={tmp_path / 'given'}")
    prepared(given)
    (tmp_path / "run/work/teacher-images/checkpoints/step-00000002").mkdir(parents=True)
    put_shards(tmp_path / "shards", 1)
    wanted = (
        r"run/data/train: was made of other clips .* work/teacher-images trained on it; give back .*start anew with"
    )
    with pytest.raises(RecipeError, match=wanted):
        prepared(given)


def test_a_vae_of_other_clips_is_trained_anew_or_the_run_refused(recipe, tmp_path: Path) -> None:
    own = recipe()
    first, _ = prepared(own)
    put_shards(tmp_path / "shards", 1)
    second, said = prepared(own)
    assert f"run/vae: was trained on other clips than {tmp_path}/shards/train holds now; it is made anew" in said
    assert not torch.equal(first, second)
    (tmp_path / "run/teacher").mkdir()
    (tmp_path / "run/teacher/model_index.json").write_text("{}")
    put_shards(tmp_path / "shards", 2)
    with pytest.raises(
        RecipeError, match=r"run/vae: was trained on other clips .* holds now, and teacher with it; give"
    ):
        prepared(own)


@pytest.mark.parametrize("damage", ["cut", "gone", "index"])
def test_encoded_clips_that_are_damaged_are_encoded_again(recipe, tmp_path: Path, damage: str) -> None:
    given = recipe(f"vae.path={tmp_path / 'given'}")
    first, _ = prepared(given)
    (shard,) = (tmp_path / "run/data/train").glob("*.tar")
    if damage == "cut":
        shard.write_bytes(shard.read_bytes()[:-100])
    elif damage == "gone":
        shard.unlink()
    else:
        (tmp_path / "run/data/train/index.json").write_bytes(b"\xff[")
    again, said = prepared(given)
    assert "run/data/train: " in said
    assert "it is made anew" in said
    assert torch.equal(again, first)


def test_what_another_process_makes_is_only_found(recipe, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"run/vae: the run's VAE is missing; repeat the command that trains the run"):
        prepare_data(recipe(), tmp_path / "run", QUIET, makes=False)
    made = prepare_data(recipe(), tmp_path / "run", QUIET)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")}
    found = prepare_data(recipe(), tmp_path / "run", QUIET, makes=False)
    assert found.train_hash == made.train_hash
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")} == before


def test_the_hash_of_clips_changes_with_key_quality_content_and_order() -> None:
    clip = LatentClip(
        "a", "A", torch.zeros(2, 4, 2, 2, dtype=torch.float16), torch.zeros(2, 1, 3, dtype=torch.bfloat16)
    )
    face = FaceClues(torch.zeros(512), torch.zeros(4), torch.zeros(4))
    others = [
        [LatentClip("b", "A", clip.latents, clip.states)],
        [LatentClip("a", "B", clip.latents, clip.states)],
        [LatentClip("a", "A", clip.latents + 1, clip.states)],
        [LatentClip("a", "A", clip.latents, clip.states + 1)],
        [LatentClip("a", "A", clip.latents.reshape(4, 2, 2, 2), clip.states)],
        [LatentClip("a", "A", clip.latents, clip.states, face)],
        [clip, LatentClip("b", "A", clip.latents, clip.states)],
        [LatentClip("b", "A", clip.latents, clip.states), clip],
    ]
    hashes = [hash_clips([clip]), *map(hash_clips, others)]
    assert len(set(hashes)) == len(hashes)
    assert hash_clips([LatentClip("a", "A", clip.latents.clone(), clip.states.clone())]) == hashes[0]
