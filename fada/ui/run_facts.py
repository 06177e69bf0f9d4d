"""What a run's folder says of how far it is: its parts, its log, histograms and previews.

Only reads, and only files of bounded size that are no links: the run may be another's, and may be training.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fada.export.run_models import models_of, recipe_of
from fada.files.folders import inside
from fada.files.json_lines import read_lines, read_tail
from fada.files.locks import holder_of
from fada.files.names import PLAIN_NAME, check_name

LOG = "log.jsonl"
CODEC = "codec"
"""Folder of a codec's training, which comes before the work of stages and phases and lies beside it."""
LARGEST_LOG = 256 * 2**20
LARGEST_EVENTS = 512 * 2**20
POINTS = 400
"""Of a curve: of more, neighbours are averaged."""
HISTOGRAMS = 20
"""Steps whose histograms are kept, evenly drawn."""
RECENT = 20
"""Log lines that say how fast a part goes."""
PILLARS = 32
"""Of a histogram: the logs' buckets grow from nothing to everything, and nobody can read them side by side."""
_TAIL = 64 * 2**10
"""Bytes at the end of a log that say how far a part is."""
_PREVIEW = re.compile(r"frames-(\d{6,12})\.png")
_SHOWN = ("log10_ratio", "weight")
"""Samples of which the logs of phases hold histograms: ratio and weight of the mixed loss."""


@dataclass(frozen=True)
class Part:
    """A stage or phase: the folder of its work, how it is called, steps done and asked for, and time left."""

    name: str
    title: str
    steps: int
    of: int | None
    seconds_left: float | None


def parts_of(run: Path) -> list[Part]:
    """The parts of a run in the order of their training; what its recipe does not name follows."""
    planned = _planned(run)
    work = inside(run, "work")
    names = [each.name for each in sorted(work.iterdir())] if work.is_dir() else []
    others = {name: (name, None) for name in names if name not in planned and PLAIN_NAME.fullmatch(name)}
    return [_part(run, name, *each) for name, each in (planned | others).items()]


def _planned(run: Path) -> dict[str, tuple[str, int | None]]:
    """Title and steps by the name of its work, as the recipe has them."""
    recipe = recipe_of(run)
    teacher, distill = (_table(recipe.get(name)) for name in ("teacher", "distill"))
    stages = [] if teacher.get("path") else _tables(teacher.get("stages"))
    found: dict[str, tuple[str, int | None]] = {}
    codec = _table(_table(teacher.get("codec")).get("train"))
    if codec and not teacher.get("path") and not _table(recipe.get("vae")).get("path"):
        steps = codec.get("steps")
        found[CODEC] = (CODEC, steps if isinstance(steps, int) else None)
    for prefix, title, tables in (("teacher-", "teacher, ", stages), ("", "", _tables(distill.get("phases")))):
        for table in tables:
            name, steps = table.get("name"), table.get("steps")
            if isinstance(name, str) and PLAIN_NAME.fullmatch(name):
                found[f"{prefix}{name}"] = (f"{title}{name}", steps if isinstance(steps, int) else None)
    return found


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _tables(value: object) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _part(run: Path, name: str, title: str, of: int | None) -> Part:
    lines = read_tail(_log_file(run, name), _TAIL)
    last = next((line["step"] for line in reversed(lines) if isinstance(line.get("step"), int)), 0)
    seconds = [line["seconds"] for line in lines[-RECENT:] if _is_number(line.get("seconds"))]
    left = None if of is None or not seconds else max(0, of - last) * sum(seconds) / len(seconds)
    return Part(name, title, last, of, left)


def log_of(run: Path, part: str) -> list[dict[str, Any]]:
    """The lines of a part's log; none where there is none, or one too large to be read here.

    Raises:
        FolderFault: it is a link.
        NameFault: the part's name is none.
    """
    file = _log_file(run, part)
    return read_lines(file) if file.is_file() and file.stat().st_size <= LARGEST_LOG else []


def _log_file(run: Path, part: str) -> Path:
    return inside(_work(run, part), LOG)


