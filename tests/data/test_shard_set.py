"""Samples of shards by number: equal to those read in order, whatever made the table, and damage is named."""

import hashlib
import logging
import os
import pickle
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from fada.data.sampling.clip_source import DamagedClip
from fada.data.shards import format as shard_format
from fada.data.shards import open_files, shard_set
from fada.data.shards.format import is_finite
from fada.data.shards.location import Location
from fada.data.shards.reading import DamagedShardWarning, Sample, ShardError, read_index, read_shards, write_shards
from fada.data.shards.shard_set import ShardSet, make_table
from fada.data.shards.table import TableFault, mark_of, open_table, table_name

PARTS = ("audio", "latents", "audio_states")


def sample(number: int, frames: int = 4) -> Sample:
    generator = torch.Generator().manual_seed(number)
    return Sample(
        f"clip-{number}{'x' * (30 * (number % 2))}",
        {"quality": "AB"[number % 2], "split": "train", "number": number},
        audio=np.full(640 * frames, number / 100, np.float32),
        latents=torch.randn(frames, 4, 6, 8, generator=generator).half(),
        audio_states=torch.randn(frames, 1, 16, generator=generator),
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_shards((sample(number, 4 + number) for number in range(7)), tmp_path / "s", 3)
    return tmp_path / "s"


def same(one: Sample, two: Sample) -> None:
    assert (one.key, one.meta, one.fps, one.sample_rate) == (two.key, two.meta, two.fps, two.sample_rate)
    for part in PARTS:
        np.testing.assert_array_equal(np.asarray(getattr(one, part)), np.asarray(getattr(two, part)))


def table_file(folder: Path) -> Path:
    return folder / table_name(read_index(folder))


def test_samples_by_number_equal_those_read_in_order(folder: Path) -> None:
    found = ShardSet(folder)
    assert table_file(folder).is_file()
    for number, expected in enumerate(read_shards(folder, parts=PARTS)):
        same(found.sample(number, PARTS), expected)
    same(found.sample(2, PARTS), found.sample(2, PARTS))
    assert found.sample(5, ("audio",)).latents is None


def test_the_table_knows_frames_sides_qualities_and_parts_without_opening_shards(folder: Path) -> None:
    for shard in folder.glob("*.tar"):
        shard.unlink()
    table = ShardSet(folder).table
    assert table.frames.tolist() == [4, 5, 6, 7, 8, 9, 10]
    assert table.sides.tolist() == [[6, 8]] * 7
    assert table.quality_counts() == {"A": 4, "B": 3}
    assert table.shard.tolist() == [0, 0, 0, 1, 1, 1, 2]
    assert table.holds("latents", "audio").all()
    assert not table.holds("face").any()
    assert [table.key_of(row) for row in (0, 1)] == ["clip-0", "clip-1" + 30 * "x"]


def test_shards_without_a_table_are_read_as_well_and_get_the_same_one(folder: Path) -> None:
    written = table_file(folder).read_bytes()
    table_file(folder).unlink()
    found = ShardSet(folder)
    for number, expected in enumerate(read_shards(folder, parts=PARTS)):
        same(found.sample(number, PARTS), expected)
    assert not table_file(folder).exists()
    made = make_table(Location(folder))
    assert (made.samples, made.stated, made.skipped) == (7, 7, [])
    assert load_file(table_file(folder)).keys() == {
        "shard", "parts", "quality", "split", "frames", "sides", "members", "sums", "record", "key"
    }  # fmt: skip
    (folder / "written").write_bytes(written)
    for name, column in load_file(folder / "written").items():
        np.testing.assert_array_equal(column, load_file(table_file(folder))[name])


def test_where_making_a_table_takes_long_it_says_how_to_have_it_once(folder: Path, monkeypatch, caplog) -> None:
    table_file(folder).unlink()
    ShardSet(folder)
    assert not caplog.records
    monkeypatch.setattr(shard_set, "_MANY", 6)
    ShardSet(folder)
    assert f"{folder}: has no table of its 7 samples; fada data index makes it once" in caplog.text


def test_a_table_of_other_shards_is_not_taken(folder: Path) -> None:
    write_shards([sample(9)], folder.parent / "other", 1)
    index = read_index(folder)
    with pytest.raises(TableFault, match=r"is of other shards than index.json names"):
        open_table(table_file(folder.parent / "other"), index)
    assert mark_of(index) != mark_of(read_index(folder.parent / "other"))


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (lambda told, columns: told.update(format="2"), "is no table of samples that this version knows"),
        (lambda told, columns: columns.pop("frames"), "has the columns 'key'"),
        (lambda told, columns: columns.update(frames=columns["frames"].astype("u8")), "column frames is not of its ki"),
        (lambda told, columns: columns.update(frames=columns["frames"][1:]), "has columns of different lengths"),
        (lambda told, columns: columns["shard"].__setitem__(3, 3), "names shard 3, there are 3"),
        (lambda told, columns: columns["quality"].__setitem__(3, 9), "names quality 9, there are 2"),
        (lambda told, columns: told.update(qualities='["A", 3]'), "has names of qualities or splits that cannot be"),
        (lambda told, columns: told.update(splits="["), "has a list of names that is no JSON"),
        (
            lambda told, columns: columns.update({name: np.repeat(each, 2, axis=0) for name, each in columns.items()}),
            "has 14 samples, the index 7",
        ),
    ],
)
def test_a_table_that_says_what_cannot_be_is_not_used_and_made_anew(folder, change, wanted, caplog) -> None:
    file = table_file(folder)
    with safe_open(str(file), framework="np") as opened:
        told = dict(opened.metadata())
    columns = {name: column.copy() for name, column in load_file(file).items()}
    change(told, columns)
    save_file(columns, str(file), metadata=told)
    with pytest.raises(TableFault, match=wanted):
        open_table(file, read_index(folder))
    with caplog.at_level(logging.WARNING):
        found = ShardSet(folder)
    assert "it is not used, make it again with fada data index" in caplog.text
    assert found.sample(3, PARTS).meta["number"] == 3


