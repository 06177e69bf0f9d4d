"""Training from shards that hold features: used as they are by the recipe of their encoders, refused by any other."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from rich.console import Console
from safetensors.torch import load_file

from fada import jobs
from fada.assembly.settings import data_workers
from fada.data.audio.features import LogMelEncoder
from fada.data.clips.clip import Clip, write_clip
from fada.data.sampling.clip_source import ClipsInMemory, DamagedClip
from fada.data.sampling.dataset import BatchShape, ClipSampler, hash_clips
from fada.data.sampling.prefetch import reading_ahead
from fada.data.shards import shard_set
from fada.data.shards.held_out import HeldOutClips
from fada.data.shards.reading import DamagedShardWarning, read_index, read_shards, write_shards
from fada.packing.encode import encode_shards
from fada.packing.shards import shard_clips
from fada.packing.tools import load_tools
from fada.recipe.errors import RecipeError
from fada.recipe.schema import Recipe
from fada.run import data as build_data
from fada.run.data import features_of, held_out, prepare_data
from fada.run.stored_features import load_latents
from fada.teacher.vae import new_vae

QUIET = Console(quiet=True)
Recipes = Callable[..., Recipe]


def save_vae(folder: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    new_vae((8, 16), 4).save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three clips as shards with features (`features`) and without (`plain`), and the VAE that made them (`vae`)."""
    folder = tmp_path_factory.mktemp("stored")
    rng = np.random.default_rng(0)
    for number, split in enumerate(("train", "train", "test")):
        frames = rng.integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
        sound = rng.uniform(-0.5, 0.5, 8 * 640).astype(np.float32)
        meta = {"quality": "A", "split": split}
        write_clip(folder / "clips", Clip(f"c{number}", frames, sound, meta=meta), "lossless")
    vae = AutoencoderKL.from_pretrained(str(save_vae(folder / "vae", 0))).eval()
    shard_clips(folder / "clips", folder / "plain")
    shard_clips(folder / "clips", folder / "features", vae, LogMelEncoder(8))
    return folder


@pytest.fixture
def recipe(smoke: Recipes, made: Path, tmp_path: Path) -> Recipes:
    """``recipe("features", "key=value", …)``: the smoke recipe on those shards, with their VAE."""

    def build(shards: str, *overrides: str, vae: str | Path | None = made / "vae") -> Recipe:
        given = [] if vae is None else [f"vae.path={vae}"]
        paths = [f"data.train_shards={made / shards / 'train'}", f"data.test_shards={made / shards / 'test'}"]
        return smoke(tmp_path / "run", "data.world=null", *paths, *given, *overrides)

    return build


def test_stored_features_are_used_without_encoding_or_copying(
    recipe: Recipes, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_data, "encode_frames", None)
    data = prepare_data(recipe("features"), tmp_path / "run", QUIET)
    assert not (tmp_path / "run" / "data").exists()
    stored = {sample.key: sample for sample in read_shards(made / "features/train")}
    assert [clip.key for clip in data.train] == ["c0", "c1"]
    for clip in data.train:
        assert torch.equal(clip.latents, stored[clip.key].latents)  # type: ignore[arg-type]
        assert torch.equal(clip.states, stored[clip.key].audio_states)  # type: ignore[arg-type]


def test_stored_features_equal_those_that_a_run_makes(recipe: Recipes, tmp_path: Path) -> None:
    stored = prepare_data(recipe("features"), tmp_path / "one", QUIET).train
    encoded = prepare_data(recipe("plain"), tmp_path / "two", QUIET).train
    for one, two in zip(stored, encoded, strict=True):
        assert one.key == two.key
        torch.testing.assert_close(one.latents, two.latents, rtol=0, atol=0)
        torch.testing.assert_close(one.states, two.states, rtol=0, atol=0)


def test_the_console_says_that_the_clips_stay_in_their_shards(recipe: Recipes, made: Path, tmp_path: Path) -> None:
    text = io.StringIO()
    prepare_data(recipe("features"), tmp_path / "run", Console(file=text, width=200))
    size = sum(file.stat().st_size for file in (made / "features/train").glob("*.tar")) / 2**20
    assert f"data: 2 training clips, read as they are needed from {size:.1f} MiB of shards" in text.getvalue()


def test_features_of_another_vae_are_refused_with_both_fingerprints(
    recipe: Recipes, made: Path, tmp_path: Path
) -> None:
    other = save_vae(tmp_path / "other", 1)
    theirs = read_index(made / "features/train").features["vae"]
    ours = features_of(AutoencoderKL.from_pretrained(str(other)), LogMelEncoder(8))["vae"]
    wanted = (
        rf"data.train_shards: \S*features/train: vae {theirs} made .*vae\.path=\S*other is {ours}; name .*, encode "
    )
    wanted += r"shards .*\(fada data encode\), or shard"
    with pytest.raises(RecipeError, match=wanted):
        prepare_data(recipe("features", vae=other), tmp_path / "run", QUIET)


