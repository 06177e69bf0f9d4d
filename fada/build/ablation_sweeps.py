"""The paper's Figures 3 and 4 in the drawn world: guidance scales of the guided teacher and of a fast student."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from fada.build.ablation_baselines import TEACHER, reference_of
from fada.build.ablation_measuring import Parts, half_of
from fada.build.ablation_plan import Plan
from fada.build.models import load_pipeline
from fada.build.settings import default_scales, default_steps
from fada.build.sweeps import ScaleSweep
from fada.build.systems import Setting, instruments
from fada.eval.report import Sweep
from fada.eval.results import kept_json
from fada.files.whole import write_json

STUDENT = "fast student"
AUDIO = (1.0, 3.5, 6.5, 9.0)
REFERENCE = (1.0, 2.5, 4.0)
"""Scales that are tried, over the range that fast students learn."""
AXES = ("audio", "reference")
CLIPS = 6
"""Held-out clips, as set A, of every scale."""


def swept(plan: Plan, parts: Parts, student: Path, console: Console) -> list[dict[str, Any]]:
    """Both sweeps, each `{axis, at, lines: {system: {measure: {scale: values}}}}`; kept in `OUT/sweeps.json`."""
    recipe = plan.recipe("tokens", plan.seeds[0])
    clips = [clip for clip in parts.clips if half_of(clip) == "narrow"][:CLIPS]
    reference, audio = default_scales(recipe)
    points = {
        "audio": [(reference, scale) for scale in AUDIO],
        "reference": [(scale, audio) for scale in REFERENCE],
    }
    ways = {
        TEACHER: (parts.shared.teacher, reference_of(recipe).steps),
        STUDENT: (student, default_steps(recipe)),
    }
    lines: dict[str, dict[str, Any]] = {axis: {} for axis in points}
    for name, (folder, steps) in ways.items():
        store = plan.out / f"sweep-{name.replace(' ', '-')}.json"
        sweep = ScaleSweep(load_pipeline(folder), clips, instruments(clips), plan.first().bench.seed, store, console)
        for axis, scales in points.items():
            found = sweep.scales([Setting(steps, *each) for each in scales])
            place = list(points).index(axis)
            lines[axis][name] = _by_measure(found, place)
    sweeps = [
        {"axis": axis, "at": audio if axis == "reference" else reference, "lines": lines[axis]} for axis in points
    ]
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
        axis, other = each["axis"], "reference" if each["axis"] == "audio" else "audio"
        found.append(Sweep(f"{axis}-scale", f"{axis} scale", lines, f"{other} scale {each['at']:g}"))
    return found


def _by_measure(found: dict[Setting, dict[str, list[float]]], place: int) -> dict[str, dict[str, list[float]]]:
    """Measure → scale → values per clip; `place` 0 is the audio scale."""
    lines: dict[str, dict[str, list[float]]] = {}
    for setting, values in found.items():
        scale = (setting.audio_scale, setting.reference_scale)[place]
        for name, column in values.items():
            lines.setdefault(name, {})[f"{scale:g}"] = column
    return lines
