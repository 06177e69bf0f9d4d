"""A bounded cache on disk: what is kept, what goes first, and that neither a kill nor a full disk does harm."""

import errno
import multiprocessing
import os
import pickle
import signal
import time
from pathlib import Path

import pytest

from fada.data.shards import parts_cache
from fada.data.shards.location import Location
from fada.data.shards.parts_cache import PartsCache
from fada.data.shards.ranges import StoreFiles
from fada.files.errors import FolderFault
from fada.files.whole import temporary_name

LIMIT = 64 * 1032


def brought(number: int) -> bytes:
    return bytes([number % 256]) * 1000


def total(folder: Path) -> int:
    return sum(size for _, size, _ in parts_cache._entries(folder))


def test_what_was_brought_once_is_kept_for_every_process(tmp_path: Path) -> None:
    cache = PartsCache(tmp_path / "c", LIMIT)
    assert cache.get("a", lambda: b"bytes") == b"bytes"
    for again in (cache, PartsCache(tmp_path / "c", LIMIT), pickle.loads(pickle.dumps(cache))):
        assert again.get("a", lambda: 1 / 0) == b"bytes"  # type: ignore[arg-type, return-value]


def test_it_stays_within_its_limit_and_the_least_recently_used_go_first(tmp_path: Path) -> None:
    cache = PartsCache(tmp_path / "c", LIMIT)
    for number in range(300):
        cache.get(str(number), lambda number=number: brought(number))  # type: ignore[misc]
        assert total(tmp_path / "c") <= LIMIT
        # What is used again and again stays. Times of files are too coarse for so few milliseconds.
        if number:
            os.utime(cache._file("0"), (number, number))
        os.utime(cache._file(str(number)), (number, number))
    for number in (0, 299, 290, 280):
        assert cache.get(str(number), lambda: b"gone") == brought(number)
    assert cache.get("200", lambda: b"gone") == b"gone"


def fill(folder: Path, first: int) -> None:
    cache = PartsCache(folder, LIMIT)
    for number in range(first, first + 400):
        assert cache.get(str(number % 500), lambda number=number: brought(number % 500)) == brought(number % 500)  # type: ignore[misc]


