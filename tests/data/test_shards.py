"""Shards: round trips, and that damage costs only the damaged samples and is always named."""

import hashlib
import io
import json
import re
import tarfile
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from fada.data.clips.clip import ClipError
from fada.data.shards.format import PARTS
from fada.data.shards.location import Location
from fada.data.shards.reading import (
    DamagedShardWarning,
    Sample,
    ShardError,
    Skipped,
    read_index,
    read_shards,
    write_shards,
)
from fada.data.shards.table import table_name


def sample(number: int, split: str = "train") -> Sample:
    generator = torch.Generator().manual_seed(number)
    return Sample(
        f"clip-{number}",
        {"quality": "A", "split": split, "number": number},
        audio=np.linspace(-0.5, 0.5, 1600, dtype=np.float32),
        latents=torch.randn(4, 4, 8, 8, generator=generator).half(),
        audio_states=torch.randn(4, 1, 16, generator=generator),
    )


def read_damaged(folder: Path) -> tuple[list[str], list[Skipped]]:
    """Keys read and members skipped; fails where no warning says so."""
    skipped: list[Skipped] = []
    with pytest.warns(DamagedShardWarning, match="damaged members skipped"):
        keys = [each.key for each in read_shards(folder, on_skip=skipped.append)]
    return keys, skipped


def first_shard(folder: Path) -> Path:
    return folder / read_index(folder).shards[0].name


def offset_of(folder: Path, member: str) -> tuple[int, int]:
    """Where a member's bytes begin in the first shard, and how many they are."""
    with tarfile.open(first_shard(folder)) as archive:
        info = archive.getmember(member)
        return info.offset_data, info.size


def overwrite(file: Path, offset: int, data: bytes) -> None:
    with file.open("r+b") as stream:
        stream.seek(offset)
        stream.write(data)


def test_samples_come_back_as_written_and_in_order(tmp_path: Path) -> None:
    written = [sample(number) for number in range(5)]
    write_shards(written, tmp_path, 2)
    back = list(read_shards(tmp_path))
    assert [each.key for each in back] == [each.key for each in written]
    for before, after in zip(written, back, strict=True):
        assert after.meta == before.meta
        assert after.frames is None
        assert before.audio is not None
        assert after.audio is not None
        np.testing.assert_allclose(after.audio, before.audio, atol=1 / 32768)
        torch.testing.assert_close(after.latents, before.latents, rtol=0, atol=0)
        torch.testing.assert_close(after.audio_states, before.audio_states, rtol=0, atol=0)


@pytest.mark.parametrize("part", ["latents", "audio_states"])
def test_bfloat16_keeps_its_type(tmp_path: Path, part: str) -> None:
    shape = (2, 1, 2, 2) if part == "latents" else (2, 1, 2)
    write_shards([Sample("a", {}, **{part: torch.ones(shape, dtype=torch.bfloat16)})], tmp_path, 1)  # type: ignore[arg-type]
    assert getattr(next(iter(read_shards(tmp_path))), part).dtype == torch.bfloat16


def test_landmarks_and_masks_come_back_under_their_names(tmp_path: Path) -> None:
    landmarks = {"landmarks": torch.rand(3, 478, 2).half(), "lip_opening": torch.rand(3)}
    masks = {"lip": torch.randint(256, (3, 4, 4), dtype=torch.uint8)}
    write_shards([Sample("a", {}, landmarks=landmarks, masks=masks)], tmp_path, 1)
    back = next(iter(read_shards(tmp_path)))
    for written, found in ((landmarks, back.landmarks), (masks, back.masks)):
        assert found is not None
        assert found.keys() == written.keys()
        assert all(
            torch.equal(found[name], value) and found[name].dtype == value.dtype for name, value in written.items()
        )


def test_a_face_embedding_comes_back_alone(tmp_path: Path) -> None:
    embedding = torch.randn(512, generator=torch.Generator().manual_seed(0))
    write_shards([Sample("a", {}, face=embedding, landmarks={"landmarks": torch.zeros(1)})], tmp_path, 1)
    (back,) = read_shards(tmp_path, parts=["face"])
    assert back.landmarks is None
    torch.testing.assert_close(back.face, embedding, rtol=0, atol=0)


