"""The parts of a block of seeds in the exact world: baselines, and courses with the rows that come of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch

from fada.eval.exact_world.bounds import SEARCHED, best_undistilled, by_perfect_windows
from fada.eval.exact_world.courses import Plan, Student, windows_of
from fada.eval.exact_world.measures import Measured, Questions, Sample, measure, scales_like
from fada.eval.exact_world.samplers import (
    STEPS,
    TEACHER_STEPS,
    Network,
    Undistilled,
    by_jumps,
    by_windows,
    of_students,
    of_teacher,
)
from fada.eval.exact_world.stacked import Weights
from fada.eval.exact_world.students import Students
from fada.eval.exact_world.training import train
from fada.eval.exact_world.world import ExactTeacher, World
from fada.studies.exact.rows import COURSES, PRIMARY, SCALES, SETTINGS, SWEEPS, SWEPT, rows_of

SPARE = 90_000
"""First seed of the draws on which undistilled samplers are searched."""
SPARE_SEEDS = 4
COPIED = "copied network"
"""The students' own network before training: the teacher's copy."""


@dataclass(frozen=True)
class Block:
    """Seeds beside each other, what they are asked, and what they start from."""

    world: World
    seeds: tuple[int, ...]
    questions: int
    copy: Weights
    training: Plan

    def tests(self) -> Questions:
        """Of these seeds."""
        return Questions.draw(self.world, self.seeds, self.questions)

    def networks(self) -> dict[str, Network]:
        """What can be had without training: the teacher, and the network that students start from."""
        return networks_of(self.world, self.copy)


def networks_of(world: World, copy: Weights) -> dict[str, Network]:
    """The teacher and its copy, by name."""
    copied = Students(world.path, "none", [0], is_copy=True).start_from(copy)
    return {"teacher": of_teacher(ExactTeacher(world)), COPIED: of_students(copied)}


def spare_questions(world: World, questions: int) -> Questions:
    """Draws on which undistilled samplers are searched; no row is measured on them."""
    return Questions.draw(world, tuple(range(SPARE, SPARE + SPARE_SEEDS)), questions)


class Measurer:
    """Measures ways to sample at the scales of their tables, with the guided teacher's samples as reference."""

    def __init__(self, block: Block) -> None:
        self.world, self.tests = block.world, block.tests()
        self.full = Undistilled(TEACHER_STEPS).sample(block.world, of_teacher(ExactTeacher(block.world)))
        self.reference: dict[tuple[float, float], torch.Tensor] = {}

    def at(self, sample: Sample, scales: tuple[float, float]) -> Measured:
        """At one pair of scales."""
        if scales not in self.reference:
            rows = scales_like(scales, self.tests.noise)
            self.reference[scales] = self.full(self.tests.asked, self.tests.noise, rows)
        return measure(self.world, self.tests, sample, scales, self.reference[scales])

    def __call__(self, sample: Sample, tables: tuple[int, ...]) -> dict[str, Measured]:
        """Table → measures. Tables of the same scales are measured once."""
        found = {scales: self.at(sample, scales) for scales in {SCALES[table] for table in tables}}
        return {str(table): found[SCALES[table]] for table in tables}


def baselines(block: Block, with_sweeps: bool) -> dict[str, Any]:
    """Teachers, their best undistilled shortcuts, and untrained students at the students' costs."""
    world, measurer = block.world, Measurer(block)
    exact, networks = ExactTeacher(world), block.networks()
    rows: dict[str, dict[str, Measured]] = {}
    costs: dict[str, int] = {}

    def add(name: str, cost: int, sample: Sample, tables: tuple[int, ...] = (2, 3, 4)) -> None:
        rows[name], costs[name] = measurer(sample, tables), cost

    full = Undistilled(TEACHER_STEPS)
    add("teacher on A", full.cost, measurer.full)
    add("teacher on B", full.cost, full.sample(world, of_teacher(ExactTeacher(world, "B"))))
    add(f"{COPIED}, {TEACHER_STEPS} steps", full.cost, full.sample(world, networks[COPIED]))
    for setting in SETTINGS:
        windows = windows_of(world, COURSES["windows-A"], setting == "matched")
        add(f"untrained, {setting}", 3 * STEPS, by_windows(world, windows, networks[COPIED]("guided")), (2, 3))
        add(f"untrained once, {setting}", STEPS, by_windows(world, windows, networks[COPIED]("conditional")), (4,))
    four = windows_of(world, COURSES["windows-A"], is_matched=False)
    add("perfect balanced student", 3 * four.count, by_perfect_windows(world, four, exact), (2, 3))
    spare = spare_questions(world, block.questions)
    for steps, call in SEARCHED:
        for table in (2, 3, 4):
            primary = PRIMARY[table]
            best = best_undistilled(world, networks, steps, call, SCALES[table], (primary,), spare)[primary]
            name = f"best undistilled {best.way.cost} {call}"
            found = measurer(best.way.sample(world, networks[best.network]), (table,))
            for values in found.values():
                values["chosen"] = [f"{best.network}, {best.way.solver}, {best.way.spacing}"]  # type: ignore[list-item]
            rows.setdefault(name, {}).update(found)
            costs[name] = best.way.cost
    part: dict[str, Any] = {"rows": rows, "costs": costs, "training": {}}
    if with_sweeps:
        part["sweeps"] = {"teacher": {axis: _sweep(measurer, measurer.full, axis) for axis in SWEEPS}}
    return part


def course(block: Block, name: str, students: list[Student], with_sweeps: bool) -> dict[str, Any]:
    """Train students of a course and measure every row that they are."""
    trained = train(block.world, COURSES[name], students, block.copy, replace(block.training, seeds=block.seeds))
    measurer = Measurer(block)
    rows: dict[str, dict[str, Measured]] = {}
    costs: dict[str, int] = {}
    sweeps: dict[str, Any] = {}
    for student in students:
        windows = windows_of(block.world, COURSES[name], student.is_matched)
        for row in rows_of(student.name):
            make = of_students(trained[student.name].students)(row.call)
            is_jumping = student.course.method == "tcd"
            sample = by_jumps(block.world, make) if is_jumping else by_windows(block.world, windows, make)
            rows[row.name] = measurer(sample, row.tables)
            costs[row.name] = STEPS * (3 if row.call == "guided" else 1)
            if with_sweeps and row.name in SWEPT:
                sweeps[row.name] = {axis: _sweep(measurer, sample, axis) for axis in SWEEPS}
    means = {
        key: {"weight_mean": each.weight_mean, "dead_share": each.dead_share, "ratio_median": each.ratio_median}
        for key, each in trained.items()
        if math.isfinite(each.ratio_median)
    }
    return {"rows": rows, "costs": costs, "training": means, **({"sweeps": sweeps} if sweeps else {})}


def _sweep(measurer: Measurer, sample: Sample, axis: str) -> list[dict[str, Any]]:
    """Measures at every pair of scales along an axis: the paper's Figure 3 or 4."""
    return [{"scales": list(scales), "measures": measurer.at(sample, scales)} for scales in SWEEPS[axis]]
