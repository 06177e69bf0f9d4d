"""Clips that stay in their shards: the batches of clips in memory, chosen without opening shards, damage replaced."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from fada.data.audio.features import LogMelEncoder
from fada.data.sampling import dataset
from fada.data.sampling.clip_source import ClipSource, DamagedClip, LatentClip
from fada.data.sampling.dataset import Batch, BatchShape, ClipSampler, hash_clips, portraits_of
from fada.data.sampling.mixture import Mixture
from fada.data.shards.reading import Sample, read_index, read_shards, write_shards
from fada.data.shards.shard_set import ShardSet
from fada.data.shards.stored_clips import StoredClips
from fada.data.shards.table import table_name


def sample(number: int, frames: int) -> Sample:
    generator = torch.Generator().manual_seed(number)
    landmarks = {"landmarks": torch.rand(frames, 478, 2, generator=generator)}
    return Sample(
        f"clip-{number}",
        {"quality": "AAB"[number % 3], "split": "train"},
        latents=torch.randn(frames, 4, 4, 4, generator=generator).half(),
        audio_states=torch.randn(frames, 1, 8, generator=generator).bfloat16(),
        landmarks=landmarks,
        face=torch.randn(512, generator=generator),
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_shards((sample(number, 5 + number % 4) for number in range(12)), tmp_path / "s", 5)
    return tmp_path / "s"


def stored(*folders: Path) -> StoredClips:
    return StoredClips([ShardSet(folder) for folder in folders])


def in_memory(clips: ClipSource) -> list[LatentClip]:
    return list(clips)


def drawn(clips: object, steps: int = 4, shape: BatchShape | None = None, **options: object) -> list[Batch]:
    made = ClipSampler(clips, **{"frames": 4, "motion_frames": 1, "context": 1, "seed": 3, **options})  # type: ignore
    return [made.batch(step, shape or BatchShape(4)) for step in range(steps)]


def same(one: Batch, two: Batch) -> None:
    assert (one.keys, one.qualities) == (two.keys, two.qualities)
    for name in ("latents", "reference", "motion", "has_motion", "audio"):
        assert torch.equal(getattr(one, name), getattr(two, name)), name
    assert (one.face is None) == (two.face is None)
    if one.face is not None and two.face is not None:
        assert torch.equal(one.face.embedding, two.face.embedding)
        assert torch.equal(one.face.lip_box, two.face.lip_box)


@pytest.mark.parametrize("quality", ["all", "A", "B"])
def test_batches_equal_those_of_the_same_clips_in_memory_bit_for_bit(folder: Path, quality: str) -> None:
    clips = stored(folder)
    for one, two in zip(drawn(clips, quality=quality), drawn(in_memory(clips), quality=quality), strict=True):
        same(one, two)


def test_clips_come_in_the_order_of_the_shards_whole(folder: Path) -> None:
    found = stored(folder)
    for clip, expected in zip(found, read_shards(folder), strict=True):
        assert (clip.key, clip.quality) == (expected.key, expected.meta["quality"])
        assert torch.equal(clip.latents, expected.latents)  # type: ignore[arg-type]
        assert torch.equal(clip.states, expected.audio_states)  # type: ignore[arg-type]
        assert clip.face is not None
    assert found[-1].key == "clip-11"
    assert [clip.key for clip in found[3:9:2]] == ["clip-3", "clip-5", "clip-7"]
    with pytest.raises(IndexError):
        found[12]


def test_quality_length_and_face_are_chosen_by_without_opening_a_shard(folder: Path) -> None:
    for shard in folder.glob("*.tar"):
        shard.unlink()
    chosen = ClipSampler(stored(folder), 7, 0, 1, quality="A").clips
    # Quality A: numbers 0 and 1 of three; 7 frames: numbers 2 and 3 of four.
    assert [chosen.key(number) for number in range(len(chosen))] == ["clip-3", "clip-6", "clip-7", "clip-10"]
    assert chosen.facts.has_face.all()
    with pytest.raises(ValueError, match=r"no clip of quality 'A' has 9 frames \(there are 12 clips in all\)"):
        ClipSampler(stored(folder), 9, 0, 1, quality="A")


def test_clips_of_which_some_have_no_face_are_refused_by_the_table(folder: Path) -> None:
    more = folder.parent / "more"
    write_shards([sample(20, 6), replace(sample(21, 6), face=None)], more, 1)
    with pytest.raises(ValueError, match=r"1 of 2 clips have no face .*, clip-21 among them; shard all clips"):
        ClipSampler(stored(more), 4, 0, 1)


def test_samples_without_features_are_no_training_clips(folder: Path) -> None:
    write_shards([replace(sample(1, 6), latents=None), sample(2, 6)], folder.parent / "half", 2)
    assert [clip.key for clip in stored(folder.parent / "half")] == ["clip-2"]


def damage(folder: Path, *keys: str) -> None:
    """Change the last byte of these clips' latents."""
    index, found = read_index(folder), ShardSet(folder)
    for row in range(len(found)):
        if found.table.key_of(row) in keys:
            shard = folder / index.shards[int(found.table.shard[row])].name
            data = bytearray(shard.read_bytes())
            data[sum(found.table.members_of(row)["latents.safetensors"]) - 1] ^= 1
            shard.write_bytes(data)