def test_a_pipe_in_place_of_a_table_or_a_shard_keeps_nobody_waiting(folder: Path) -> None:
    shard, table = folder / read_index(folder).shards[2].name, table_file(folder)
    for file, wanted in ((shard, "clip-6"), (table, "sample 6")):
        found = pickle.dumps(ShardSet(folder))
        file.unlink()
        os.mkfifo(file)
        with pytest.raises(DamagedClip, match=rf"{wanted}: cannot be read \({file.name} is no ordinary file\)"):
            pickle.loads(found).sample(6, PARTS)
    with pytest.raises(TableFault, match="is no ordinary file"):
        open_table(table, read_index(folder))


@pytest.mark.parametrize("length", [0, 4, 8, 40, 2000])
def test_a_table_that_is_cut_is_not_used(folder: Path, length: int) -> None:
    file = table_file(folder)
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(TableFault, match=r"has a header|column .* is not all there"):
        open_table(file, read_index(folder))
    assert len(ShardSet(folder)) == 7


def test_a_table_with_a_header_of_any_size_takes_no_memory_for_it(folder: Path) -> None:
    file = table_file(folder)
    file.write_bytes((2**62).to_bytes(8, "little") + b"{}")
    with pytest.raises(TableFault, match=f"has a header of {2**62} bytes, tables have up to"):
        open_table(file, read_index(folder))


@pytest.mark.parametrize(("offset", "size"), [(2**60, 10), (0, 2**40), (0, 512), (2**63, 2**63)])
def test_members_that_the_table_puts_elsewhere_are_damage(folder: Path, offset: int, size: int) -> None:
    file = table_file(folder)
    with safe_open(str(file), framework="np") as opened:
        told = dict(opened.metadata())
    columns = {name: column.copy() for name, column in load_file(file).items()}
    columns["members"][4, :, :] = (offset, size)
    save_file(columns, str(file), metadata=told)
    found = ShardSet(folder)
    with pytest.raises(DamagedClip, match=r"shard-000001-\w+.tar/clip-4.json: (empty or cut off|changed since)"):
        found.sample(4, PARTS)
    assert found.sample(3, PARTS).meta["number"] == 3


def test_a_record_that_was_exchanged_is_damage(folder: Path) -> None:
    """Its JSON is whole and fits its siblings: only the table's hash tells."""
    shard = folder / read_index(folder).shards[0].name
    data = shard.read_bytes()
    assert data.count(b'"quality": "A", "split": "train", "number": 0') == 1
    shard.write_bytes(data.replace(b'"split": "train", "number": 0', b'"split": "train", "number": 8'))
    with pytest.raises(DamagedClip, match=r"clip-0.json: changed since it was written"):
        ShardSet(folder).sample(0, PARTS)