def _work(run: Path, part: str) -> Path:
    """The folder of a part's work; a phase may be called codec too, and lies where phases do."""
    work = inside(run, "work", check_name(part, "part"))
    return inside(run, CODEC) if part == CODEC and not work.is_dir() else work


def curves_of(lines: Sequence[Mapping[str, Any]]) -> dict[str, list[tuple[float, float]]]:
    """(step, value) of every figure of a log, in at most `POINTS` points each."""
    found: dict[str, list[tuple[float, float]]] = {}
    for line in lines:
        if not _is_number(line.get("step")):
            continue
        for name, value in line.items():
            if name != "step" and _is_number(value):
                found.setdefault(name, []).append((line["step"], float(value)))
    return {name: list(_thinned(points)) for name, points in found.items()}


def _thinned(points: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    size = math.ceil(len(points) / POINTS)
    for start in range(0, len(points), size):
        some = points[start : start + size]
        yield some[-1][0], sum(value for _, value in some) / len(some)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def histograms_of(run: Path, part: str) -> dict[str, list[dict[str, Any]]]:
    """By name, {step, edges (n + 1), counts (n)} of some steps; nothing where the logs hold none.

    Raises:
        FolderFault: a file of the logs is a link.
    """
    folder = _work(run, part)
    names = [each.name for each in folder.iterdir() if ".tfevents." in each.name] if folder.is_dir() else []
    files = [inside(folder, name) for name in names]
    if not files or sum(file.stat().st_size for file in files) > LARGEST_EVENTS:
        return {}
    from google.protobuf.message import DecodeError
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    few = dict.fromkeys(("scalars", "images", "audio", "tensors", "compressedHistograms"), 1)
    reader = EventAccumulator(str(folder), size_guidance={**few, "histograms": HISTOGRAMS})
    try:
        reader.Reload()
    except (DecodeError, ValueError, OSError):
        return {}
    tags = {name: f"train/{name}" for name in _SHOWN}
    known = reader.Tags()["histograms"]
    return {name: [_histogram(each) for each in reader.Histograms(tag)] for name, tag in tags.items() if tag in known}


def _histogram(event: Any) -> dict[str, Any]:
    """An event's counts in pillars of one width: what a bucket counts is taken as spread over it."""
    value = event.histogram_value
    if not value.min < value.max:
        return {"step": event.step, "edges": [value.min, value.max], "counts": [value.num]}
    # TensorBoard's outermost edges are the largest numbers there are.
    edges = np.clip([value.min, *value.bucket_limit], value.min, value.max)
    wanted = np.linspace(value.min, value.max, PILLARS + 1)
    counts = np.zeros(PILLARS)
    for low, high, count in zip(edges[:-1], edges[1:], value.bucket, strict=True):
        shared = np.clip(np.minimum(wanted[1:], high) - np.maximum(wanted[:-1], low), 0, None)
        # A bucket of no width lies in one pillar.
        place = min(np.searchsorted(wanted, high, side="left"), PILLARS) - 1
        counts += count * shared / shared.sum() if shared.sum() > 0 else count * (np.arange(PILLARS) == max(place, 0))
    return {"step": event.step, "edges": wanted.tolist(), "counts": counts.tolist()}


def previews_of(run: Path, part: str) -> list[int]:
    """Steps of which there is a sheet of preview frames, in order."""
    folder = inside(_work(run, part), "preview")
    names = [each.name for each in folder.iterdir()] if folder.is_dir() else []
    return sorted(int(found[1]) for name in names if (found := _PREVIEW.fullmatch(name)))


def preview_file(run: Path, part: str, step: int) -> Path:
    """The sheet of a step.

    Raises:
        FolderFault: it is a link.
    """
    return inside(_work(run, part), "preview", f"frames-{step:06d}.png")


def state_of(run: Path) -> str:
    """`running` where a process of this machine holds the folder, `finished` where every student is there, else
    `stopped`."""
    if holder_of(run) is not None:
        return "running"
    phases = [table.get("name") for table in _tables(_table(recipe_of(run).get("distill")).get("phases"))]
    models = models_of(run)
    return "finished" if models and all(name in models for name in phases) else "stopped"
