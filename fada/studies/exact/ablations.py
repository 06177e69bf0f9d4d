"""The paper's tables in the exact world: blocks of seeds, trained and measured, kept, resumed, stopped when decided.

All rows of the paper's setting get every seed that was asked for. Then rows of orders that are still undecided go on
alone, to MOST seeds; the looks at the orders that this makes are counted, and the level is divided by them. Matched
points and controls come last, for the first blocks only.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from rich.console import Console
from safetensors.torch import load_file, save_file

from fada.eval.bench.results import kept_json
from fada.eval.exact_world.bounds import SCALE_PAIRS
from fada.eval.exact_world.copying import train_copy
from fada.eval.exact_world.courses import Plan
from fada.eval.exact_world.stacked import Weights
from fada.eval.exact_world.world import World
from fada.files.whole import write_json
from fada.studies.ablations.order_verdicts import decided
from fada.studies.ablations.rows import ORDERS, TEACHERS
from fada.studies.exact.extras import CURVE, Extra, Length, extras
from fada.studies.exact.parts import Block, baselines, course
from fada.studies.exact.rows import CONTROLS, COURSES, SETTINGS, key_of, student_of, students_of
from fada.studies.exact.verdicts import verdicts_of

BLOCK = 16
"""Seeds that are trained side by side, and after which orders are looked at."""
BESIDE = 1
"""Blocks in which matched points and controls are trained too."""
QUESTIONS = 250
"""Quiet and as many loud ones, per seed."""
MOST = 96
"""Seeds that rows of undecided orders get at most."""


@dataclass(frozen=True)
class ExactPlan:
    """seeds: of every row; most: of rows of undecided orders; out: folder of everything; training: steps and rates of
    every student; beside: blocks with matched points and controls; scale_pairs, lengths: of the extras."""

    seeds: int
    out: Path
    training: Plan = field(default_factory=lambda: Plan(()))
    questions: int = QUESTIONS
    block: int = BLOCK
    beside: int = BESIDE
    scale_pairs: tuple[tuple[float, float], ...] = SCALE_PAIRS
    lengths: Mapping[str, Sequence[Length]] = field(default_factory=lambda: CURVE)
    most: int = MOST

    def blocks(self) -> list[tuple[int, ...]]:
        """The seeds of every block of all rows."""
        return self._cut(0, self.seeds)

    def further(self) -> list[tuple[int, ...]]:
        """The seeds of the blocks of undecided orders."""
        return self._cut(self.seeds, max(self.seeds, self.most))

    def _cut(self, begin: int, end: int) -> list[tuple[int, ...]]:
        return [tuple(range(first, min(first + self.block, end))) for first in range(begin, end, self.block)]


def run_exact(plan: ExactPlan, console: Console) -> dict[str, Any]:
    """Everything that is missing: all rows, extras, then rows of undecided orders; all results."""
    world = World()
    copy = _copy(plan, world, console)
    paper, matched = SETTINGS
    for number, seeds in enumerate(plan.blocks()):
        _run_block(plan, _block(plan, world, seeds, copy), paper, None, number == 0, console)
        _say(exact_results(plan), console)
    made = extras(world, copy, plan.training, plan.questions, plan.scale_pairs, plan.lengths, plan.blocks()[0])
    for name, make in made.items():
        _kept(plan.out / "extras" / f"{name}.json", name, partial(_as_part, make), console)
    for seeds in plan.further():
        rows = _undecided(plan, seeds)
        if not rows:
            console.print("every order is decided: no further seeds")
            break
        _run_block(plan, _block(plan, world, seeds, copy), paper, rows, False, console)
        _say(exact_results(plan), console)
    for seeds in plan.blocks()[: plan.beside]:
        block = _block(plan, world, seeds, copy)
        _run_controls(plan, block, paper, console)
        _run_block(plan, block, matched, None, False, console)
        _run_controls(plan, block, matched, console)
    return exact_results(plan)


def _undecided(plan: ExactPlan, seeds: tuple[int, ...]) -> list[str]:
    """The rows that a further block is for, chosen when it begins and kept."""
    file = _file(plan, "rows", SETTINGS[0], seeds)
    kept = kept_json(file)
    if kept:
        return list(kept["rows"])
    orders = verdicts_of(exact_results(plan), SETTINGS[0])
    claims = [each.claim for each in orders if each.word == "undecided"]
    rows = sorted({key_of(name, SETTINGS[0]) for claim in claims for name in (claim.better, claim.worse)})
    write_json(file, {"rows": rows})
    return rows


def exact_results(plan: ExactPlan) -> dict[str, Any]:
    """What is finished: values of every row per seed, in the order of the seeds.

    A row's values end before the first block that lacks it, so that rows are always of the same first seeds.
    """
    rows: dict[str, dict[str, dict[str, list[Any]]]] = {}
    training: dict[str, list[dict[str, float]]] = {}
    found: dict[str, Any] = {"costs": {}, "sweeps": {}}
    before, spent = 0, 0.0
    for seeds in [*plan.blocks(), *plan.further()]:
        for name, setting in product(("baselines", *COURSES), SETTINGS):
            part = kept_json(_file(plan, name, setting, seeds))
            if not part:
                continue
            spent += part["cpu_seconds"]
            found["costs"] |= part["costs"]
            found["sweeps"] |= part.get("sweeps", {})
            _extend(rows, part["rows"], before)
            for student, means in part["training"].items():
                training.setdefault(student, []).append(means)
        before += len(seeds)
    beside, more = _kept_extras(plan)
    found["sweeps"] |= {each["name"]: each["axes"] for each in beside.pop("sweeps")}
    results = {
        "schema_version": 2,
        "seeds": list(range(_complete(plan, rows))),
        "looks": len(plan.blocks()) + len(plan.further()),
        "plan": {**asdict(replace(plan.training, seeds=())), "questions": plan.questions, "block": plan.block},
        "cpu_seconds": spent + more,
        "rows": rows,
        **found,
        "training": {
            name: {key: sum(each[key] for each in means) / len(means) for key in means[0]}
            for name, means in training.items()
        },
        **{kind: found for kind, found in beside.items() if found},
    }
    write_json(plan.out / "exact.json", results)
    return results


def _kept_extras(plan: ExactPlan) -> tuple[dict[str, list[Any]], float]:
    """What is there of bounds, curve and sweeps, and the seconds that these and the copy took."""
    parts = {file.name: kept_json(file) for file in sorted((plan.out / "extras").glob("*.json"))}
    spent = sum(each["cpu_seconds"] for each in [*parts.values(), kept_json(plan.out / "copy.json")] if each)
    kinds = ("bounds", "curve", "sweeps")
    found = {
        kind: [each for name, part in parts.items() if name.startswith(kind) and part for each in part["found"]]
        for kind in kinds
    }
    return found, spent


def _extend(rows: dict[str, Any], part: Mapping[str, Any], before: int) -> None:
    """Append a block's values to those rows that have all seeds before it."""
    for name, tables in part.items():
        for table, values in tables.items():
            kept = rows.setdefault(name, {}).setdefault(table, {})
            for key, column in values.items():
                if key == "chosen":
                    kept[key] = column
                elif len(kept.get(key, [])) == before:
                    kept.setdefault(key, []).extend(column)


