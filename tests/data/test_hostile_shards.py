"""Shards and indexes from others: no name leads out of a folder, no claim takes memory, and every fault is told."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from fada.data.shards.format import encode_sample
from fada.data.shards.location import Location, LocationError
from fada.data.shards.members import read_members
from fada.data.shards.reading import (
    DamagedShardWarning,
    Sample,
    ShardError,
    Skipped,
    read_index,
    read_shards,
    write_shards,
)

SHARD = "shard-000000-0123456789ab.tar"


def sample(number: int, **changes: Any) -> Sample:
    return Sample(f"clip-{number}", {"split": "train"}, latents=torch.full((2, 1, 2, 2), float(number)), **changes)


def index(**changes: Any) -> dict[str, Any]:
    shard = {"name": SHARD, "samples": 1, "bytes": 10240, "sha256": "0" * 64} | changes.pop("shard", {})
    return {"shards": [shard], "samples": 1, "splits": {"train": 1}, "parts": {"latents": 1}, "features": {}} | changes


def pack(folder: Path, members: dict[str, bytes], samples: int = 1) -> None:
    """A shard of these members with an index that fits it."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    store(folder, stream.getvalue(), samples)


def store(folder: Path, data: bytes, samples: int = 1) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SHARD).write_bytes(data)
    shard = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "samples": samples}
    (folder / "index.json").write_text(json.dumps(index(shard=shard, samples=samples)))


def read(folder: Path | str) -> tuple[list[str], list[Skipped]]:
    """Keys that were read, and what was skipped; fails where nothing was."""
    skipped: list[Skipped] = []
    with pytest.warns(DamagedShardWarning):
        keys = [each.key for each in read_shards(folder, on_skip=skipped.append)]
    return keys, skipped


@pytest.mark.parametrize(
    "name",
    [
        *("../../escaped.tar", "/tmp/fada-escaped.tar", "a/b.tar", "..", "", ".bashrc", "shard\\..\\x.tar", "a\n.tar"),
        *("shard-000000.tar\0", "shard-\x1b[2J.tar", "x" * 300 + ".tar", "shard-000000.tar/", 3, None, ["a.tar"]),
    ],
)
def test_a_shard_of_an_index_is_a_plain_name(tmp_path: Path, name: object) -> None:
    (tmp_path / "index.json").write_text(json.dumps(index(shard={"name": name})))
    with pytest.raises(ShardError, match=r"index.json: not an index of shards \(shards.0.name: .*write the shards"):
        read_index(tmp_path)


@pytest.mark.parametrize("name", ["../../escaped.tar", "/{folder}/escaped.tar"])
def test_a_shard_of_a_store_is_written_nowhere_else(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "a" / "b" / "c"
    home.mkdir(parents=True)
    monkeypatch.setattr("tempfile.tempdir", str(home))
    name = name.format(folder=str(tmp_path).strip("/"))
    place = Location(f"memory://{tmp_path.name}/hostile/deep")
    place._store.pipe_file(f"{place._root}/{name.replace('../', '')}", b"theirs")
    place._store.pipe_file(f"{place._root}/{name}", b"theirs")
    place._store.pipe_file(f"{place._root}/index.json", json.dumps(index(shard={"name": name})).encode())
    with pytest.raises(ShardError, match="not an index of shards"):
        next(read_shards(place))
    with pytest.raises(LocationError, match="is no name of a file"), place.fetched(name):
        pass
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b"[]", b"null", b"3", b"\xff\xfe{}", b"{", b"[" * 200_000, b'{"shards": 3}', b'{"a": ' * 100_000),
        json.dumps(index(shard={"samples": -1})).encode(),
        json.dumps(index(shard={"bytes": -5})).encode(),
        json.dumps(index(shard={"bytes": 10**30})).encode(),
        json.dumps(index(shard={"bytes": 1.5})).encode(),
        json.dumps(index(shard={"samples": "1"})).encode(),
        json.dumps(index(shard={"samples": True})).encode(),
        json.dumps(index(shard={"sha256": "../" * 21 + "x"})).encode(),
        json.dumps(index(shard={"evil": 1})).encode(),
        json.dumps(index(samples=10**12)).encode(),
        json.dumps(index(splits={"../../up": 1})).encode(),
        json.dumps(index(splits=["train"])).encode(),
        json.dumps(index(parts={"latents": float("nan")})).encode(),
        json.dumps(index(features=[])).encode(),
        json.dumps(index(features={"vae": "\ud800"})).encode(),
        json.dumps(index(shards=[index()["shards"][0]] * 2, samples=2)).encode(),
        json.dumps(index()).replace('"samples": 1,', '"samples": 1, "samples": 2,', 1).encode(),
        json.dumps(index()).replace('"samples": 1,', f'"samples": {"9" * 5000},', 1).encode(),
    ],
)
def test_whatever_stands_in_an_index_is_one_error(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "index.json").write_bytes(text)
    with pytest.raises(ShardError, match=r"index\.json: not an index of shards \(") as caught:
        read_index(tmp_path)
    assert len(str(caught.value)) < 600


