"""The paper's Figures 3 and 4 in the drawn world: guidance scales of the guided teacher and of a fast student."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from fada.assembly.settings import default_scales, default_steps
from fada.eval.bench.results import kept_json
from fada.eval.report import Sweep
from fada.export.opening import load_pipeline
from fada.files.whole import write_json
from fada.studies.ablations.baselines import TEACHER, reference_of
from fada.studies.ablations.measuring import Parts, half_of
from fada.studies.ablations.plan import Plan
from fada.studies.bench_setting import Setting, setting_of
from fada.studies.sweeps import ScaleSweep
from fada.studies.systems import instruments

STUDENT = "fast student"
TRIED = {"audio": (1.0, 3.5, 6.5, 9.0), "reference": (1.0, 2.5, 4.0)}
"""Scales that are tried, over the range that fast students learn."""
AXES = tuple(TRIED)
CLIPS = 6
"""Held-out clips, as set A, of every scale."""


def swept(plan: Plan, parts: Parts, student: Path, console: Console) -> list[dict[str, Any]]:
    """Both sweeps, each `{axis, at, lines: {system: {measure: {scale: values}}}}`; kept in `OUT/sweeps.json`."""
    recipe = plan.recipe("tokens", plan.seeds[0])
    clips = [clip for clip in parts.clips if half_of(clip) == "narrow"][:CLIPS]
    usual = dict(zip(recipe.teacher.family.guidance.names, default_scales(recipe), strict=True))
    points = {axis: [tuple((usual | {axis: scale}).values()) for scale in tried] for axis, tried in TRIED.items()}
    ways = {
        TEACHER: (parts.shared.teacher, reference_of(recipe).steps),
        STUDENT: (student, default_steps(recipe)),
    }
    lines: dict[str, dict[str, Any]] = {axis: {} for axis in points}
    for name, (folder, steps) in ways.items():
        store = plan.out / f"sweep-{name.replace(' ', '-')}.json"
        sweep = ScaleSweep(load_pipeline(folder), clips, instruments(clips), plan.first().bench.seed, store, console)
        for axis, scales in points.items():
            found = sweep.scales([setting_of(recipe, steps, each) for each in scales])
            lines[axis][name] = _by_measure(found, axis)
    sweeps = [{"axis": axis, "at": usual[_other(axis)], "lines": lines[axis]} for axis in points]
    if kept_json(plan.out / "sweeps.json").get("sweeps") != sweeps:
        write_json(plan.out / "sweeps.json", {"sweeps": sweeps})
    return sweeps


def as_sweeps(kept: list[dict[str, Any]]) -> list[Sweep]:
    """What is kept, as the report's sweeps are drawn."""
    found = []
    for each in kept:
        lines = {
            name: {
                measure: {float(scale): values for scale, values in column.items()} for measure, column in line.items()
            }
            for name, line in each["lines"].items()
        }
        axis = each["axis"]
        found.append(Sweep(f"{axis}-scale", f"{axis} scale", lines, f"{_other(axis)} scale {each['at']:g}"))
    return found


def _other(axis: str) -> str:
    """What is held fixed meanwhile."""
    return next(each for each in AXES if each != axis)


def _by_measure(found: dict[Setting, dict[str, list[float]]], axis: str) -> dict[str, dict[str, list[float]]]:
    """Measure → scale along the axis → values per clip."""
    lines: dict[str, dict[str, list[float]]] = {}
    for setting, values in found.items():
        scale = setting.named[axis]
        for name, column in values.items():
            lines.setdefault(name, {})[f"{scale:g}"] = column
    return lines
