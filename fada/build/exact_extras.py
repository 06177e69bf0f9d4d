"""What is computed once beside the rows of the exact world: bounds without error, and the curve over steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fada.build.exact_parts import Block, baselines, course, networks_of, spare_questions
from fada.build.exact_rows import SETTINGS, students_of
from fada.eval.exact_world.bounds import as_plain, bounds_at
from fada.eval.exact_world.courses import Plan
from fada.eval.exact_world.measures import Questions
from fada.eval.exact_world.stacked import Weights
from fada.eval.exact_world.world import World

BOUND_SEEDS = tuple(range(80_000, 80_008))
"""Of the draws on which bounds are measured."""
CURVE_SEEDS = tuple(range(70_000, 70_008))
"""Of the trainings of the curve; no row has them, so that lengths are not chosen on the rows' seeds."""
CURVE_STEPS = (250, 500, 1000, 2000, 4000)
CURVE_ROWS = {"tokens@paper": "guided-B", "adaptive-0.25@paper": "windows-B"}
"""The fast and the balanced student, with their courses."""


def bounds(world: World, copy: Weights, questions: int, pairs: Sequence[tuple[float, float]]) -> list[dict[str, Any]]:
    """Perfect students and undistilled samplers at every pair of scales."""
    networks, spare = networks_of(world, copy), spare_questions(world, questions)
    tests = Questions.draw(world, BOUND_SEEDS, questions)
    return [each for scales in pairs for each in as_plain(bounds_at(world, networks, tests, spare, scales))]


def curve(world: World, copy: Weights, training: Plan, questions: int, lengths: Sequence[int]) -> list[dict[str, Any]]:
    """Trainings of every length: the row, its steps, and what it measures in its table; without steps what has none."""
    untrained = baselines(Block(world, CURVE_SEEDS, questions, copy, training), with_sweeps=False)["rows"]
    found = [{"row": row, "steps": 0, "tables": tables} for row, tables in untrained.items()]
    for steps in lengths:
        block = Block(world, CURVE_SEEDS, questions, copy, replace(training, steps=steps))
        for row, name in CURVE_ROWS.items():
            students = [each for each in students_of(name, {}, SETTINGS[0]) if each.name == row]
            part = course(block, name, students, with_sweeps=False)
            found.append({"row": row, "steps": steps, "tables": part["rows"][row]})
    return found