def test_an_index_without_hashes_is_of_the_first_versions_and_its_sizes_count(tmp_path: Path) -> None:
    write_shards([sample(0)], tmp_path, 1)
    content = json.loads((tmp_path / "index.json").read_text())
    del content["shards"][0]["sha256"]
    (tmp_path / "index.json").write_text(json.dumps(content))
    assert [each.key for each in read_shards(tmp_path)] == ["clip-0"]


def test_a_whole_shard_that_is_not_the_index_s_is_skipped_and_named(tmp_path: Path) -> None:
    write_shards([sample(0)], tmp_path / "theirs", 1)
    made = write_shards([sample(1), sample(2)], tmp_path / "ours", 1)
    other = tmp_path / "theirs" / read_index(tmp_path / "theirs").shards[0].name
    (tmp_path / "ours" / made.shards[0].name).write_bytes(other.read_bytes())
    keys, skipped = read(tmp_path / "ours")
    assert keys == ["clip-2"]
    assert [each.member for each in skipped] == ["*"]
    assert "is not the file of the index (its SHA-256 differs): skipped" in skipped[0].reason


def test_of_a_store_a_shard_of_another_size_or_hash_is_skipped_whole(tmp_path: Path) -> None:
    place = Location(f"memory://{tmp_path.name}/set")
    made = write_shards([sample(number) for number in range(3)], place, 1)
    paths = [f"{place._root}/{shard.name}" for shard in made.shards]
    data = place._store.cat_file(paths[0])
    place._store.pipe_file(paths[0], data[:-700] + b"\1" + data[-699:])
    place._store.pipe_file(paths[1], data + bytes(512))
    keys, skipped = read(str(place))
    assert keys == ["clip-2"]
    assert ["SHA-256 differs" in skipped[0].reason, f"has {len(data) + 512} bytes" in skipped[1].reason] == [True, True]


def test_a_shard_is_hashed_once_per_process_as_long_as_it_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fada.data.shards import index as shard_index

    write_shards([sample(0)], tmp_path, 1)
    hashed: list[Path] = []
    original = shard_index.hash_file
    monkeypatch.setattr(shard_index, "hash_file", lambda file: (hashed.append(file), original(file))[1])
    for _ in range(3):
        assert len(list(read_shards(tmp_path))) == 1
    assert len(hashed) == 1