def test_a_damaged_clip_is_replaced_and_named_and_all_others_stay_where_they_were(folder: Path) -> None:
    before = drawn(stored(folder), 3)
    damage(folder, "clip-4")
    after, again = drawn(stored(folder), 3), drawn(stored(folder), 3)
    for one, two, three in zip(before, after, again, strict=True):
        same(two, three)
        assert two.faults == three.faults
        for place, (old, new) in enumerate(zip(one.keys, two.keys, strict=True)):
            assert (new == old) == (old != "clip-4")
            if old == new:
                assert torch.equal(one.latents[place], two.latents[place])
    faults = [fault for batch in after for fault in batch.faults]
    assert len(faults) == 1
    replacement = next(
        new for one, two in zip(before, after, strict=True) for old, new in zip(one.keys, two.keys, strict=True)
        if old != new
    )  # fmt: skip
    assert "clip-4.latents.safetensors: changed since it was written" in faults[0]
    assert faults[0].endswith(f"; {replacement} takes its place")


def test_any_number_of_processes_replaces_by_the_same_clip(folder: Path) -> None:
    damage(folder, "clip-4", "clip-5", "clip-6")
    whole = drawn(stored(folder), 3, BatchShape(4))
    halves = [drawn(stored(folder), 3, BatchShape(2, rank, 2)) for rank in (0, 1)]
    for step in range(3):
        assert whole[step].keys == halves[0][step].keys + halves[1][step].keys
        assert torch.equal(whole[step].latents, torch.cat([half[step].latents for half in halves]))
        assert whole[step].faults == halves[0][step].faults + halves[1][step].faults


def test_where_nearly_all_is_damaged_training_stops_and_says_what_to_look_at(folder: Path) -> None:
    damage(folder, *(f"clip-{number}" for number in range(12)))
    with pytest.raises(DamagedClip, match=r"9 clips in a row are damaged: .*changed since .*; are these the shards"):
        drawn(stored(folder), 1)


@pytest.mark.parametrize(("column", "value"), [("frames", 900), ("quality", 1), ("sides", 9)])
def test_a_table_that_does_not_say_what_a_clip_is_counts_as_damage(folder: Path, column: str, value: int) -> None:
    file = folder / table_name(read_index(folder))
    with safe_open(str(file), framework="np") as opened:
        told = dict(opened.metadata())
    columns = {name: each.copy() for name, each in load_file(file).items()}
    columns[column][4] = value
    save_file(columns, str(file), metadata=told)
    clips = stored(folder)
    with pytest.raises(DamagedClip, match=r"clip-4: is .* of .*, the table of samples says .*; make it again with fad"):
        clips[4]
    assert len(clips[3].latents) == 8


def test_several_sets_are_one_after_the_other_and_their_qualities_stay_theirs(folder: Path) -> None:
    other = folder.parent / "other"
    write_shards((sample(number, 6) for number in (23, 21, 22)), other, 2)
    both = stored(folder, other)
    assert [clip.key for clip in both][-3:] == ["clip-23", "clip-21", "clip-22"]
    assert [clip.quality for clip in both][-3:] == ["B", "A", "A"]
    assert both.facts.counts() == {"A": 8 + 2, "B": 4 + 1}
    assert both.set_numbers.tolist() == [0] * 12 + [1] * 3
    assert set(ClipSampler(both, 4, 0, 1, quality="B").clips.set_numbers.tolist()) == {0, 1}


def test_a_mixture_gives_each_set_its_share_and_each_clip_of_a_set_as_often(folder: Path) -> None:
    other = folder.parent / "other"
    write_shards((sample(number, 6) for number in range(30, 33)), other, 2)
    both = stored(folder, other)
    made = ClipSampler(both, 4, 0, 1, seed=3, mixture=Mixture((2.0, 3.0)))
    numbers = [made.number(position) for position in range(3000)]
    from_first = [number for number in numbers if number < 12]
    # 2 of 5, exactly over whole blocks of 1000; each of the 12 as often as 100 epochs of it say.
    assert len(from_first) == 1200
    assert np.bincount(from_first).tolist() == [100] * 12
    assert np.bincount([number - 12 for number in numbers if number >= 12]).tolist() == [600] * 3
    # It follows from the position, in any number of processes.
    again = ClipSampler(both, 4, 0, 1, seed=3, mixture=Mixture((2.0, 3.0)))
    assert [again.number(position) for position in (2999, 0, 1234)] == [numbers[each] for each in (2999, 0, 1234)]
    whole = made.batch(7, BatchShape(6)).keys
    assert whole == [key for rank in range(3) for key in again.batch(7, BatchShape(2, rank, 3)).keys]


