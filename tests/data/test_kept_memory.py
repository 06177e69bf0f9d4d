"""Memory that a process frees and keeps: the same pages serve again, and it is told so where clips are read."""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from fada.data.shards import kept_memory, shard_set
from fada.data.shards.ranges import BLOCK
from fada.data.shards.reading import Sample, write_shards
from fada.data.shards.shard_set import ShardSet

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


def test_who_reads_clips_keeps_its_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_shards([Sample("clip", {"quality": "A"}, latents=torch.zeros(2, 4, 2, 2).half())], tmp_path / "set", 1)
    told: list[bool] = []
    monkeypatch.setattr(shard_set, "keep_memory", lambda: told.append(True))
    found = ShardSet(tmp_path / "set")
    assert len(told) == 1
    # As a worker gets it.
    pickle.loads(pickle.dumps(found))
    assert len(told) == 2


def test_another_c_library_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_memory.ctypes, "CDLL", lambda name: object())
    assert not kept_memory.keep_memory()