def records(**changes: Any) -> dict[str, bytes]:
    """Members of one sample, with these entries of its JSON changed, and the meta's by `meta`."""
    members = {f"clip-0.{suffix}": data for suffix, data in encode_sample(sample(0)).items()}
    content = json.loads(members["clip-0.json"])
    content["meta"] |= changes.pop("meta", {})
    members["clip-0.json"] = json.dumps(content | changes).encode()
    return members


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"meta": {"split": ["a"]}}, "meta.split"),
        ({"meta": {"split": "../../up"}}, "meta.split"),
        ({"meta": {"quality": {}}}, "meta.quality"),
        ({"meta": {"identity": ["x"]}}, "meta.identity"),
        ({"meta": {"flaws": "blur"}}, "meta.flaws"),
        ({"meta": {"flaws": [3]}}, "meta.flaws"),
        ({"fps": 0}, "fps"),
        ({"fps": -25}, "fps"),
        ({"fps": "25"}, "fps"),
        ({"sample_rate": 10**15}, "sample_rate"),
        ({"sample_rate": 0.5}, "sample_rate"),
        ({"members": {"latents.safetensors": 3}}, "members"),
        ({"members": []}, "members"),
        ({"key": "another"}, "is of 'another'"),
    ],
)
def test_a_record_of_the_wrong_types_costs_its_sample_and_says_why(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    pack(tmp_path, records(**changes))
    keys, skipped = read(tmp_path)
    assert keys == []
    assert skipped[0].member == "clip-0.json"
    assert said in skipped[0].reason


@pytest.mark.parametrize("text", [b"[" * 100_000, b"[]", b"3", b"\xff{", b"{}", b'{"meta": null}', b""])
def test_whatever_stands_in_a_record_is_no_crash(tmp_path: Path, text: bytes) -> None:
    pack(tmp_path, {"clip-0.json": text, "clip-0.wav": b"x"})
    keys, skipped = read(tmp_path)
    assert (keys, skipped[0].member) == ([], "clip-0.json")


@pytest.mark.parametrize("key", ["a b", "\x1b[2J", "a\u202eb", "x" * 300])
def test_a_key_that_names_no_file_is_skipped_and_shown_as_it_is(tmp_path: Path, key: str) -> None:
    pack(tmp_path, {f"{key}.json": records()["clip-0.json"]})
    keys, skipped = read(tmp_path)
    assert keys == []
    assert all(each.member.isprintable() and each.reason.isprintable() for each in skipped)


@pytest.mark.parametrize(
    "tensors",
    [
        {"latents": torch.zeros(2)},
        {"latents": torch.zeros(2, 1, 2, 2, 2)},
        {"latents": torch.zeros(2, 0, 2, 2)},
        {"latents": torch.zeros(2, 1, 2, 2, dtype=torch.int64)},
        {"latents": torch.zeros(2, 1, 2, 2), "more": torch.zeros(1)},
        {"others": torch.zeros(2, 1, 2, 2)},
    ],
)
def test_latents_are_of_their_shape_and_kind(tmp_path: Path, tensors: dict[str, torch.Tensor]) -> None:
    data = save(tensors)
    pack(tmp_path, {**records(members={"latents.safetensors": hashlib.sha256(data).hexdigest()}),
                    "clip-0.latents.safetensors": data})  # fmt: skip
    keys, skipped = read(tmp_path)
    assert (keys, skipped[0].member) == ([], "clip-0.latents.safetensors")
    assert skipped[0].reason.startswith("unreadable (")


@pytest.mark.parametrize(
    "header",
    [
        {"latents": {"dtype": "F32", "shape": [2**40, 2**20, 8, 8], "data_offsets": [0, 16]}},
        {"latents": {"dtype": "F32", "shape": [-1, 1, 2, 2], "data_offsets": [0, 16]}},
        {"latents": {"dtype": "F99", "shape": [1, 1, 2, 2], "data_offsets": [0, 16]}},
        {"latents": {"dtype": "F32", "shape": [1, 1, 2, 2], "data_offsets": [0, 10**15]}},
    ],
)
def test_a_header_s_claims_are_refused(tmp_path: Path, header: dict[str, Any]) -> None:
    text = json.dumps(header).encode()
    data = struct.pack("<Q", len(text)) + text + bytes(16)
    pack(tmp_path, {**records(members={"latents.safetensors": hashlib.sha256(data).hexdigest()}),
                    "clip-0.latents.safetensors": data})  # fmt: skip
    assert read(tmp_path)[0] == []


def test_parts_of_different_lengths_are_no_sample(tmp_path: Path) -> None:
    members = encode_sample(sample(0, audio_states=torch.zeros(5, 1, 4)))
    pack(tmp_path, {f"clip-0.{suffix}": data for suffix, data in members.items()})
    keys, skipped = read(tmp_path)
    assert keys == []
    assert "different lengths in frames (latents 2, audio_states 5)" in skipped[0].reason


def claiming(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """A header of a member that says it has this many bytes."""
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(format=tarfile.GNU_FORMAT)


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_SPARSE])
def test_a_header_that_claims_a_terabyte_takes_no_memory(tmp_path: Path, kind: bytes) -> None:
    good = io.BytesIO()
    with tarfile.open(fileobj=good, mode="w") as archive:
        for name, data in records().items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    store(tmp_path, good.getvalue() + claiming("big.json", 2**40, kind) + bytes(1024), samples=1)
    skipped: list[tuple[str, ...]] = []
    members = list(read_members(tmp_path / SHARD, {"json", "latents.safetensors"}, lambda *said: skipped.append(said)))
    assert [name for name, data in members if data] == list(records())