def test_features_of_another_audio_encoder_are_refused_with_both_fingerprints(recipe: Recipes, tmp_path: Path) -> None:
    theirs, ours = LogMelEncoder(8).fingerprint(), LogMelEncoder(16).fingerprint()
    wanted = rf"features/train: audio_encoder {theirs} made its features, but audio.kind=log_mel is {ours}"
    with pytest.raises(RecipeError, match=wanted):
        prepare_data(recipe("features", "audio.bins=16"), tmp_path / "run", QUIET)


def test_a_vae_with_another_scale_is_another_vae() -> None:
    vae, encoder = new_vae((8, 16), 4), LogMelEncoder(8)
    before = features_of(vae, encoder)
    vae.register_to_config(scaling_factor=0.5)
    assert features_of(vae, encoder)["vae"] != before["vae"]


def test_features_are_refused_where_the_recipe_trains_its_own_vae(recipe: Recipes, tmp_path: Path) -> None:
    with pytest.raises(
        RecipeError, match=r"trains a VAE of its own; give vae\.path=.*without --vae and --audio-encoder"
    ):
        prepare_data(recipe("features", vae=None), tmp_path / "run", QUIET)
    assert not (tmp_path / "run" / "vae").exists()


def test_shards_in_which_some_clips_have_no_features_are_refused(recipe: Recipes, made: Path, tmp_path: Path) -> None:
    samples = list(read_shards(made / "features/train"))
    write_shards([samples[0], replace(samples[1], latents=None)], made / "mixed/train", 2)
    with pytest.raises(RecipeError, match="1 clips with latents and 2 with audio states, of 2; shard the clips again"):
        prepare_data(recipe("mixed"), tmp_path / "run", QUIET)


@pytest.mark.parametrize("shards", ["features", "plain"])
def test_clips_of_another_size_are_refused(recipe: Recipes, tmp_path: Path, shards: str) -> None:
    with pytest.raises(RecipeError, match=r"train: clip c0 has 32x32 pixels, but clip.size is 64; set clip.size"):
        prepare_data(recipe(shards, "clip.size=64"), tmp_path / "run", QUIET)


def test_states_in_bfloat16_move_training_samples_by_their_rounding_only(made: Path) -> None:
    stored = load_latents(made / "features/train")
    exact = {each.key: each.audio for each in read_shards(made / "features/train", parts=("audio",))}
    for clip in stored:
        audio = exact[clip.key]
        assert audio is not None
        states = LogMelEncoder(8)(torch.from_numpy(audio)[None], len(clip.latents))[0]
        assert clip.states.dtype == torch.bfloat16
        torch.testing.assert_close(clip.states.float(), states, rtol=2**-8, atol=0)


def lists(*sets: Path, weights: str = "") -> str:
    return "data.train_shards=[" + ", ".join(f"{{path: {each}{weights}}}" for each in sets) + "]"


def test_several_sets_are_trained_on_one_after_the_other(recipe: Recipes, made: Path, tmp_path: Path) -> None:
    both = lists(made / "features/train", made / "features/test")
    data = prepare_data(recipe("features", both), tmp_path / "run", QUIET)
    assert [clip.key for clip in data.train] == ["c0", "c1", "c2"]
    assert not (tmp_path / "run" / "data").exists()


def test_several_sets_all_need_features(recipe: Recipes, made: Path, tmp_path: Path) -> None:
    for sets in (("features/train", "plain/test"), ("plain/train", "plain/test")):
        with pytest.raises(
            RecipeError,
            match=r"plain/te?\w+: holds no latents and audio states; of several sets all need.* fada data encode ",
        ):
            prepare_data(recipe("features", lists(*(made / each for each in sets))), tmp_path / "run", QUIET)


def test_features_of_any_set_that_others_made_are_refused(recipe: Recipes, made: Path, tmp_path: Path) -> None:
    samples = list(read_shards(made / "features/train"))
    write_shards(samples, made / "others/train", 2, {"vae": "x", "audio_encoder": "y"}, overwrite=True)
    both = lists(made / "features/train", made / "others/train")
    with pytest.raises(RecipeError, match=r"others/train: vae x made its features, but vae.path"):
        prepare_data(recipe("features", both), tmp_path / "run", QUIET)