def test_members_that_are_not_asked_for_are_not_read(tmp_path: Path) -> None:
    write_shards([sample(0)], tmp_path, 1)
    rewrite(tmp_path, {"clip-0.wav": b"damaged"})
    (only,) = read_shards(tmp_path, parts=["latents"])
    assert only.latents is not None


def test_frames_come_back_pixel_for_pixel(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    write_shards([Sample("a", {}, frames=frames)], tmp_path, 1)
    np.testing.assert_array_equal(next(iter(read_shards(tmp_path))).frames, frames)


def test_index_counts_and_hashes_the_shards(tmp_path: Path) -> None:
    index = write_shards((sample(n, "test" if n == 4 else "train") for n in range(5)), tmp_path, 2, {"vae": "abc"})
    assert index == read_index(tmp_path)
    assert [shard.samples for shard in index.shards] == [2, 2, 1]
    assert index.splits == {"train": 4, "test": 1}
    assert index.parts == {**dict.fromkeys(PARTS, 0), "audio": 5, "latents": 5, "audio_states": 5}
    assert index.features == {"vae": "abc"}
    for shard in index.shards:
        data = (tmp_path / shard.name).read_bytes()
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (shard.sha256, shard.bytes)
        assert re.fullmatch(rf"shard-\d{{6}}-{shard.sha256[:12]}\.tar", shard.name)


def test_only_the_asked_split_and_parts_are_read(tmp_path: Path) -> None:
    write_shards([sample(0), sample(1, "test"), sample(2)], tmp_path, 8)
    (only,) = read_shards(tmp_path, "test", parts=["latents"])
    assert only.key == "clip-1"
    assert only.latents is not None
    assert only.audio is None
    assert only.audio_states is None


def test_shuffling_is_fixed_by_its_seed_and_loses_nothing(tmp_path: Path) -> None:
    write_shards([sample(number) for number in range(12)], tmp_path, 4)
    orders = [[each.key for each in read_shards(tmp_path, parts=[], shuffle_seed=seed)] for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(f"clip-{number}" for number in range(12))


def test_equal_samples_make_equal_shards(tmp_path: Path) -> None:
    first, second = (write_shards([sample(0), sample(1)], tmp_path / name, 2) for name in "ab")
    assert first == second


def test_a_flipped_bit_costs_one_sample_and_is_named(tmp_path: Path) -> None:
    write_shards([sample(number) for number in range(3)], tmp_path, 8)
    start, size = offset_of(tmp_path, "clip-1.latents.safetensors")
    file = first_shard(tmp_path)
    overwrite(file, start + size - 5, bytes([file.read_bytes()[start + size - 5] ^ 1]))
    keys, skipped = read_damaged(tmp_path)
    assert keys == ["clip-0", "clip-2"]
    assert [str(each) for each in skipped] == [
        f"{file.name}/clip-1.latents.safetensors: changed since it was written (SHA-256 differs)"
    ]


def test_damaged_json_costs_one_sample(tmp_path: Path) -> None:
    write_shards([sample(number) for number in range(3)], tmp_path, 8)
    overwrite(first_shard(tmp_path), offset_of(tmp_path, "clip-1.json")[0], b"\xff\x00{")
    keys, skipped = read_damaged(tmp_path)
    assert keys == ["clip-0", "clip-2"]
    assert skipped[0].member == "clip-1.json"
    assert skipped[0].reason.startswith("unreadable")


def test_a_damaged_header_does_not_end_the_shard(tmp_path: Path) -> None:
    write_shards([sample(number) for number in range(3)], tmp_path, 8)
    start, _ = offset_of(tmp_path, "clip-1.latents.safetensors")
    overwrite(first_shard(tmp_path), start - 512, b"\xab" * 512)
    keys, skipped = read_damaged(tmp_path)
    assert keys == ["clip-0", "clip-2"]
    assert [(each.member, each.reason) for each in skipped] == [("clip-1.latents.safetensors", "missing")]


@pytest.mark.parametrize("keep", [0.0, 0.2, 0.5, 0.9])
def test_a_truncated_shard_gives_its_whole_samples(tmp_path: Path, keep: float) -> None:
    write_shards([sample(number) for number in range(6)], tmp_path, 6)
    file = first_shard(tmp_path)
    # A tar ends in padding: the share counts from the end of the last member.
    file.write_bytes(file.read_bytes()[: int(sum(offset_of(tmp_path, "clip-5.wav")) * keep)])
    keys, skipped = read_damaged(tmp_path)
    assert keys == [f"clip-{number}" for number in range(len(keys))]
    assert int(6 * keep) - 1 <= len(keys) < 6
    assert skipped


def test_a_zero_byte_member_is_named(tmp_path: Path) -> None:
    write_shards([sample(0), sample(1)], tmp_path, 8)
    rewrite(tmp_path, {"clip-0.latents.safetensors": b""})
    keys, skipped = read_damaged(tmp_path)
    assert keys == ["clip-1"]
    assert [(each.member, each.reason) for each in skipped] == [("clip-0.latents.safetensors", "empty or cut off")]


@pytest.mark.parametrize("name", ["../escape.json", "/tmp/escape.json", "a/../../escape.json"])
def test_members_that_point_elsewhere_are_skipped_and_write_nothing(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "inside"
    write_shards([sample(0), sample(1)], folder, 8)
    rewrite(folder, {}, extra={name: b"{}"})
    before = sorted(tmp_path.rglob("*"))
    keys, skipped = read_damaged(folder)
    assert keys == ["clip-0", "clip-1"]
    assert [each.reason for each in skipped] == ["not a plain file of this shard"]
    assert sorted(tmp_path.rglob("*")) == before


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    write_shards([sample(0)], tmp_path, 8)
    rewrite(tmp_path, {"clip-0.latents.safetensors": b"cos\nsystem\n(S'touch broken'\ntR."})
    keys, skipped = read_damaged(tmp_path)
    assert keys == []
    assert "SHA-256 differs" in skipped[0].reason


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    write_shards([sample(number) for number in range(4)], tmp_path, 2)
    file = first_shard(tmp_path)
    file.unlink()
    keys, skipped = read_damaged(tmp_path)
    assert keys == ["clip-2", "clip-3"]
    assert [str(each) for each in skipped] == [f"{file.name}/*: the shard is missing"]


def test_values_that_are_not_finite_are_damage(tmp_path: Path) -> None:
    write_shards([Sample("a", {}, latents=torch.full((1, 1, 2, 2), float("nan")))], tmp_path, 1)
    keys, skipped = read_damaged(tmp_path)
    assert keys == []
    assert "not finite" in skipped[0].reason


def test_whole_shards_give_no_warning(tmp_path: Path) -> None:
    write_shards([sample(0)], tmp_path, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(read_shards(tmp_path))) == 1


def test_an_interrupted_writing_leaves_the_earlier_shards(tmp_path: Path) -> None:
    write_shards([sample(0), sample(1)], tmp_path, 1)

    def interrupted():  # type: ignore[no-untyped-def]
        yield sample(2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shards(interrupted(), tmp_path, 1, overwrite=True)
    assert [each.key for each in read_shards(tmp_path)] == ["clip-0", "clip-1"]
    assert len(list(tmp_path.iterdir())) == 4


def test_an_interrupted_writing_of_the_same_samples_leaves_them(tmp_path: Path) -> None:
    write_shards([sample(0), sample(1)], tmp_path, 1)
    with pytest.raises(ShardError, match="comes twice"):
        write_shards([sample(0), sample(0)], tmp_path, 1, overwrite=True)
    assert [each.key for each in read_shards(tmp_path)] == ["clip-0", "clip-1"]


def test_the_index_comes_after_all_shards_and_before_anything_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shards([sample(0)], tmp_path, 1)
    seen: list[str] = []
    put, remove = Location.put, Location.remove

    def note_put(self: Location, file: Path, name: str) -> None:
        seen.append(f"put {name[:12]}")
        put(self, file, name)

    def note_remove(self: Location, name: str) -> None:
        seen.append(f"remove {name[:12]}")
        remove(self, name)

    monkeypatch.setattr(Location, "put", note_put)
    monkeypatch.setattr(Location, "remove", note_remove)
    write_shards([sample(1), sample(2)], tmp_path, 1, overwrite=True)
    kinds = [re.sub(r"(?<=samples)-[0-9a-f]+$", "", each) for each in seen]
    assert kinds == [
        "put shard-000000", "put shard-000001", "put samples", "put index.json", "remove samples", "remove shard-000000"
    ]  # fmt: skip


def test_what_a_killed_writing_left_goes_with_the_next_and_what_others_put_there_stays(tmp_path: Path) -> None:
    orphan = f"shard-000005-{hashlib.sha256(b'left').hexdigest()[:12]}.tar"
    (tmp_path / orphan).write_bytes(b"left")
    mine = ["shard-000006-0123456789ab.tar", "shard-000001.tar", "notes.txt", ".partial-mine"]
    for name in mine:
        (tmp_path / name).write_text("mine")
    write_shards([sample(0)], tmp_path, 1)
    table = table_name(read_index(tmp_path))
    assert {file.name for file in tmp_path.iterdir()} == {"index.json", first_shard(tmp_path).name, table, *mine}


def test_shards_of_the_earlier_index_that_were_changed_stay(tmp_path: Path) -> None:
    write_shards([sample(0), sample(1)], tmp_path, 1)
    first, second = (tmp_path / shard.name for shard in read_index(tmp_path).shards)
    second.write_bytes(b"mine")
    write_shards([sample(2)], tmp_path, 1, overwrite=True)
    assert not first.exists()
    assert second.read_bytes() == b"mine"


def test_shards_of_the_earlier_naming_are_read(tmp_path: Path) -> None:
    index = write_shards([sample(0)], tmp_path, 1)
    name = index.shards[0].name
    (tmp_path / name).rename(tmp_path / "shard-000000.tar")
    file = tmp_path / "index.json"
    file.write_text(file.read_text().replace(name, "shard-000000.tar"))
    assert [each.key for each in read_shards(tmp_path)] == ["clip-0"]


def test_an_earlier_set_is_replaced_only_when_that_is_asked_for(tmp_path: Path) -> None:
    write_shards([sample(number) for number in range(3)], tmp_path, 1)
    with pytest.raises(ShardError, match="holds a set of 3 clips; give another folder, or --overwrite to replace it"):
        write_shards([sample(7)], tmp_path, 1)
    assert len(list(read_shards(tmp_path))) == 3
    write_shards([sample(7)], tmp_path, 1, overwrite=True)
    assert [each.key for each in read_shards(tmp_path)] == ["clip-7"]
    table = table_name(read_index(tmp_path))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["index.json", table, first_shard(tmp_path).name]


def test_refusals_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="no samples to write"):
        write_shards([], tmp_path, 1)
    with pytest.raises(ShardError, match="'clip-0' comes twice"):
        write_shards([sample(0), sample(0)], tmp_path, 1)
    with pytest.raises(ValueError, match="samples_per_shard must be at least 1, got 0"):
        write_shards([sample(0)], tmp_path, 0)
    with pytest.raises(ClipError, match=r"clip key 'a\.b'"):
        write_shards([Sample("a.b", {})], tmp_path, 1)
    with pytest.raises(ShardError, match=r"index\.json: missing; write the shards again"):
        next(read_shards(tmp_path / "none"))
    write_shards([sample(0)], tmp_path, 1)
    with pytest.raises(ShardError, match="no part named sound; choose from frames, audio"):
        next(read_shards(tmp_path, parts=["sound"]))
    (tmp_path / "index.json").write_text(json.dumps({"shards": 3}))
    with pytest.raises(ShardError, match="not an index of shards"):
        read_index(tmp_path)


def rewrite(folder: Path, replaced: dict[str, bytes], extra: dict[str, bytes] | None = None) -> None:
    """Write the first shard again with other bytes for some members, and more members."""
    file = first_shard(folder)
    with tarfile.open(file) as archive:
        members = {info.name: archive.extractfile(info).read() for info in archive}  # type: ignore[union-attr]
    file.unlink()
    with tarfile.open(file, "w") as archive:
        for name, data in {**members, **replaced, **(extra or {})}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
