"""Rows, orders and measures of the exact world: the paper's tables as trainings that last seconds.

What is compared, and by which one measure, is written here before anything is run. Names and
orders are those of the ablation recipes (ablation_rows.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from fada.eval.exact_world.courses import Course, Student
from fada.eval.exact_world.samplers import Call
from fada.student.guidance import GuidanceMode
from fada.student.mixed_loss import MixedLossConfig
from fada.studies.ablations.rows import ADAPTIVES, TEACHERS, control

PRIMARY = {2: "error", 3: "error_open", 4: "error_open"}
"""The one measure that decides a table: 2 distils on A and asks as in A; 3 and 4 distil on B and ask both ways."""
SCALES = {2: (2.5, 6.5), 3: (2.5, 6.5), 4: (2.0, 6.5)}
"""Reference and audio scale of a table: the paper's, without and with guidance inside the student."""
SWEEPS = {
    "audio": tuple((2.5, audio) for audio in (1.0, 2.0, 3.5, 5.0, 6.5, 8.0, 9.0)),
    "reference": tuple((reference, 6.5) for reference in (1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0)),
}
"""Scales (reference, audio) along the axes of the paper's Figures 3 and 4."""
SWEPT = ("adaptive-0.25@paper", "tokens@paper")
"""Students that are swept beside their teacher: the balanced one and the fast one."""
SETTINGS = ("paper", "matched")
"""The paper's windows, and the same with points matched in signal-to-noise ratio."""
FIXED_NONE = MixedLossConfig(weighting="fixed", base=0.0)
ADAPTIVE = MixedLossConfig()
LOSSES: dict[str, MixedLossConfig] = {
    "fixed-0": FIXED_NONE,
    "fixed-0.2": MixedLossConfig(weighting="fixed", base=0.2),
    "fixed-1.0": MixedLossConfig(weighting="fixed", base=1.0),
    "unlimited-0.5": MixedLossConfig(weighting="adaptive_unlimited", slope=0.5),
    "unlimited-0.25": MixedLossConfig(weighting="adaptive_unlimited", slope=0.25),
    "adaptive-0.5": MixedLossConfig(slope=0.5),
    "adaptive-0.25": ADAPTIVE,
}
CONTROLS = "controls-B"
"""The course whose fixed weights are the mean weights that others had; no order asks for it."""
MODES: dict[str, GuidanceMode] = {"time-embed": "time_embed", "layer": "layer", "tokens": "tokens"}
COURSES = {
    "windows-A": Course("A"),
    "tcd-A": Course("A", method="tcd", windows=50, times="starts", solver_steps=1),
    "rflow-A": Course("A", windows=1, solver_steps=32),
    "progressive-A": Course("A", windows=6, times="starts"),
    "windows-B": Course("B"),
    CONTROLS: Course("B"),
    "guided-B": Course("B", guidance="distill"),
}
"""Name → what its rows have in common; rows of a course are trained together, on the same draws."""


@dataclass(frozen=True)
class Row:
    """How a trained student is called, under which name."""

    name: str
    student: str
    tables: tuple[int, ...]
    call: Call = "guided"


def students_of(course: str, mean_weights: dict[str, float], setting: str) -> list[Student]:
    """What is trained on a course in a setting; `mean_weights` of adaptive students, for their controls."""
    shared, is_matched = COURSES[course], setting == "matched"
    if shared.method == "tcd" or shared.times == "starts":
        # No points inside windows: one student, which is no row of the matched setting.
        return [] if is_matched else [Student(keyed(course.removesuffix("-A"), setting), shared)]
    if course == "windows-A":
        losses = {"perflow": FIXED_NONE, "fixed-0.2-a": LOSSES["fixed-0.2"]}
    elif course == "rflow-A":
        losses = {"rflow": FIXED_NONE}
    elif course == "windows-B":
        losses = LOSSES
    elif course == CONTROLS:
        known = {name: mean_weights[keyed(name, setting)] for name in ADAPTIVES}
        losses = {control(name): MixedLossConfig(weighting="fixed", base=base) for name, base in known.items()}
    else:
        return [Student(keyed(name, setting), shared, ADAPTIVE, mode, is_matched) for name, mode in MODES.items()]
    return [Student(keyed(name, setting), shared, loss, "none", is_matched) for name, loss in losses.items()]


def rows_of(student: str) -> list[Row]:
    """The rows that a student is, by its keyed name."""
    name, setting = student.split("@")
    if name in MODES:
        return [Row(student, student, (4,), "inside")]
    table = 2 if name in ("tcd", "rflow", "progressive") else 3
    rows = [Row(student, student, (2, 3) if name == "perflow" else (table,))]
    if name == "adaptive-0.25":
        rows.append(Row(keyed("without-cfg", setting), student, (4,), "conditional"))
    return rows


def student_of(row: str) -> str:
    """The student that a keyed row is."""
    name, setting = row.split("@")
    return keyed("adaptive-0.25", setting) if name == "without-cfg" else row


def keyed(name: str, setting: str) -> str:
    """A row's name in a setting."""
    return f"{name}@{setting}"


def key_of(name: str, setting: str) -> str:
    """The key of a claim's row in a setting; teachers and rows without inner points are the same in all."""
    if name in TEACHERS:
        return name
    return keyed(name, "paper" if name in ("tcd", "progressive") else setting)