def test_qualities_get_their_shares_within_every_set_and_sets_without_one_none(folder: Path) -> None:
    other = folder.parent / "other"
    write_shards((sample(number, 6) for number in (30, 31)), other, 2)
    both = stored(folder, other)
    qualities = np.array([both.facts.qualities.index(name) for name in ("A", "B")])

    def shares(mixture: Mixture, quality: str = "all") -> dict[tuple[int, str], int]:
        made = ClipSampler(both, 4, 0, 1, quality=quality, mixture=mixture)
        counted: dict[tuple[int, str], int] = {}
        for position in range(1000):
            number = made.number(position)
            name = "AB"[int(np.flatnonzero(qualities == made.clips.facts.quality[number])[0])]
            group = (int(made.clips.set_numbers[number]), name)
            counted[group] = counted.get(group, 0) + 1
        return counted

    # The first set has 8 of A and 4 of B, the second 2 of A.
    assert shares(Mixture(qualities={"A": 1.0, "B": 3.0})) == {(0, "A"): 214, (0, "B"): 643, (1, "A"): 143}
    assert shares(Mixture((1.0, 1.0), {"A": 1.0, "B": 3.0})) == {(0, "A"): 125, (0, "B"): 375, (1, "A"): 500}
    assert shares(Mixture((1.0, 1.0)))[1, "A"] == 500
    assert shares(Mixture((1.0, 9.0)), "B") == {(0, "B"): 1000}
    assert shares(Mixture((1.0, 1.0), {"A": 2.0})) == {(0, "A"): 500, (1, "A"): 500}
    with pytest.raises(ValueError, match=r"no clip is of a quality that has a weight \(B\); there are 10 of A"):
        shares(Mixture(qualities={"B": 1.0}), "A")


def test_a_damaged_clip_of_a_mixture_is_replaced_by_one_of_its_set(folder: Path) -> None:
    other = folder.parent / "other"
    write_shards((sample(number, 6) for number in range(30, 33)), other, 2)
    damage(other, "clip-30")
    both = stored(folder, other)
    made = ClipSampler(both, 4, 0, 1, mixture=Mixture((1.0, 1.0)))
    batches = [made.batch(step, BatchShape(10)) for step in range(3)]
    faults = [fault for batch in batches for fault in batch.faults]
    assert faults
    assert all(fault.endswith(("clip-31 takes its place", "clip-32 takes its place")) for fault in faults)


def test_small_sets_are_known_by_their_content_as_clips_in_memory_are(folder: Path) -> None:
    clips = stored(folder)
    assert hash_clips(clips) == hash_clips(in_memory(clips))
    damage(folder, "clip-4")
    others = [*stored(folder)[:4], *stored(folder)[5:]]
    assert hash_clips(stored(folder)) == hash_clips(others)


def test_large_sets_are_known_by_the_hashes_in_their_table(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = folder.parent / "other"
    write_shards((sample(number, 5 + number % 4) for number in (*range(11), 99)), other, 5)
    monkeypatch.setattr(dataset, "HASHED_WHOLE", 0)
    first, second = stored(folder), stored(other)
    for shard in folder.glob("*.tar"):
        shard.unlink()
    assert hash_clips(first) != hash_clips(second)
    assert hash_clips(first) == hash_clips(stored(folder))
    eleven = np.arange(11)
    assert hash_clips(first.subset(eleven)) == hash_clips(second.subset(eleven))
    assert hash_clips(first.subset(eleven)) != hash_clips(first.subset(eleven[::-1]))


def test_portraits_of_stored_clips_are_those_of_clips_in_memory(folder: Path) -> None:
    clips = stored(folder)
    assert torch.equal(portraits_of(clips, 5, most=4), portraits_of(in_memory(clips), 5, most=4))
    assert len(portraits_of(clips, 5, most=4)) == 4


def test_sound_is_not_heard_at_another_rate_than_its_clips_have(tmp_path: Path) -> None:
    heard = replace(sample(0, 5), audio=np.zeros(3200, np.float32), audio_states=None)
    write_shards([heard, replace(heard, key="fast", fps=30.0)], tmp_path / "s", 2)
    clips = StoredClips([ShardSet(tmp_path / "s")], encoder=LogMelEncoder(8))
    assert clips[0].states.shape == (5, 1, 32)
    with pytest.raises(
        ValueError, match=r"fast: has 30 frames per second, but the audio encoder hears at 25: .*clip\.fps"
    ):
        clips[1]
