"""The headroom gate of the ablations: what was never trained, at the cost of a table's rows, against the teacher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fada.eval.bench.headroom import NO_HEADROOM, Gate, gate
from fada.eval.bench.qualities import QUALITY_KINDS, Badness, badness, over_clips, quality_measures
from fada.eval.metrics.catalogue import CATALOGUE
from fada.studies.ablations.baselines import TEACHER, Role
from fada.studies.ablations.rows import DECIDED_ON, TABLES


def gates_of_table(results: Mapping[str, Any], number: int) -> list[Gate]:
    """Every untrained line at the cost of a table's rows, on the clips that decide it; all must lose to the teacher."""
    results = on_deciding_clips(results, number)
    teacher = results["baselines"][TEACHER]
    measures = quality_measures([name for names in QUALITY_KINDS.values() for name in names if _has(teacher, name)])
    better = badness_by_clip(teacher, measures)
    return [
        gate(name, results["baselines"][name]["nfe"], badness_by_clip(results["baselines"][name], measures), better)
        for name in untrained_of_table(results, number)
    ]


def on_deciding_clips(results: Mapping[str, Any], number: int) -> Mapping[str, Any]:
    """The results with the lines beside the rows on those clips alone that decide a table.

    A distance over all clips has no value for some of them.
    """
    lines = {}
    for name, found in results["baselines"].items():
        kept = [clip for clip in found["clips"] if results["clips"][clip] in DECIDED_ON[number]]
        lines[name] = found | {"clips": {clip: found["clips"][clip] for clip in kept}}
        if len(kept) < len(found["clips"]):
            lines[name] |= {"fd_latent_synth": None, "without": None}
    return {**results, "baselines": lines}


def baselines_of_table(results: Mapping[str, Any], number: int) -> list[str]:
    """Names of the lines beside a table's rows: the teacher's of many steps, and those at the rows' cost."""
    teachers = [name for name, found in results["baselines"].items() if role_of(name, found) == "teacher"]
    return [*teachers, *untrained_of_table(results, number)]


def untrained_of_table(results: Mapping[str, Any], number: int) -> list[str]:
    """Names of the undistilled ways at the cost of a table's rows, and of what its rows start from.

    Before any row is finished, those of every cost.
    """
    rows = {row.name for row in TABLES[number][1]}
    costs = {found["nfe"] for name in rows for found in results["rows"].get(name, {}).values()}
    listed = []
    for name, found in results["baselines"].items():
        role = role_of(name, found)
        is_start = role == "untrained" and bool(rows & set(found["starts"]))
        if is_start or (role == "undistilled" and (not costs or found["nfe"] in costs)):
            listed.append(name)
    return listed


def role_of(name: str, found: Mapping[str, Any]) -> Role:
    """What a line is."""
    return found.get("role", "teacher" if name == TEACHER else "undistilled")


def badness_by_clip(found: Mapping[str, Any], measures: list[str]) -> Badness:
    """What is kept of a line or a row as numbers per clip that grow as it gets worse."""
    clips = list(found["clips"])
    values: dict[str, dict[str, float]] = {}
    for name in measures:
        if name in CATALOGUE:
            read = {clip: found["clips"][clip].get(name) for clip in clips}
            values[name] = {clip: badness(name, value) for clip, value in read.items() if value is not None}
        else:
            values[name] = over_clips(clips, found.get(name), found.get("without"))
    return values


def headroom_lines(results: Mapping[str, Any]) -> list[str]:
    """A line per table for the terminal: whether there was anything to win."""
    lines = []
    for number in TABLES:
        found = gates_of_table(results, number)
        failed = [each.untrained for each in found if not each.passes]
        if found:
            lines.append(f"table {number}: " + (f"{NO_HEADROOM} ({'; '.join(failed)})" if failed else "headroom"))
    return lines


def _has(found: Mapping[str, Any], name: str) -> bool:
    if name in CATALOGUE:
        return any(clip.get(name) is not None for clip in found["clips"].values())
    return found.get(name) is not None
