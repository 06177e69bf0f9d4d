"""Memory that a process frees and keeps: the same pages serve again, and it is told so where a store is read."""

import subprocess
import sys
from pathlib import Path

import pytest

from fada.data.shards import kept_memory, ranges
from fada.data.shards.location import Location
from fada.data.shards.parts_cache import PartsCache
from fada.data.shards.ranges import BLOCK, StoreFiles

# Pieces of a megabyte, 100 at once: glibc's own rule gives them back, and gets them again page by page.
BY_TURNS = """
import resource
from fada.data.shards.kept_memory import keep_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    pieces = [bytes(2**20) for _ in range(100)]
    del pieces
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

keep = keep_memory()
faults()
print(keep, min(faults() for _ in range(3)))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other C libraries have rules of their own")
def test_what_was_freed_serves_again() -> None:
    done = subprocess.run([sys.executable, "-c", BY_TURNS], check=True, stdout=subprocess.PIPE, text=True)
    is_told, faults = done.stdout.split()
    # 25,600 pages; where another C library is used, nothing is promised.
    assert is_told == "False" or int(faults) < 2560


def test_a_block_fits_into_what_is_kept() -> None:
    assert BLOCK < kept_memory.LARGEST


def test_who_keeps_blocks_of_a_store_keeps_its_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[bool] = []
    monkeypatch.setattr(ranges, "keep_memory", lambda: told.append(True))
    StoreFiles(Location("memory://kept"), {})
    assert not told
    StoreFiles(Location("memory://kept"), {}, PartsCache(tmp_path / "cache", 2**20))
    assert told


def test_another_c_library_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_memory.ctypes, "CDLL", lambda name: object())
    assert not kept_memory.keep_memory()
