"""Every ablation row of the paper, many seeds each, from one teacher: trained, measured, kept; resumable.

Data, VAE and teacher are made once; what rows of a kind start from is trained a few times, without ground truth, and
seeds take it in turn; rows that differ only in how the student is called share its training. Each finished
(row, seed) is a JSON file and is not made again. Seeds are outermost: what is stopped early has every row.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from fada.eval.bench.results import fingerprint as hash_of
from fada.eval.bench.results import kept_json
from fada.eval.metrics.catalogue import METRICS_VERSION
from fada.export.opening import load_pipeline, model_fault
from fada.files.folders import MARK, check_folder, inside, kind_of, take_folder
from fada.files.locks import locked
from fada.files.whole import clear_leftovers, remove_listed, write_json
from fada.recipe.earlier import in_earlier_words
from fada.run.training import distill_shared, shared_parts, train_teacher_shared
from fada.studies.ablations.baselines import calls_of, reference_of
from fada.studies.ablations.measuring import (
    PARTS_VERSION,
    clips_of_seed,
    half_of,
    measured,
    measured_baselines,
    parts_of,
    training_means,
)
from fada.studies.ablations.order_verdicts import decided
from fada.studies.ablations.plan import LOOK_EVERY, Plan, check_plan, groups
from fada.studies.ablations.rows import CONTROLS, TEACHER_B
from fada.studies.ablations.sweeps import swept
from fada.studies.ablations.verdicts import drawn_orders
from fada.studies.side_by_side import SideBySide, side_by_side

KIND = "ablations"
"""What fada's mark says in the folder of everything."""
CONTROL_SEEDS = LOOK_EVERY
"""Seeds of the controls: they stand beside the orders, no order asks for them."""
Work = tuple[tuple[str, ...], int]
"""Rows of one training, and its seed."""


def run_ablations(plan: Plan, jobs: int, console: Console) -> dict[str, Any]:
    """Train and measure what is missing; all results, also written to `OUT/ablations.json`.

    Raises:
        RecipeError: an unknown row, no seeds, or rows that do not share their base.
    """
    check_plan(plan)
    with _working_in(plan):
        baselines = measured_baselines(plan, parts_of(plan), console)
        with side_by_side(jobs) as run:
            for place, seed in enumerate(plan.seeds):
                _run_seed(plan, seed, place < CONTROL_SEEDS, run, console)
                if place == 0 and "tokens" in plan.names:
                    swept(plan, parts_of(plan), _student(plan, "tokens", plan.seeds[0]), console)
                if (place + 1) % LOOK_EVERY == 0 and _are_decided(plan, place + 1, baselines, console):
                    break
        if TEACHER_B in plan.names and not _is_done(plan, TEACHER_B, 0):
            console.print("teacher with B")
            _run_teacher(plan)
        return _results(plan, baselines)


def _run_seed(plan: Plan, seed: int, with_controls: bool, run: SideBySide, console: Console) -> None:
    """Every row of a seed that is missing: what they start from, the rows, then the controls."""
    missing = [(group, seed) for group in groups(plan) if not all(_is_done(plan, name, seed) for name in group)]
    starts = {start: group[0] for group, _ in missing if (start := plan.start(group[0], seed)) is not None}
    for name, number in run(_train_start, plan, [(name, number) for (_, number), name in starts.items()]):
        console.print(f"what {name} starts from, number {number}")
    for group, _ in run(_run_group, plan, missing):
        console.print(f"seed {seed}: {', '.join(group)}")
    controls = [((name,), seed) for name in plan.controls() if not _is_done(plan, name, seed)] if with_controls else []
    for group, _ in run(_run_group, plan, controls):
        console.print(f"seed {seed}: {', '.join(group)}")


def _are_decided(plan: Plan, count: int, baselines: dict[str, Any], console: Console) -> bool:
    """Whether every order of the first so many seeds is decided, so that no further ones are needed."""
    orders = drawn_orders(_results(plan, baselines, plan.seeds[:count]))
    words = [each.word for each in orders]
    console.print(f"{count} seeds: {decided(words)} of {len(words)} orders decided")
    return bool(words) and decided(words) == len(words)


def results_so_far(plan: Plan, console: Console) -> dict[str, Any]:
    """What is finished of the rows and seeds, with the baselines; also written to `OUT/ablations.json`.

    Raises:
        RecipeError: an unknown row, no seeds, or rows that do not share their base.
    """
    check_plan(plan)
    with _working_in(plan):
        return _results(plan, measured_baselines(plan, parts_of(plan), console))


@contextmanager
def _working_in(plan: Plan) -> Iterator[None]:
    """The folder of everything, taken and held while the block runs; folders of earlier versions are known by `base`.

    Raises:
        FolderFault: it holds what fada did not make.
        FolderBusy: another command works in it.
    """
    is_earlier = "baselines" in kept_json(plan.out / "ablations.json") or (plan.out / "base" / "recipe.yaml").is_file()
    if is_earlier and kind_of(plan.out) is None:
        write_json(plan.out / MARK, {"kind": KIND})
    check_folder(plan.out, KIND)
    with locked(plan.out, "running ablations"):
        take_folder(plan.out, KIND)
        for folder in (plan.out, plan.out / "rows", *sorted((plan.out / "targets").glob("*"))):
            clear_leftovers(folder)
        # Once, before all: the processes that train rows find them.
        shared_parts(plan.base_recipe(), plan.out / "targets", Console(quiet=True))
        yield


