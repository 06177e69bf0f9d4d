"""The paper's tables in the exact world: blocks of seeds, trained and measured, kept, resumed, stopped when decided."""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from safetensors.torch import load_file, save_file

from fada.build.exact_rows import CONTROLS, COURSES, PRIMARY, SCALES, SETTINGS, rows_of, students_of
from fada.build.exact_verdicts import verdicts_of
from fada.build.order_verdicts import decided
from fada.diffusion.solvers import solve
from fada.eval.exact_world.measures import Measured, Questions, Sample, measure
from fada.eval.exact_world.samplers import (
    STEPS,
    TEACHER_STEPS,
    Call,
    Undistilled,
    best_undistilled,
    by_jumps,
    by_perfect_windows,
    by_windows,
    of_students,
    of_teacher,
)
from fada.eval.exact_world.students import Students
from fada.eval.exact_world.training import Plan, Weights, train, train_copy, windows_of
from fada.eval.exact_world.world import ExactTeacher, World
from fada.eval.results import kept_json
from fada.files.whole import write_json

BLOCK = 8
"""Seeds that are trained side by side, and after which orders are looked at."""
QUESTIONS = 250
"""Quiet and as many loud ones, per seed."""
SPARE = 90_000
"""First seed of the draws on which undistilled samplers are searched."""


@dataclass(frozen=True)
class ExactPlan:
    """seeds: at most; out: folder of everything; training: steps and rates of every student."""

    seeds: int
    out: Path
    training: Plan = field(default_factory=lambda: Plan(()))
    questions: int = QUESTIONS
    block: int = BLOCK

    def blocks(self) -> list[tuple[int, ...]]:
        """The seeds of every block."""
        return [tuple(range(first, min(first + self.block, self.seeds))) for first in range(0, self.seeds, self.block)]


def run_exact(plan: ExactPlan, console: Console) -> dict[str, Any]:
    """Everything that is missing, block by block until all orders are decided; all results."""
    world, looks = World(), len(plan.blocks())
    for number, seeds in enumerate(plan.blocks()):
        _run_block(plan, world, seeds, console)
        results = exact_results(plan)
        words = [each.word for setting in SETTINGS for each in verdicts_of(results, setting)]
        console.print(f"{len(results['seeds'])} seeds: {decided(words)} of {len(words)} orders decided")
        if decided(words) == len(words) and number + 1 < looks:
            console.print("every order is decided: no further seeds")
            break
    return results


def exact_results(plan: ExactPlan) -> dict[str, Any]:
    """What is finished: values of every row per seed, in the order of the seeds.

    Blocks that lack a row of an order are left out; so are controls that not all of the others have.
    """
    blocks = []
    for seeds in plan.blocks():
        files = {course: _file(plan, course, seeds) for course in ("baselines", *COURSES)}
        found = {course: content for course, file in files.items() if (content := kept_json(file))}
        if found.keys() >= files.keys() - {CONTROLS}:
            blocks.append((seeds, found))
    if not all(CONTROLS in found for _, found in blocks):
        blocks = [(seeds, {name: part for name, part in found.items() if name != CONTROLS}) for seeds, found in blocks]
    rows: dict[str, dict[str, dict[str, list[float]]]] = {}
    training: dict[str, list[dict[str, float]]] = {}
    for _, parts in blocks:
        for part in parts.values():
            for name, tables in part["rows"].items():
                for table, values in tables.items():
                    kept = rows.setdefault(name, {}).setdefault(table, {})
                    for key, column in values.items():
                        kept.setdefault(key, []).extend(column)
            for name, means in part["training"].items():
                training.setdefault(name, []).append(means)
    results = {
        "schema_version": 1,
        "seeds": [seed for seeds, _ in blocks for seed in seeds],
        "looks": len(plan.blocks()),
        "plan": {**asdict(replace(plan.training, seeds=())), "questions": plan.questions, "block": plan.block},
        "cpu_seconds": sum(part["cpu_seconds"] for _, parts in blocks for part in parts.values()),
        "rows": rows,
        "costs": {name: cost for _, parts in blocks for part in parts.values() for name, cost in part["costs"].items()},
        "training": {
            name: {key: sum(each[key] for each in found) / len(found) for key in found[0]}
            for name, found in training.items()
        },
    }
    write_json(plan.out / "exact.json", results)
    return results


def _run_block(plan: ExactPlan, world: World, seeds: tuple[int, ...], console: Console) -> None:
    """Baselines, then course by course; what is there stays."""
    missing = [name for name in ("baselines", *COURSES) if not kept_json(_file(plan, name, seeds))]
    if not missing:
        return
    copy = _copy(plan, world, console)
    tests = Questions.draw(world, seeds, plan.questions)
    teacher = ExactTeacher(world)
    reference = {
        table: Undistilled(TEACHER_STEPS).sample(world, teacher)(
            tests.asked, tests.noise, torch.tensor(scales).expand(len(tests.noise), 2)
        )
        for table, scales in SCALES.items()
    }
    measurer = _Measurer(world, tests, reference)
    for name in missing:
        begin = time.process_time()
        part = _baselines(plan, world, copy, measurer) if name == "baselines" else _course(
            plan, world, name, seeds, copy, measurer
        )  # fmt: skip
        spent = time.process_time() - begin
        write_json(_file(plan, name, seeds), {**part, "cpu_seconds": spent})
        console.print(f"seeds {seeds[0]} to {seeds[-1]}: {name}, {spent:.0f} s of one core")