def test_a_changed_byte_a_cut_and_a_missing_shard_are_named(folder: Path) -> None:
    first, second, third = (folder / shard.name for shard in read_index(folder).shards)
    data = bytearray(first.read_bytes())
    place = dict(ShardSet(folder).table.members_of(1))["latents.safetensors"]
    data[sum(place) - 1] ^= 1
    first.write_bytes(data)
    second.write_bytes(second.read_bytes()[: second.stat().st_size // 2])
    third.unlink()
    found = ShardSet(folder)
    found.sample(0, PARTS)
    with pytest.raises(DamagedClip, match=r"clip-1x*.latents.safetensors: changed since it was written"):
        found.sample(1, PARTS)
    with pytest.raises(DamagedClip, match=r"clip-5x*.json: empty or cut off"):
        found.sample(5, PARTS)
    with pytest.raises(DamagedClip, match=rf"{third.name}/clip-6: cannot be read \(.*No such file"):
        found.sample(6, PARTS)


def test_what_has_no_row_is_named_where_the_table_is_made(folder: Path) -> None:
    table_file(folder).unlink()
    shards = [folder / shard.name for shard in read_index(folder).shards]
    shards[2].unlink()
    data = shards[0].read_bytes()
    shards[0].write_bytes(data.replace(b'"key": "clip-0"', b'"key": "clip-9"'))
    made = make_table(Location(folder))
    assert made.samples == 5
    said = [str(each) for each in made.skipped]
    assert said[0].endswith("clip-0.json: unreadable (is of 'clip-9')")
    assert said[1].endswith("1 of 3 samples could not be found")
    assert said[2].endswith("the shard is missing")
    table_file(folder).unlink()
    with pytest.warns(DamagedShardWarning, match=r"3 damaged members skipped: .*clip-0.json: unreadable"):
        ShardSet(folder)
    for shard in shards[:2]:
        shard.unlink()
    with pytest.raises(ShardError, match=r"no sample can be read: .*the shard is missing"):
        make_table(Location(folder))


def test_another_process_and_a_pickle_read_the_same(folder: Path) -> None:
    found = ShardSet(folder)
    found.sample(0, PARTS)
    same(pickle.loads(pickle.dumps(found)).sample(6, PARTS), found.sample(6, PARTS))
    child = os.fork()
    if child == 0:
        ok = found.sample(3, PARTS).meta["number"] == 3
        os._exit(0 if ok else 1)
    assert os.waitpid(child, 0)[1] == 0
    found.sample(1, PARTS)


def test_few_files_are_open_at_a_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_files, "_MOST_OPEN", 2)
    found = ShardSet(folder)
    before = len(os.listdir("/proc/self/fd"))
    for number in (0, 3, 6, 0, 3, 6):
        found.sample(number, ("audio",))
    # The table, and two shards.
    assert len(os.listdir("/proc/self/fd")) <= before + 3


def test_reading_warns_of_nothing_where_all_is_whole(folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ShardSet(folder).sample(0, PARTS)


def test_the_earlier_table_goes_with_its_shards_and_a_file_of_others_stays(folder: Path) -> None:
    earlier, foreign = table_file(folder), folder / "samples-0123456789ab.safetensors"
    foreign.write_bytes(b"mine")
    write_shards([sample(1)], folder, 1, overwrite=True)
    assert not earlier.exists()
    assert foreign.read_bytes() == b"mine"
    assert sorted(each.name for each in folder.iterdir()) == sorted(
        ["index.json", read_index(folder).shards[0].name, table_file(folder).name, foreign.name]
    )


def forget_sums(folder: Path) -> None:
    """Make the table as earlier versions did."""
    file = table_file(folder)
    with safe_open(str(file), framework="np") as opened:
        told = dict(opened.metadata())
    save_file({name: column for name, column in load_file(file).items() if name != "sums"}, str(file), metadata=told)


def test_the_table_has_the_checksums_of_what_is_as_it_was_written(folder: Path) -> None:
    found = ShardSet(folder)
    for number in range(7):
        data = (folder / found.index.shards[int(found.table.shard[number])].name).read_bytes()
        places = found.table.members_of(number)
        assert found.table.sums_of(number) == {
            suffix: zlib.crc32(data[offset : offset + size])
            for suffix, (offset, size) in places.items()
            if suffix != "json"
        }
        assert len(found.table.sums_of(number)) == 3


def test_what_is_damaged_or_not_finite_gets_no_checksum(folder: Path) -> None:
    bad = Sample(
        "clip-8", {"quality": "A"}, latents=torch.full((2, 4, 6, 8), torch.inf), audio_states=torch.ones(2, 1, 4)
    )
    write_shards([bad], folder.parent / "bad", 1)
    found = ShardSet(folder.parent / "bad")
    assert found.table.sums_of(0).keys() == {"states.safetensors"}
    with pytest.raises(DamagedClip, match=r"clip-8.latents.safetensors: unreadable \(holds values that are not finite"):
        found.sample(0, ("latents",))
    shard = folder / read_index(folder).shards[0].name
    data = bytearray(shard.read_bytes())
    data[sum(ShardSet(folder).table.members_of(1)["latents.safetensors"]) - 1] ^= 1
    shard.write_bytes(data)
    make_table(Location(folder))
    assert ShardSet(folder).table.sums_of(1).keys() == {"wav", "states.safetensors"}
    with pytest.raises(DamagedClip, match=r"clip-1x*.latents.safetensors: changed since it was written"):
        ShardSet(folder).sample(1, PARTS)


def test_where_checksums_are_damaged_the_hashes_tell(folder: Path) -> None:
    file = table_file(folder)
    with safe_open(str(file), framework="np") as opened:
        told = dict(opened.metadata())
    columns = {name: column.copy() for name, column in load_file(file).items()}
    columns["sums"] += 1
    save_file(columns, str(file), metadata=told)
    for number, expected in enumerate(read_shards(folder, parts=PARTS)):
        same(ShardSet(folder).sample(number, PARTS), expected)


def test_by_checksums_only_records_are_hashed(folder: Path, monkeypatch) -> None:
    found, hashed = ShardSet(folder), []
    plain = hashlib.sha256
    monkeypatch.setattr(shard_format.hashlib, "sha256", lambda data: hashed.append(data[:1]) or plain(data))
    found.sample(1, PARTS)
    assert hashed == [b"{"]


def test_what_was_looked_at_is_not_hashed_again_until_the_file_is_another(folder: Path, monkeypatch) -> None:
    forget_sums(folder)
    found = ShardSet(folder)
    assert found.table.sums is None
    wanted = found.sample(1, ("latents",))
    hashed = []
    plain = hashlib.sha256
    monkeypatch.setattr(shard_format.hashlib, "sha256", lambda data: hashed.append(len(data)) or plain(data))
    assert torch.equal(found.sample(1, ("latents",)).latents, wanted.latents)  # type: ignore[arg-type]
    assert hashed == []
    # Another part, another sample, another process: not looked at yet.
    found.sample(1, ("latents", "audio_states"))
    found.sample(0, ("latents",))
    pickle.loads(pickle.dumps(found)).sample(1, ("latents",))
    assert len(hashed) == 3 + 2 + 2
    found.sample(1, ["audio_states", "latents"])
    assert len(hashed) == 3 + 2 + 2
    shard = folder / found.index.shards[0].name
    data = bytearray(shard.read_bytes())
    offset, size = found.table.members_of(1)["latents.safetensors"]
    data[offset + size - 1] ^= 1
    shard.write_bytes(data)
    with pytest.raises(DamagedClip, match=r"latents\.safetensors: changed since it was written"):
        found.sample(1, ("latents",))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_values_that_are_not_finite_are_told_by_their_bits(dtype: torch.dtype) -> None:
    largest = torch.finfo(dtype).max
    values = torch.tensor([[0.0, -0.0, largest], [-largest, torch.finfo(dtype).tiny, 1.0]], dtype=dtype)
    assert is_finite(values)
    assert is_finite(values.T)
    for bad in (torch.inf, -torch.inf, torch.nan, -torch.nan):
        for place in range(6):
            damaged = values.clone()
            damaged.view(-1)[place] = bad
            assert not is_finite(damaged)
    assert is_finite(torch.zeros(0, dtype=dtype))
    assert is_finite(torch.tensor([255], dtype=torch.uint8))
