"""What is computed once beside the rows of the exact world: bounds without error, and the curve over steps.

Each is kept for itself, so that a page shows what is there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from fada.eval.exact_world.bounds import CHOSEN_BY, SEARCHED, as_plain, best_undistilled, bounds_at
from fada.eval.exact_world.courses import Plan
from fada.eval.exact_world.measures import Questions
from fada.eval.exact_world.samplers import Call, Undistilled
from fada.eval.exact_world.stacked import Weights
from fada.eval.exact_world.world import World
from fada.studies.exact.parts import Block, Measurer, baselines, course, networks_of, spare_questions
from fada.studies.exact.rows import SWEEPS, students_of

BOUND_SEEDS = tuple(range(80_000, 80_004))
"""Of the draws on which bounds are measured."""
CURVE_SEEDS = tuple(range(70_000, 70_016))
"""Of the trainings of the curve; no row has them, so that lengths are not chosen on the rows' seeds."""
Length = tuple[int, int]
"""Steps of a training, and clips in each."""
CURVE: dict[str, tuple[Length, ...]] = {
    "tokens@paper": ((500, 32), (2000, 32), (8000, 32), (32000, 32)),
    "tokens@matched": ((500, 32), (2000, 32), (8000, 32)),
    "adaptive-0.25@paper": ((500, 32), (2000, 32)),
}
"""The fast student, with matched points too, and the balanced one, with the lengths of their trainings."""
COURSE = {"tokens@paper": "guided-B", "tokens@matched": "guided-B", "adaptive-0.25@paper": "windows-B"}

Extra = Callable[[], list[dict[str, Any]]]


def extras(
    world: World,
    copy: Weights,
    training: Plan,
    questions: int,
    pairs: Sequence[tuple[float, float]],
    lengths: Mapping[str, Sequence[Length]],
    first_seeds: tuple[int, ...],
) -> dict[str, Extra]:
    """Name of a part, which begins with `bounds`, `curve` or `sweeps`, and how it is made.

    Args:
        first_seeds: those whose students are swept over scales.
    """
    block = Block(world, CURVE_SEEDS, questions, copy, training)
    made: dict[str, Extra] = {"curve-untrained": partial(_untrained, block)}
    made |= {
        f"bounds-{reference:g}-{audio:g}": partial(_bounds, world, copy, questions, (reference, audio))
        for reference, audio in pairs
    }
    first = replace(block, seeds=first_seeds)
    made["sweeps-undistilled"] = partial(_undistilled_sweeps, first)
    trained = sorted((steps * batch, steps, batch, row) for row, each in lengths.items() for steps, batch in each)
    return made | {
        f"curve-{row}-{steps}x{batch}": partial(_trained, block, row, steps, batch) for _, steps, batch, row in trained
    }


def _bounds(world: World, copy: Weights, questions: int, scales: tuple[float, float]) -> list[dict[str, Any]]:
    """Perfect students and undistilled samplers at a pair of scales."""
    tests = Questions.draw(world, BOUND_SEEDS, questions)
    return as_plain(bounds_at(world, networks_of(world, copy), tests, spare_questions(world, questions), scales))


def _untrained(block: Block) -> list[dict[str, Any]]:
    """What the curve is held against."""
    rows = baselines(block, with_sweeps=False)["rows"]
    return [{"row": row, "steps": 0, "tables": tables} for row, tables in rows.items()]


def _trained(block: Block, row: str, steps: int, batch: int) -> list[dict[str, Any]]:
    """A training of a length: the row, steps and clips in each, and what it measures in its tables."""
    students = [each for each in students_of(COURSE[row], {}, row.split("@")[1]) if each.name == row]
    longer = replace(block, training=replace(block.training, steps=steps, batch=batch))
    found = course(longer, COURSE[row], students, with_sweeps=False)
    return [{"row": row, "steps": steps, "batch": batch, "tables": found["rows"][row]}]


def _undistilled_sweeps(block: Block) -> list[dict[str, Any]]:
    """The best undistilled samplers of 6 and 18 evaluations along both axes, for each measure its own best."""
    networks, measurer = networks_of(block.world, block.copy), Measurer(block)
    spare = spare_questions(block.world, block.questions)

    def best(steps_and_calls: Sequence[tuple[int, Call]], scales: tuple[float, float]) -> dict[str, list[float]]:
        found: dict[str, list[list[float]]] = {measure: [] for measure in CHOSEN_BY}
        for steps, call in steps_and_calls:
            chosen = best_undistilled(block.world, networks, steps, call, scales, CHOSEN_BY, spare)
            for measure, each in chosen.items():
                sample = each.way.sample(block.world, networks[each.network])
                found[measure].append(measurer.at(sample, scales)[measure])
        return {measure: min(errors, key=sum) for measure, errors in found.items()}

    kinds: dict[str, Sequence[tuple[int, Call]]] = {
        f"best undistilled {cost}": [(steps, call) for steps, call in SEARCHED if Undistilled(steps, call).cost == cost]
        for cost in (18, 6)
    }

    def point(kind: Sequence[tuple[int, Call]], scales: tuple[float, float]) -> dict[str, Any]:
        return {"scales": list(scales), "measures": best(kind, scales)}

    return [
        {"name": name, "axes": {axis: [point(kind, scales) for scales in points] for axis, points in SWEEPS.items()}}
        for name, kind in kinds.items()
    ]