def test_held_out_clips_are_decoded_when_they_are_looked_at(
    recipe: Recipes, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []
    original = shard_set.decode_sample
    monkeypatch.setattr(shard_set, "decode_sample", lambda key, *rest: (decoded.append(key), original(key, *rest))[1])
    held_out = prepare_data(recipe("features"), tmp_path / "run", QUIET).test
    assert len(held_out) == 1
    assert decoded == []
    expected = next(iter(read_shards(made / "features/test")))
    for clip in (held_out[0], *held_out[:3]):
        assert clip.key == "c2"
        np.testing.assert_array_equal(clip.frames, expected.frames)
        np.testing.assert_array_equal(clip.audio, expected.audio)
    assert decoded == ["c2", "c2"]


def test_damaged_held_out_clips_are_left_out_and_named(made: Path, tmp_path: Path) -> None:
    samples = [replace(next(iter(read_shards(made / "plain/test"))), key=f"c{number}") for number in range(3)]
    write_shards(samples, tmp_path / "s", 3)
    shards = shard_set.ShardSet(tmp_path / "s")
    file = tmp_path / "s" / shards.index.shards[0].name
    data = bytearray(file.read_bytes())
    data[sum(shards.table.members_of(1)["wav"]) - 1] ^= 1
    file.write_bytes(data)
    with pytest.warns(DamagedShardWarning, match=r"s: 1 damaged members skipped: .*c1.wav: changed since it was"):
        clips = HeldOutClips(shard_set.ShardSet(tmp_path / "s"))
    assert [clip.key for clip in clips] == ["c0", "c2"]
    write_shards([replace(samples[0], audio=None)], tmp_path / "silent", 1)
    with pytest.raises(ValueError, match="c0: held-out clips need frames and sound; write shards with both"):
        HeldOutClips(shard_set.ShardSet(tmp_path / "silent"))
    file.write_bytes(b"")
    with pytest.raises(DamagedClip, match=r"s: .*c0.json: empty or cut off; remove this held-out clip, or get it"):
        clips[0]


def test_workers_that_read_ahead_change_no_weight(tiny: Recipes, tmp_path: Path) -> None:
    for workers in (0, 2):
        jobs.train_teacher(tiny(tmp_path / str(workers), f"engine.data_workers={workers}"), QUIET)
    for stage in ("1-images", "2-clips"):
        one, two = (load_file(tmp_path / workers / f"stages/{stage}.safetensors") for workers in ("0", "2"))
        assert all(torch.equal(one[name], two[name]) for name in one)
    lines = (tmp_path / "2/work/teacher-clips/log.jsonl").read_text().splitlines()
    assert all("seconds_data" in json.loads(line) for line in lines)


def test_workers_are_for_gpus_and_for_stored_clips(recipe: Recipes, made: Path) -> None:
    clips = load_latents(made / "features/train")
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    plain, asked = recipe("features"), recipe("features", "engine.data_workers=3")
    assert (data_workers(plain, cpu, clips), data_workers(plain, gpu, clips)) == (0, 2)
    assert (data_workers(asked, cpu, clips), data_workers(asked, gpu, ClipsInMemory(list(clips)))) == (3, 0)


def test_states_made_of_sound_are_those_that_would_be_stored(recipe: Recipes, made: Path, tmp_path: Path) -> None:
    vae = made / "vae"
    small = encode_shards(
        str(made / "plain"), str(made / "sound"), partial(load_tools, vae, None), keeps_frames=False
    ).indices[str(made / "sound/train")]
    assert {part for part, count in small.parts.items() if count} == {"audio", "latents"}
    assert "audio_encoder" not in small.features
    data = prepare_data(recipe("sound", "audio.states=from_sound", f"data.test_shards={made / 'plain/test'}"),
                        tmp_path / "run", QUIET)  # fmt: skip
    stored = load_latents(made / "features/train")
    for one, two in zip(data.train, stored, strict=True):
        assert one.key == two.key
        assert torch.equal(one.latents, two.latents)
        assert torch.equal(one.states, two.states)
    # What a training follows from: the clips, and what hears them.
    sampler = ClipSampler(data.train, 4, 1, 1, seed=0)
    with reading_ahead(sampler, 1):
        batches = [sampler.batch(step, BatchShape(2)) for step in range(3)]
    for step, batch in enumerate(batches):
        assert torch.equal(batch.audio, ClipSampler(stored, 4, 1, 1, seed=0).batch(step, BatchShape(2)).audio)
    other = load_latents(made / "sound/train", encoder=LogMelEncoder(16))
    assert (
        hash_clips(other)
        != hash_clips(data.train)
        == hash_clips(load_latents(made / "sound/train", encoder=LogMelEncoder(8)))
    )


def test_states_cannot_be_made_where_there_is_no_sound_and_are_missed_where_none_are_made(
    recipe: Recipes, made: Path, tmp_path: Path
) -> None:
    samples = list(read_shards(made / "features/train"))
    write_shards([replace(each, audio=None, frames=None) for each in samples], made / "mute/train", 2, overwrite=True)
    held_out = f"data.test_shards={made / 'plain/test'}"
    with pytest.raises(
        RecipeError, match=r"2 clips with latents and 0 with sound, of 2, and audio\.states: from_sound ne"
    ):
        prepare_data(recipe("mute", "audio.states=from_sound", held_out), tmp_path / "run", QUIET)
    write_shards([replace(each, audio_states=None) for each in samples], made / "unheard/train", 2, overwrite=True)
    with pytest.raises(
        RecipeError, match=r"2 clips with latents and 0 with audio states, of 2; .*audio\.states: from_sound"
    ):
        prepare_data(recipe("unheard", held_out), tmp_path / "run", QUIET)


def test_held_out_clips_need_no_training_clips(recipe: Recipes, tmp_path: Path) -> None:
    alone = recipe("features")
    gone = alone.data.model_copy(update={"train_shards": str(tmp_path / "gone")})
    clips = held_out(alone.model_copy(update={"data": gone}), tmp_path / "run", QUIET)
    assert [clip.key for clip in clips] == ["c2"]