def _results(plan: Plan, baselines: dict[str, Any], seeds: Sequence[int] | None = None) -> dict[str, Any]:
    """What is finished, of these seeds (all), in `OUT/ablations.json` too."""
    parts, asked = parts_of(plan), plan.seeds if seeds is None else seeds
    found = {
        name: {str(seed): _read(plan, name, seed) for seed in asked if _is_done(plan, name, seed)}
        for name in plan.names
        if name != TEACHER_B
    }
    results = {
        "schema_version": 2,
        "seeds": list(plan.seeds),
        "looks": plan.looks(),
        "bases": plan.bases,
        "overrides": list(plan.overrides),
        "clips": {clip.key: half_of(clip) for clip in parts.clips},
        "recipe": json.loads(plan.first().model_dump_json(exclude={"output", "name"})),
        "baselines": baselines,
        "rows": {name: values for name, values in found.items() if values},
        "teacher-b": _read(plan, TEACHER_B, 0) if _is_done(plan, TEACHER_B, 0) else None,
        "sweeps": kept_json(plan.out / "sweeps.json").get("sweeps", []),
    }
    write_json(plan.out / "ablations.json", results)
    return results


def _train_start(plan: Plan, start: tuple[str, int]) -> tuple[str, int]:
    """Train what a row's students start from, where it is missing."""
    name, number = start
    _start(plan, name, number)
    return start


def _start(plan: Plan, name: str, number: int) -> dict[str, Path]:
    """Folders of the students that come before a row's own, by their phase; trained where they are missing."""
    recipe = plan.start_recipe(name, number)
    folders = {phase.name: inside(recipe.output, "students", phase.name) for phase in recipe.distill.phases}
    # Whole ones are not opened as a run: other rows read them at the same time.
    if any(model_fault(folder) is not None for folder in folders.values()):
        distill_shared(recipe, parts_of(plan).shared, Console(quiet=True))
    return folders


def _student(plan: Plan, name: str, seed: int) -> Path:
    """The folder of a row's student, trained where it is missing."""
    weight = _mean_weight(plan, name, seed)
    recipe, start, shared = plan.recipe(name, seed, weight), plan.start(name, seed), parts_of(plan).shared
    if start is not None:
        shared = replace(shared, students=_start(plan, name, start[1]))
    return distill_shared(recipe, shared, Console(quiet=True))[-1]


def _run_group(plan: Plan, work: Work) -> Work:
    """Train a student, and measure it in every way that its rows call it."""
    group, seed = work
    parts = parts_of(plan)
    student = _student(plan, group[0], seed)
    clips = clips_of_seed(parts.clips, plan.first().bench.clips, seed)
    for name in group:
        if _is_done(plan, name, seed):
            continue
        values = measured(load_pipeline(student), calls_of(plan.recipe(name, seed)), clips, plan)
        means = training_means(student.parents[1] / "work" / student.name / "log.jsonl")
        start = plan.start(group[0], seed)
        mark = {"mark": _mark(plan, name, seed), "start": None if start is None else list(start)}
        write_json(_file(plan, name, seed), {**mark, **values, "training": means})
    # Hundreds of rows: what a finished training would go on from is most of their size.
    for checkpoint in (student.parents[1] / "work" / student.name / "checkpoints").glob("step-*"):
        remove_listed(checkpoint)
    return work


def _run_teacher(plan: Plan) -> None:
    """Train the teacher with B and measure it on all held-out clips."""
    parts = parts_of(plan)
    teacher = train_teacher_shared(plan.recipe(TEACHER_B, 0), parts.shared, Console(quiet=True))
    values = measured(load_pipeline(teacher), reference_of(plan.first()), parts.clips, plan)
    write_json(_file(plan, TEACHER_B, 0), {"mark": _mark(plan, TEACHER_B, 0), **values})


def _mean_weight(plan: Plan, name: str, seed: int) -> float | None:
    """Of a control: the mean weight that its adaptive row had in this seed; None for another row."""
    if name not in CONTROLS:
        return None
    return float(_read(plan, CONTROLS[name], seed)["training"]["weight_mean"])


def _file(plan: Plan, name: str, seed: int) -> Path:
    return plan.out / "rows" / f"{name}-seed-{seed}.json"


def _mark(plan: Plan, name: str, seed: int) -> str:
    """Changes with anything that a row's values follow from, but for the code."""
    parts, weight = parts_of(plan), _mean_weight(plan, name, seed)
    # Without defaults: a field that a later version adds must not make finished rows look unfinished.
    recipe = plan.recipe(name, seed, weight).model_dump(
        mode="json", exclude={"name": True, "output": True, "engine": True}, exclude_defaults=True
    )
    recipe = in_earlier_words(recipe, has_defaults=False)
    is_teacher = name == TEACHER_B
    clips = parts.clips if is_teacher else clips_of_seed(parts.clips, plan.first().bench.clips, seed)
    start = None if is_teacher else plan.start(name, seed)
    return hash_of([recipe, parts.mark, start, parts.clip_marks(clips), METRICS_VERSION, PARTS_VERSION])


def _read(plan: Plan, name: str, seed: int) -> dict[str, Any]:
    return {key: value for key, value in kept_json(_file(plan, name, seed)).items() if key != "mark"}


def _is_done(plan: Plan, name: str, seed: int) -> bool:
    """Whether a row is finished for a seed, and its values follow from what is asked for now."""
    kept = kept_json(_file(plan, name, seed))
    if not kept or (name in CONTROLS and not _is_done(plan, CONTROLS[name], seed)):
        return False
    return bool(kept.get("mark") == _mark(plan, name, seed))
