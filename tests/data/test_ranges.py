"""Parts of objects in a store: what is asked for, what comes back, and reads that fail for a while."""

import pickle
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import torch

from fada.data.sampling.clip_source import DamagedClip
from fada.data.sampling.dataset import BatchShape, ClipSampler, hash_clips
from fada.data.shards import format as shard_format
from fada.data.shards import ranges, shard_set
from fada.data.shards.location import Location, LocationError
from fada.data.shards.parts_cache import PartsCache
from fada.data.shards.ranges import StoreFiles, spans, tried_again
from fada.data.shards.reading import Sample, read_index, read_shards, write_shards
from fada.data.shards.shard_set import ShardSet, make_table
from fada.data.shards.stored_clips import StoredClips
from fada.data.shards.table import table_name


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a folder in a store: fsspec's memory."""
    yield f"memory://{request.node.name[:40].replace('[', '-').replace(']', '')}"
    Location("memory://x")._store.store.clear()


def sample(number: int) -> Sample:
    torch.manual_seed(number)
    return Sample(
        f"clip-{number}",
        {"quality": "A", "number": number},
        latents=torch.randn(5, 4, 4, 4).half(),
        audio_states=torch.randn(5, 1, 8).bfloat16(),
    )


def test_samples_of_a_store_equal_those_read_in_order(store: str) -> None:
    write_shards((sample(number) for number in range(7)), store, 3)
    found = ShardSet(store)
    for number, expected in enumerate(read_shards(store)):
        read = found.sample(number, ("latents", "audio_states"))
        assert read.key == expected.key
        assert torch.equal(read.latents, expected.latents)  # type: ignore[arg-type]
        assert torch.equal(read.audio_states, expected.audio_states)  # type: ignore[arg-type]
    again = pickle.loads(pickle.dumps(found)).sample(6, ("latents",))
    assert again.key == "clip-6"