def _complete(plan: ExactPlan, rows: Mapping[str, Any]) -> int:
    """How many seeds every row of the paper's setting has."""
    wanted = [key_of(name, SETTINGS[0]) for order in ORDERS for name in (order.better, order.worse)]
    counts = [min((len(values["error"]) for values in rows.get(name, {}).values()), default=0) for name in wanted]
    return min(plan.seeds, *counts)


def _block(plan: ExactPlan, world: World, seeds: tuple[int, ...], copy: Weights) -> Block:
    return Block(world, seeds, plan.questions, copy, plan.training)


def _run_block(
    plan: ExactPlan, block: Block, setting: str, only: Collection[str] | None, is_first: bool, console: Console
) -> None:
    """Baselines, then course by course; what is there stays. Of `only` some rows, if they are given."""
    is_paper = setting == SETTINGS[0]
    if is_paper and (only is None or set(TEACHERS) & set(only)):
        _kept_part(plan, block, "baselines", setting, partial(baselines, block, is_first), console)
    wanted = None if only is None else {student_of(row) for row in only if "@" in row}
    for name in COURSES:
        if name == CONTROLS:
            continue
        students = [each for each in students_of(name, {}, setting) if wanted is None or each.name in wanted]
        if students:
            _kept_part(plan, block, name, setting, partial(course, block, name, students, is_first), console)


def _run_controls(plan: ExactPlan, block: Block, setting: str, console: Console) -> None:
    """Rows with the fixed weights that adaptive ones had on average."""
    before = json.loads(_file(plan, "windows-B", setting, block.seeds).read_text())["training"]
    weights = {student: means["weight_mean"] for student, means in before.items()}
    students = students_of(CONTROLS, weights, setting)
    _kept_part(plan, block, CONTROLS, setting, partial(course, block, CONTROLS, students, False), console)


def _kept_part(
    plan: ExactPlan, block: Block, name: str, setting: str, make: Callable[[], dict[str, Any]], console: Console
) -> None:
    label = f"seeds {block.seeds[0]} to {block.seeds[-1]}: {name}, {setting}"
    _kept(_file(plan, name, setting, block.seeds), label, make, console)


def _as_part(make: Extra) -> dict[str, Any]:
    return {"found": make()}


def _kept(file: Path, label: str, make: Callable[[], dict[str, Any]], console: Console) -> None:
    """Make a part and write it with its time, unless it is there."""
    if kept_json(file):
        return
    begin = time.process_time()
    part = make()
    spent = time.process_time() - begin
    write_json(file, {**part, "cpu_seconds": spent})
    console.print(f"{label}, {spent:.0f} s of one core")


def _say(results: dict[str, Any], console: Console) -> None:
    words = [each.word for each in verdicts_of(results, SETTINGS[0])]
    console.print(f"{len(results['seeds'])} seeds: {decided(words)} of {len(words)} orders decided")


def _copy(plan: ExactPlan, world: World, console: Console) -> Weights:
    """The teacher's copy, trained once for all blocks."""
    file, training = plan.out / "copy.safetensors", plan.training
    if not file.is_file():
        begin = time.process_time()
        file.parent.mkdir(parents=True, exist_ok=True)
        weights = train_copy(world, training.copy_steps, training.copy_batch, training.copy_lr)
        save_file({key: value.contiguous() for key, value in weights.items()}, str(file))
        spent = time.process_time() - begin
        write_json(plan.out / "copy.json", {"cpu_seconds": spent})
        console.print(
            f"the teacher's copy: {training.copy_steps} steps of {training.copy_batch}, {spent:.0f} s of one core"
        )
    return load_file(str(file))


def _file(plan: ExactPlan, name: str, setting: str, seeds: tuple[int, ...]) -> Path:
    return plan.out / "blocks" / f"{seeds[0]:03d}-{seeds[-1]:03d}-{name}-{setting}.json"