def test_several_processes_share_it_and_keep_its_limit(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    running = [context.Process(target=fill, args=(tmp_path / "c", 100 * rank)) for rank in range(4)]
    for process in running:
        process.start()
    for process in running:
        process.join()
    assert [process.exitcode for process in running] == [0] * 4
    assert total(tmp_path / "c") <= LIMIT


def test_a_cut_or_longer_entry_is_brought_again(tmp_path: Path) -> None:
    cache = PartsCache(tmp_path / "c", LIMIT)
    for damage in (lambda data: data[:-1], lambda data: data + b"x", lambda data: data[:3], lambda data: b""):
        cache.get("a", lambda: b"bytes")
        file = cache._file("a")
        file.write_bytes(damage(file.read_bytes()))
        assert cache.get("a", lambda: b"bytes") == b"bytes"
        assert cache.get("a", lambda: b"other") == b"bytes"


def test_what_is_kept_anew_has_another_number(tmp_path: Path) -> None:
    """By it a reader knows that it has not looked at these bytes yet."""
    cache = PartsCache(tmp_path / "c", LIMIT)
    numbers = set()
    for _ in range(3):
        cache.keep("a", b"0123456789")
        (first, last), number = cache.parts("a", [(0, 2), (8, 2)])  # type: ignore[misc]
        assert (first, last) == (b"01", b"89")
        numbers.add(number)
        assert cache.parts("a", None) == ([b"0123456789"], number)
    assert len(numbers) == 3
    assert cache.parts("none", None) is None


@pytest.mark.parametrize("name", [temporary_name(""), f"{'0' * 64}.half-1"], ids=["now", "by an earlier version"])
def test_what_a_killed_process_left_half_is_never_read_and_goes(tmp_path: Path, name: str) -> None:
    cache = PartsCache(tmp_path / "c", LIMIT)
    half = cache._file("a").with_name(name)
    half.parent.mkdir()
    half.write_bytes(b"hal")
    assert cache.get("a", lambda: b"whole") == b"whole"
    os.utime(half, (1, 1))
    for number in range(120):
        cache.get(str(number), lambda number=number: brought(number))  # type: ignore[misc]
    assert not half.exists()


def test_processes_killed_while_they_fill_it_leave_nothing_that_is_wrong(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    for round_ in range(8):
        process = context.Process(target=fill, args=(tmp_path / "c", 100 * (round_ % 4)))
        process.start()
        # Some while they start, some in the middle.
        time.sleep(0.004 * round_)
        os.kill(process.pid, signal.SIGKILL)  # type: ignore[arg-type]
        process.join()
    cache = PartsCache(tmp_path / "c", LIMIT)
    for number in range(500):
        assert cache.get(str(number), lambda number=number: brought(number)) == brought(number)  # type: ignore[misc]
    left = list((tmp_path / "c").rglob("*.half-*"))
    assert len(left) <= 8
    assert total(tmp_path / "c") <= LIMIT + 1032 * len(left)


def test_a_full_disk_costs_the_cache_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cache = PartsCache(tmp_path / "c", LIMIT)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    for name in ("a", "b", "a"):
        assert cache.get(name, name.encode) == name.encode()
    assert len(caplog.records) == 1
    assert (
        "c: nothing more is kept there ([Errno 28] No space left on device); clips come from the store" in caplog.text
    )
    assert total(tmp_path / "c") == 0


def test_what_is_too_large_for_it_is_not_kept(tmp_path: Path) -> None:
    cache = PartsCache(tmp_path / "c", LIMIT)
    assert cache.get("a", lambda: bytes(5000)) == bytes(5000)
    assert cache.get("a", lambda: b"again") == b"again"


def test_a_folder_of_others_is_not_taken_and_files_of_others_stay(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FolderFault, match="holds files that fada did not make"):
        PartsCache(tmp_path, LIMIT)
    cache = PartsCache(tmp_path / "c", LIMIT)
    (tmp_path / "c" / "ab").mkdir(exist_ok=True)
    (tmp_path / "c" / "ab" / "mine.txt").write_bytes(bytes(LIMIT))
    for number in range(100):
        cache.get(str(number), lambda number=number: brought(number))  # type: ignore[misc]
    assert (tmp_path / "c" / "ab" / "mine.txt").exists()


def test_an_object_is_asked_for_once_and_one_of_another_size_again(tmp_path: Path, monkeypatch) -> None:
    location = Location("memory://cached")
    location._store.pipe_file("/cached/x.tar", bytes(range(200)))
    asked = []
    original = Location.read_range
    monkeypatch.setattr(Location, "read_range", lambda *rest: (asked.append(rest[1:]), original(*rest))[1])
    cache = PartsCache(tmp_path / "c", LIMIT)
    for size in (200, 200, 199):
        files = StoreFiles(location, {"x.tar": size}, cache)
        assert files.read_parts("x.tar", {"a": (3, 2), "b": (10, 1)}) == {"a": b"\x03\x04", "b": b"\x0a"}
    assert asked == [("x.tar", 3, 11), ("x.tar", 3, 11)]
    location._store.store.clear()


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EINVAL, None])
def test_where_room_cannot_be_taken_at_once_things_are_kept_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int | None
) -> None:
    def refuses(*_: int) -> None:
        assert number is not None
        raise OSError(number, "not here")

    if number is None:
        # As on macOS.
        monkeypatch.delattr(parts_cache.os, "posix_fallocate")
    else:
        monkeypatch.setattr(parts_cache.os, "posix_fallocate", refuses)
    cache = PartsCache(tmp_path / "c", 2**20)
    cache.keep("a", b"one", b"two")
    assert not cache.is_full
    assert cache.parts("a", None)[0] == [b"onetwo"]  # type: ignore[index]


def test_a_disk_without_room_for_a_whole_entry_ends_the_keeping(tmp_path: Path, monkeypatch, caplog) -> None:
    def full(descriptor: int, offset: int, size: int) -> None:
        assert (offset, size) == (0, 8 + 6)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(parts_cache.os, "posix_fallocate", full)
    cache = PartsCache(tmp_path / "c", 2**20)
    cache.keep("a", b"one", b"two")
    assert cache.is_full
    assert "No space left" in caplog.text
    assert cache.parts("a", None) is None
    assert not [each for each in (tmp_path / "c").glob("??/*") if each.is_file()]