def test_of_a_shard_no_more_is_asked_for_than_a_sample_has(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_shards((sample(number) for number in range(7)), store, 3)
    found = ShardSet(store)
    asked: list[tuple[int, int]] = []
    original = Location.read_range
    monkeypatch.setattr(
        Location, "read_range", lambda self, name, *span: (asked.append(span), original(self, name, *span))[1]
    )
    monkeypatch.setattr(Location, "fetched", None)
    found.sample(1, ("latents", "audio_states"))
    places = found.table.members_of(1).values()
    # One request: the members are neighbours.
    assert asked == [(min(offset for offset, _ in places), max(offset + size for offset, size in places))]


def test_neighbours_are_got_together_and_what_is_far_apart_is_not() -> None:
    far = ranges.GAP + 1
    places = {"c": (100, 10), "a": (0, 10), "far": (110 + far, 5), "inner": (102, 2)}
    assert spans(places) == [(0, 110, ["a", "c", "inner"]), (110 + far, 115 + far, ["far"])]
    assert spans({}) == []


def test_a_read_that_fails_for_a_while_is_tried_again(store: str, monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    write_shards([sample(0)], store, 1)
    found = ShardSet(store)
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    original, failures = Location.read_range, 3

    def unwell(self: Location, name: str, first: int, last: int) -> bytes:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise LocationError(f"{self}/{name}: cannot be read (503)")
        return original(self, name, first, last)

    monkeypatch.setattr(Location, "read_range", unwell)
    assert found.sample(0, ("latents",)).key == "clip-0"
    assert [0.5 <= waits[0] <= 0.75, 1 <= waits[1] <= 1.5, 2 <= waits[2] <= 3] == [True] * 3
    assert len(waits) == 3
    assert f"{store}/{found.index.shards[0].name}: try 3 failed" in caplog.text
    assert f"cannot be read (503)); the next in {waits[2]:.1f} s" in caplog.text


def test_a_store_that_stays_away_is_named_with_the_object_and_how_often_it_was_tried(monkeypatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)

    def away() -> bytes:
        raise LocationError("s3://b/x.tar: cannot be read (503)")

    with pytest.raises(LocationError, match=r"s3://b/x.tar: cannot be read \(503\); it was tried 7 times"):
        tried_again("x", away)


def test_a_store_that_stays_away_is_no_damage_of_the_clip(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_shards([sample(0), sample(1)], store, 1)
    sampler = ClipSampler(StoredClips([ShardSet(store)]), 4, 0, 1)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)

    def away(self: Location, name: str, first: int, last: int) -> bytes:
        raise LocationError(f"{self}/{name}: cannot be read (503)")

    monkeypatch.setattr(Location, "read_range", away)
    with pytest.raises(LocationError, match=r"memory://.*/shard-\S+.tar: cannot be read \(503\); it was tried 7 times"):
        sampler.batch(0, BatchShape(1))


def test_an_object_that_is_not_there_is_damage_and_is_not_asked_for_again(store: str, monkeypatch) -> None:
    index = write_shards((sample(number) for number in range(2)), store, 1)
    found = ShardSet(store)
    monkeypatch.setattr(time, "sleep", None)
    Location(store).remove(index.shards[0].name)
    with pytest.raises(DamagedClip, match=rf"{index.shards[0].name}/clip-0: cannot be read"):
        found.sample(0, ("latents",))
    assert found.sample(1, ("latents",)).key == "clip-1"


def test_what_lies_beyond_an_object_is_not_asked_for(store: str) -> None:
    write_shards([sample(0)], store, 1)
    (shard,) = read_index(store).shards
    files = StoreFiles(Location(store), {shard.name: shard.bytes})
    places = {"in": (0, 10), "out": (shard.bytes - 5, 10), "vast": (0, 2**60), "none": (3, 0)}
    parts = files.read_parts(shard.name, places)
    assert {name: len(data) for name, data in parts.items()} == {"in": 10, "out": 0, "vast": 0, "none": 0}


def test_a_store_without_a_table_gets_one(store: str) -> None:
    write_shards((sample(number) for number in range(3)), store, 2)
    name = table_name(read_index(store))
    Location(store).remove(name)
    assert [ShardSet(store).table.key_of(row) for row in range(3)] == ["clip-0", "clip-1", "clip-2"]
    assert name not in Location(store).files()
    assert make_table(Location(store)).samples == 3
    assert name in Location(store).files()


def test_machines_fetch_every_byte_once_and_by_shard_in_later_epochs_hardly_any(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two machines of two processes with a cache each, three epochs of 30 clips, 4 samples a step."""
    write_shards((sample(number) for number in range(30)), store, 3)
    size = sum(end - first for first, end in (extent(ShardSet(store), number) for number in range(30)))
    original = Location.read_range
    for by_shard in (True, False):
        asked = [0]

        def count(self: Location, name: str, first: int, last: int, asked: list[int] = asked) -> bytes:
            asked[0] += last - first
            return original(self, name, first, last)

        monkeypatch.setattr(Location, "read_range", count)
        caches = [PartsCache(tmp_path / f"{by_shard}-{machine}", 2**30) for machine in range(2)]
        samplers = [
            ClipSampler(StoredClips([ShardSet(store, cache)], by_shard=by_shard), 4, 1, 1, seed=3) for cache in caches
        ]
        bytes_of, keys = [], []
        for epoch in range(3):
            before = asked[0]
            for position in range(30 * epoch, 30 * (epoch + 1)):
                step, number = divmod(position, 4)
                keys += samplers[number // 2].sample(step, number, 4).keys
            bytes_of.append(asked[0] - before)
        assert all(len(set(keys[30 * epoch : 30 * (epoch + 1)])) == 30 for epoch in range(3))
        assert bytes_of[0] == size
        # Two clips of thirty are left over by steps of four, and go round.
        assert (bytes_of[1] <= 2.1 / 30 * size) == by_shard


def test_by_shard_neighbours_come_with_one_request_and_every_byte_once_whoever_asks(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thirty samples in shards of ten; blocks of about three."""
    write_shards((sample(number) for number in range(30)), store, 10)
    size = sum(end - first for first, end in (extent(ShardSet(store), number) for number in range(30)))
    monkeypatch.setattr(ranges, "SMALLEST_CACHE", 0)
    for module in (ranges, shard_set):
        monkeypatch.setattr(module, "BLOCK", size // 10)
    asked: list[tuple[int, int]] = []
    original = Location.read_range
    monkeypatch.setattr(
        Location, "read_range", lambda self, name, *span: (asked.append(span), original(self, name, *span))[1]
    )
    expected = ClipSampler(StoredClips([ShardSet(store)], by_shard=True), 4, 1, 1, seed=3)
    wanted = [expected.batch(step, BatchShape(3)) for step in range(20)]
    alone = len(asked)
    asked.clear()
    # Two processes of a machine, as far as the cache knows.
    samplers = [
        ClipSampler(StoredClips([ShardSet(store, PartsCache(tmp_path / "c", 2**33))], by_shard=True), 4, 1, 1, seed=3)
        for _ in range(2)
    ]
    for step, batch in enumerate(wanted):
        found = samplers[step % 2].batch(step, BatchShape(3))
        assert found.keys == batch.keys
        assert torch.equal(found.latents, batch.latents)
        assert torch.equal(found.audio, batch.audio)
    assert alone == 60
    assert len(asked) <= 15
    # Between the samples lie the headers of their members.
    assert sum(last - first for first, last in asked) < 1.5 * size


def test_a_block_is_one_entry_of_the_spans_alone_and_others_between_the_same_ends_are_another(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranges, "SMALLEST_CACHE", 0)
    monkeypatch.setattr(ranges, "GAP", 0)
    data = bytes(range(100))
    Location(store)._store.pipe_file(f"{Location(store)._root}/object", data)
    asked: list[tuple[int, int]] = []
    original = Location.read_range
    monkeypatch.setattr(
        Location, "read_range", lambda self, name, *span: (asked.append(span), original(self, name, *span))[1]
    )
    cache = PartsCache(tmp_path / "c", 2**33)
    for first, second in (((0, 10), (50, 50)), ((0, 20), (60, 40))):
        samples = [{"x": first}, {"x": second}]
        # Two processes of a machine.
        for offset, size in (first, second, second):
            files = StoreFiles(Location(store), {"object": 100}, cache)
            assert files.read_parts("object", {"x": (offset, size)}, lambda samples=samples: samples) == {
                "x": data[offset : offset + size]
            }
    assert asked == [(0, 100), (0, 100)]
    # What lies between the spans is not kept; an entry has a head of eight bytes.
    entries = [each for each in (tmp_path / "c").glob("??/*") if not each.name.startswith(".")]
    assert sorted(each.stat().st_size for each in entries) == [68, 68]


def test_spans_that_are_too_much_for_one_entry_are_brought_and_kept_alone(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranges, "SMALLEST_CACHE", 0)
    monkeypatch.setattr(ranges, "GAP", 0)
    Location(store)._store.pipe_file(f"{Location(store)._root}/object", bytes(range(100)))
    asked: list[tuple[int, int]] = []
    original = Location.read_range
    monkeypatch.setattr(
        Location, "read_range", lambda self, name, *span: (asked.append(span), original(self, name, *span))[1]
    )
    # Entries of 60 bytes: 10 and 50 with a head of eight are one each, together they are too much.
    files = StoreFiles(Location(store), {"object": 100}, PartsCache(tmp_path / "c", 60 * 64))
    for place in ((0, 10), (50, 50), (0, 10), (50, 50)):
        files.read_parts("object", {"x": place}, lambda: [{"x": (0, 10)}, {"x": (50, 50)}])
    assert asked == [(0, 10), (50, 100)]


def extent(shards: ShardSet, number: int) -> tuple[int, int]:
    """First byte and end of a sample's members."""
    places = shards.table.members_of(number).values()
    return min(offset for offset, _ in places), max(offset + size for offset, size in places)


def test_by_shard_any_number_of_processes_draws_the_same_and_runs_of_a_global_order_are_not_gone_on_with(
    store: str,
) -> None:
    write_shards((sample(number) for number in range(13)), store, 3)
    clips = StoredClips([ShardSet(store)], by_shard=True)
    sampler = ClipSampler(clips, 4, 1, 1, seed=3)
    drawn = {}
    for world in (1, 2, 4):
        shapes = [BatchShape(4 // world, rank, world) for rank in range(world)]
        drawn[world] = [key for step in range(9) for shape in shapes for key in sampler.batch(step, shape).keys]
    assert drawn[1] == drawn[2] == drawn[4]
    assert sorted(drawn[1][:13]) == sorted(drawn[1][13:26]) == sorted({f"clip-{number}" for number in range(13)})
    assert drawn[1] != [
        key for step in range(9) for key in ClipSampler(StoredClips([ShardSet(store)]), 4, 1, 1, seed=3).batch(
            step, BatchShape(4)
        ).keys
    ]  # fmt: skip
    assert hash_clips(clips) != hash_clips(StoredClips([ShardSet(store)]))
    assert clips.hash_records() != StoredClips([ShardSet(store)]).hash_records()


class Unavailable(SimpleHTTPRequestHandler):
    """Serves a folder with ranges; as often as is asked for it says 503 first."""

    left = 0
    refused = 0

    def do_GET(self) -> None:
        if Unavailable.left:
            Unavailable.left -= 1
            Unavailable.refused += 1
            self.send_error(503)
            return
        data = Path(self.translate_path(self.path)).read_bytes()
        asked = self.headers.get("Range")
        if asked:
            first, last = (int(each) for each in asked.removeprefix("bytes=").split("-"))
            data, total = data[first : last + 1], len(data)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{first + len(data) - 1}/{total}")
        else:
            self.send_response(200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


def test_a_server_that_is_unavailable_for_a_while_costs_no_sample(tmp_path: Path, monkeypatch, caplog) -> None:
    pytest.importorskip("aiohttp")
    write_shards((sample(number) for number in range(7)), tmp_path / "s", 3)
    monkeypatch.setattr(ranges, "WAITS", (0.001,) * 6)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Unavailable, directory=str(tmp_path)))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        clips = StoredClips([ShardSet(f"http://127.0.0.1:{server.server_port}/s")])
        there, here = (ClipSampler(each, 4, 1, 1, seed=3) for each in (clips, StoredClips([ShardSet(tmp_path / "s")])))
        Unavailable.refused = 0
        for step in range(6):
            Unavailable.left = step
            one, two = there.batch(step, BatchShape(3)), here.batch(step, BatchShape(3))
            assert one.keys == two.keys
            assert torch.equal(one.latents, two.latents)
            assert one.faults == ()
        assert Unavailable.refused == 15
        assert "503" in caplog.text
        Unavailable.left = 10**6
        with pytest.raises(
            LocationError, match=r"http://127.*/shard-0\S+tar: cannot be read .*503.*it was tried 7 times"
        ):
            there.batch(6, BatchShape(3))
    finally:
        server.shutdown()
        server.server_close()


def test_what_a_store_brings_is_looked_at_and_what_is_kept_of_it_once(store: str, tmp_path: Path, monkeypatch) -> None:
    write_shards((sample(number) for number in range(3)), store, 3)
    found = ShardSet(store, PartsCache(tmp_path / "c", 2**30))
    # As of a table of an earlier version: by its checksums nothing would be hashed.
    found.table = replace(found.table, sums=None)
    hashed = []
    plain = shard_format.hashlib.sha256
    monkeypatch.setattr(shard_format.hashlib, "sha256", lambda data: hashed.append(len(data)) or plain(data))

    def looks() -> int:
        hashed.clear()
        found.sample(1, ("latents",))
        return sum(each > 200 for each in hashed)

    # Brought, then for the first time from the cache, then known; and brought anew where it has gone from there.
    assert [looks() > 0 for _ in range(4)] == [True, True, False, False]
    # What another process keeps in its place may be damaged: it is looked at, and got again.
    (entry,) = (each for each in (tmp_path / "c").glob("??/*") if each.stat().st_size > 200)
    whole = entry.read_bytes()
    entry.write_bytes(whole[:4] + b"anew" + whole[8:-3] + b"xyz")
    assert looks() > 0
    assert entry.read_bytes()[8:] == whole[8:]
    for entry in (tmp_path / "c").glob("??/*"):
        entry.unlink()
    original, tries = Location.read_range, []

    def damaged(*rest: object) -> bytes:
        tries.append(rest)
        data = original(*rest)  # type: ignore[arg-type]
        return data if len(tries) == 2 else data[:-3] + b"xyz"

    monkeypatch.setattr(Location, "read_range", damaged)
    # Damaged on its way: it is got once more, and kept whole.
    assert looks()
    assert len(tries) == 2
    assert [looks() > 0 for _ in range(2)] == [True, False] or looks() == 0
    for entry in (tmp_path / "c").glob("??/*"):
        entry.unlink()
    for _ in range(2):
        with pytest.raises(DamagedClip):
            looks()