@dataclass(frozen=True)
class _Measurer:
    """Measures ways to sample at the scales of their tables; reference: the guided teacher's samples, by table."""

    world: World
    tests: Questions
    reference: dict[int, torch.Tensor]

    def __call__(self, sample: Sample, tables: tuple[int, ...]) -> dict[str, Measured]:
        """Table → measures. Tables of the same scales are measured once."""
        found: dict[tuple[float, float], Measured] = {}
        for table in tables:
            scales = SCALES[table]
            if scales not in found:
                found[scales] = measure(self.world, self.tests, sample, scales, self.reference[table])
        return {str(table): found[SCALES[table]] for table in tables}


def _baselines(plan: ExactPlan, world: World, copy: Weights, measurer: _Measurer) -> dict[str, Any]:
    """Teachers, their best undistilled shortcuts, and untrained students at the students' costs."""
    exact = ExactTeacher(world)
    rows: dict[str, dict[str, Measured]] = {}
    costs: dict[str, int] = {}

    def add(name: str, cost: int, sample: Sample, tables: tuple[int, ...] = (2, 3, 4)) -> None:
        rows[name], costs[name] = measurer(sample, tables), cost

    full = Undistilled(TEACHER_STEPS)
    add("teacher on A", full.cost, full.sample(world, exact))
    add("teacher on B", full.cost, full.sample(world, ExactTeacher(world, "B")))
    for setting in SETTINGS:
        windows = windows_of(world, COURSES["windows-A"], setting == "matched")
        add(f"untrained, {setting}", 3 * STEPS, by_windows(world, windows, of_teacher(exact, "guided")))
        add(f"untrained once, {setting}", STEPS, by_windows(world, windows, of_teacher(exact, "conditional")), (4,))
    four = windows_of(world, COURSES["windows-A"], is_matched=False)
    add("perfect balanced student", 3 * four.count, by_perfect_windows(world, four, exact), (2, 3))
    copied = Students(world.path, "none", [0] * measurer.tests.seeds).start_from(copy)
    add("copied network, 25 steps", full.cost, lambda asked, z, scales: _walk(world, copied, asked, z, scales))
    spare = Questions.draw(world, tuple(range(SPARE, SPARE + 4)), plan.questions)
    searched: tuple[tuple[int, Call], ...] = ((6, "guided"), (2, "guided"), (6, "conditional"))
    for steps, call in searched:
        for table in (2, 3, 4):
            best = best_undistilled(world, steps, call, SCALES[table], PRIMARY[table], spare)
            name = f"best undistilled {best.cost} {call}"
            found = measurer(best.sample(world, exact), (table,))
            for values in found.values():
                values["chosen"] = [f"{best.solver}, {best.spacing}"]  # type: ignore[list-item]
            rows.setdefault(name, {}).update(found)
            costs[name] = best.cost
    return {"rows": rows, "costs": costs, "training": {}}


def _walk(world: World, students: Students, asked: Any, z: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    one = torch.ones(len(z), dtype=torch.float64)
    return solve(students.guided(asked, scales), world.path, z, one, 0 * one, TEACHER_STEPS)


def _course(
    plan: ExactPlan, world: World, name: str, seeds: tuple[int, ...], copy: Weights, measurer: _Measurer
) -> dict[str, Any]:
    """Train the students of a course and measure every row that they are."""
    weights = {}
    if name == CONTROLS:
        before = json.loads(_file(plan, "windows-B", seeds).read_text())["training"]
        weights = {student: means["weight_mean"] for student, means in before.items()}
    students = students_of(name, weights)
    trained = train(world, COURSES[name], students, copy, replace(plan.training, seeds=seeds))
    rows: dict[str, dict[str, Measured]] = {}
    costs: dict[str, int] = {}
    for student in students:
        windows = windows_of(world, COURSES[name], student.is_matched)
        for row in rows_of(student.name):
            make = of_students(trained[student.name].students, row.call)
            sample = by_jumps(world, make) if student.course.method == "tcd" else by_windows(world, windows, make)
            rows[row.name] = measurer(sample, row.tables)
            costs[row.name] = STEPS * (3 if row.call == "guided" else 1)
    means = {
        key: {"weight_mean": each.weight_mean, "dead_share": each.dead_share, "ratio_median": each.ratio_median}
        for key, each in trained.items()
        if math.isfinite(each.ratio_median)
    }
    return {"rows": rows, "costs": costs, "training": means}


def _copy(plan: ExactPlan, world: World, console: Console) -> Weights:
    """The teacher's copy, trained once for all blocks."""
    file = plan.out / "copy.safetensors"
    if not file.is_file():
        console.print(f"the teacher's copy: {plan.training.copy_steps} steps of {plan.training.copy_batch}")
        file.parent.mkdir(parents=True, exist_ok=True)
        begin = time.process_time()
        save_file({key: value.contiguous() for key, value in train_copy(world, plan.training).items()}, str(file))
        console.print(f"the teacher's copy: {time.process_time() - begin:.0f} s of one core")
    return load_file(str(file))


def _file(plan: ExactPlan, name: str, seeds: tuple[int, ...]) -> Path:
    return plan.out / "blocks" / f"{seeds[0]:03d}-{seeds[-1]:03d}-{name}.json"