def test_headers_that_lead_backwards_or_in_a_chain_end(tmp_path: Path) -> None:
    pax = tarfile.TarInfo("x")
    pax.pax_headers = {"size": "-1024"}
    back = pax.tobuf(format=tarfile.PAX_FORMAT)
    chain = claiming("x", 0, tarfile.XHDTYPE) * 3000
    for data in (back + bytes(2048), chain + bytes(1024), b"\xff" * 4096, claiming("x.json", -512) + bytes(1024)):
        (tmp_path / SHARD).write_bytes(data)
        started = time.monotonic()
        list(read_members(tmp_path / SHARD, {"json"}, lambda *said: None))
        assert time.monotonic() - started < 30


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc/passwd", "..\\x", "a\0b", "a\x1b[2J", "x" * 300])
def test_names_in_a_place_are_plain(tmp_path: Path, name: str) -> None:
    for place in (Location(tmp_path / "here"), Location(f"memory://{tmp_path.name}/x")):
        with place.scratch() as scratch:
            (scratch / "made").write_bytes(b"x")
            with pytest.raises(LocationError, match="is no name of a file"):
                place.put(scratch / "made", name)
        for act in (place.read, place.remove, place.__truediv__):
            with pytest.raises(LocationError, match="is no name of a file"):
                act(name)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_names_that_a_store_lists_are_plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Location(f"memory://{tmp_path.name}/x")
    entries = [{"name": f"/x/{name}", "type": "file"} for name in ("good.tar", "..", "a\x1b[2J", "b\\c")]
    monkeypatch.setattr(type(place._store), "ls", lambda *_, **__: entries)
    assert place.files() == ["good.tar"]


def test_a_huge_or_strange_file_in_place_of_an_index_is_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fada.data.shards.location.LARGEST_READ", 1000)
    (tmp_path / "index.json").write_bytes(b" " * 1001)
    with pytest.raises(LocationError, match="has more than 1000 bytes"):
        read_index(tmp_path)
    (tmp_path / "index.json").unlink()
    (tmp_path / "index.json").mkdir()
    with pytest.raises(LocationError, match="is no ordinary file"):
        read_index(tmp_path)


def test_folders_that_look_like_leftovers_are_left_alone(tmp_path: Path) -> None:
    for name in (".partial-mine", ".partial-0123abcd"):
        (tmp_path / name).mkdir()
    (tmp_path / ".partial-mine" / "thesis.txt").write_text("mine")
    (tmp_path / ".partial-0123abcd" / "0.tar").write_text("half")
    write_shards([sample(0)], tmp_path, 1)
    kept = {path.name for path in tmp_path.rglob("*") if path.is_file() and path.parent.name.startswith(".partial-")}
    assert kept == {"thesis.txt", "0.tar"}
