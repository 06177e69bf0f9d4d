from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fada.media import processors
from fada.media.processors import usable_processors

UNIFIED = "30 23 0:26 {root} /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
FIRST = "31 23 0:27 {root} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """``machine(mounts, groups, {file: text})``: a file system with those groups, on 64 processors."""
    monkeypatch.setattr(processors, "_by_affinity", lambda: 64)

    def make(mounts: str, groups: str, files: dict[str, str]) -> Path:
        contents = {"proc/self/mountinfo": mounts, "proc/self/cgroup": groups, **files}
        for name, text in contents.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return tmp_path

    return make


@pytest.mark.parametrize(
    ("text", "processors"), [("200000 100000", 2), ("250000 100000", 2), ("50000 100000", 1), ("max 100000", 64)]
)
def test_the_quota_of_version_2_is_rounded_down(machine, text: str, processors: int) -> None:
    system = machine(UNIFIED.format(root="/"), "0::/\n", {"sys/fs/cgroup/cpu.max": text + "\n"})
    assert usable_processors(system) == processors


@pytest.mark.parametrize(("quota", "processors"), [("300000", 3), ("-1", 64), ("1000", 1)])
def test_the_quota_of_version_1_counts_too(machine, quota: str, processors: int) -> None:
    folder = "sys/fs/cgroup/cpu,cpuacct/docker/a"
    files = {f"{folder}/cpu.cfs_quota_us": quota, f"{folder}/cpu.cfs_period_us": "100000"}
    system = machine(FIRST.format(root="/"), "5:memory:/other\n4:cpu,cpuacct:/docker/a\n", files)
    assert usable_processors(system) == processors


def test_the_tightest_group_above_counts(machine) -> None:
    files = {
        "sys/fs/cgroup/slice/job/cpu.max": "max 100000",
        "sys/fs/cgroup/slice/cpu.max": "400000 100000",
        "sys/fs/cgroup/cpu.max": "800000 100000",
    }
    assert usable_processors(machine(UNIFIED.format(root="/"), "0::/slice/job\n", files)) == 4


def test_a_container_that_sees_its_group_as_the_host_does(machine) -> None:
    files = {"sys/fs/cgroup/cpu.max": "500000 100000"}
    assert usable_processors(machine(UNIFIED.format(root="/kubepods/pod"), "0::/kubepods/pod\n", files)) == 5
    assert usable_processors(machine(UNIFIED.format(root="/kubepods/pod"), "0::/elsewhere\n", files)) == 5


@pytest.mark.parametrize("text", ["", "nonsense", "1 0", "x y", "1 2 3"])
def test_what_cannot_be_read_is_no_limit(machine, text: str) -> None:
    assert usable_processors(machine(UNIFIED.format(root="/"), "0::/\n", {"sys/fs/cgroup/cpu.max": text})) == 64


def test_a_machine_without_control_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processors, "_by_affinity", lambda: 7)
    assert usable_processors(tmp_path) == 7


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_affinity_is_asked() -> None:
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
        "from fada.media.processors import usable_processors; print(usable_processors())"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "1"
