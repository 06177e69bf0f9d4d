"""How many processors this process may use: what its affinity allows, no more than its control groups grant.

`os.cpu_count()` is the machine's: in a container that may use two of 64 it starts 32 times too many threads. Imports
nothing heavy, because the number is wanted before torch is loaded.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_NO_LIMIT = math.inf


def usable_processors(system: Path = Path("/")) -> int:
    """Processors that this process may keep busy, at least 1.

    Affinity (`taskset`, Slurm, cpusets) and the time quota of every control group that the process lies in (versions 1
    and 2; Docker's `--cpus`, Kubernetes' limits), rounded down: a thread more than the quota is stopped for the rest
    of each period, and the others wait for it.

    Args:
        system: root of the file system that holds `proc` and the control groups; another only in tests.
    """
    return max(1, int(min(_by_affinity(), _by_quota(system))))


def _by_affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _by_quota(system: Path) -> float:
    """Processors' worth of time that the tightest group grants."""
    limit = _NO_LIMIT
    for folder, is_unified in _groups(system):
        limit = min(limit, _quota_unified(folder) if is_unified else _quota_first_version(folder))
    return limit


def _groups(system: Path) -> Iterator[tuple[Path, bool]]:
    """Folders of the groups that may limit this process, and whether they are of version 2."""
    ours = dict(_our_groups(system))
    for line in _lines(system / "proc/self/mountinfo"):
        mount, _, kind = line.partition(" - ")
        before, after = mount.split(), kind.split()
        if len(before) < 5 or not after or after[0] not in ("cgroup", "cgroup2"):
            continue
        is_unified = after[0] == "cgroup2"
        if not is_unified and "cpu" not in after[-1].split(","):
            continue
        root, top = PurePosixPath(before[3]), system / before[4].lstrip("/")
        own = ours.get("" if is_unified else "cpu", PurePosixPath("/"))
        # A container may see its group's path as the host does, and only a part of the tree: then the mount is its own.
        inside = own.relative_to(root) if own.is_relative_to(root) else PurePosixPath()
        for part in (inside, *inside.parents):
            yield top / part, is_unified


def _our_groups(system: Path) -> Iterator[tuple[str, PurePosixPath]]:
    """Controller (empty for version 2) → the path of our group in its tree."""
    for line in _lines(system / "proc/self/cgroup"):
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        for controller in controllers.split(","):
            yield controller, PurePosixPath(path or "/")


def _quota_unified(folder: Path) -> float:
    words = " ".join(_lines(folder / "cpu.max")).split()
    return _share(words[0], words[1]) if len(words) == 2 else _NO_LIMIT


def _quota_first_version(folder: Path) -> float:
    quota, period = (" ".join(_lines(folder / f"cpu.cfs_{name}_us")) for name in ("quota", "period"))
    return _share(quota, period)


def _share(quota: str, period: str) -> float:
    """Microseconds of work per microseconds of time; `max`, -1 and what is no number are no limit."""
    try:
        granted, every = int(quota), int(period)
    except ValueError:
        return _NO_LIMIT
    return granted / every if granted > 0 and every > 0 else _NO_LIMIT


def _lines(path: Path) -> list[str]:
    """Of a file that need not be there."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
