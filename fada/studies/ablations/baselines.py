"""What the rows of the ablations are set against: the guided teacher, its best undistilled ways, untrained students.

Undistilled ways are searched on held-out clips that no row is measured on. An untrained student has the windows of the
rows that start as it does, and is called as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from fada.assembly.models import untrained
from fada.assembly.settings import default_scales, default_steps
from fada.diffusion.guidance import needed_branches
from fada.eval.bench.undistilled import PLAIN, Search
from fada.generation.avatar_pipeline import AvatarPipeline
from fada.recipe.schema import Recipe
from fada.studies.bench_setting import Setting, setting_of
from fada.studies.systems import Cost

Role = Literal["teacher", "undistilled", "untrained"]
TEACHER = "teacher"
"""The reference: the guided teacher of many steps."""


@dataclass(frozen=True)
class Baseline:
    """One line beside the rows.

    Args:
        name: of the line.
        built: what is sampled.
        setting: how.
        role: the teacher of many steps, the teacher at a student's cost, or a student before its training.
        starts: names of the rows that it is the start of; none for the teacher's own ways.
    """

    name: str
    built: AvatarPipeline
    setting: Setting
    role: Role
    starts: tuple[str, ...] = ()


def calls_of(recipe: Recipe) -> Setting:
    """How a row's student is called."""
    guidance = "none" if recipe.distill.sampling == "conditional" else "auto"
    return setting_of(recipe, default_steps(recipe), default_scales(recipe), guidance=guidance)


def passes_of(recipe: Recipe) -> int:
    """Evaluations of one step of a row's student."""
    is_once = recipe.distill.sampling == "conditional" or recipe.distill.phases[-1].guidance == "distill"
    return 1 if is_once else len(needed_branches(default_scales(recipe)))


def costs_of(recipes: Sequence[Recipe]) -> list[Cost]:
    """What the teacher can do at the rows' costs, without guidance and with it, each once."""
    found: dict[str, Cost] = {}
    for recipe in recipes:
        steps, scales, passes = default_steps(recipe), default_scales(recipe), passes_of(recipe)
        branches = len(needed_branches(scales))
        guided = steps if passes == branches else steps // branches
        if passes == 1:
            words = f"unguided, {steps} steps"
            plain = setting_of(recipe, steps, scales, guidance="none")
            cost = Cost(f"teacher-{steps}-conditional", words, plain, steps, is_timed=False)
            found.setdefault(cost.name, cost)
        if guided:
            words, count = f"guided, {guided} x {branches}", guided * branches
            called = setting_of(recipe, guided, scales)
            cost = Cost(f"teacher-{guided}x{branches}", words, called, count, is_timed=False)
            found.setdefault(cost.name, cost)
    return list(found.values())


def baselines_of(
    recipes: Mapping[str, Recipe], teacher: AvatarPipeline, costs: Sequence[Cost], searches: Mapping[str, Search]
) -> list[Baseline]:
    """Every line beside the rows, the teacher first.

    Args:
        recipes: of the rows, by name.
        teacher: the guided one.
        costs: the undistilled ways.
        searches: by name of a cost, which samplers were found for it; without one they are plain.
    """
    reference = reference_of(next(iter(recipes.values())))
    listed = [Baseline(TEACHER, teacher, reference, "teacher")]
    guided = [searches[cost.name] for cost in costs if cost.setting.guidance != "none" and cost.name in searches]
    found = max(guided, key=lambda each: each.cost).best.sampler if guided else PLAIN
    if found != (reference.solver, reference.spacing):
        setting = replace(reference, solver=found[0], spacing=found[1])
        listed.append(Baseline(f"teacher at searched nodes ({_named(*found)})", teacher, setting, "teacher"))
    for cost in costs:
        listed.append(Baseline(f"teacher, {cost.words}, plain nodes", teacher, cost.setting, "undistilled"))
        for criterion, (solver, spacing) in searches[cost.name].kept.items() if cost.name in searches else ():
            why = "best" if criterion == "best" else "nearest to the teacher"
            name = f"teacher, {cost.words}, {why} of the searched nodes ({_named(solver, spacing)})"
            setting = replace(cost.setting, solver=solver, spacing=spacing)
            listed.append(Baseline(name, teacher, setting, "undistilled"))
    return listed + _untrained(recipes, teacher)


def reference_of(recipe: Recipe) -> Setting:
    """How the guided teacher is called whose output is the reference."""
    bench = recipe.bench
    scales = default_scales(recipe)
    how = {"solver": bench.teacher_solver, "spacing": bench.teacher_spacing}
    return setting_of(recipe, bench.teacher_steps, scales, **how)


def _untrained(recipes: Mapping[str, Recipe], teacher: AvatarPipeline) -> list[Baseline]:
    """Each student before its training, once for all rows that start so."""
    found: dict[str, Baseline] = {}
    for row, recipe in recipes.items():
        distill, passes = recipe.distill, passes_of(recipe)
        setting = replace(calls_of(recipe), guidance="none" if passes == 1 else "ladder")
        kind = f"guided, {setting.steps} x {passes}" if passes > 1 else f"unguided, {setting.steps} steps"
        built = untrained(recipe, teacher)
        if distill.method == "tcd":
            where = f"consistency steps, gamma {distill.gamma:g}"
        else:
            where = f"{distill.windows} windows" + _windows(distill.spacing, distill.extra_steps, distill.matched)
        name = f"student before training, {kind}, {where}"
        starts = (*found[name].starts, row) if name in found else (row,)
        found[name] = Baseline(name, built, setting, "untrained", starts)
    return list(found.values())


def _windows(spacing: str, extra_steps: str, is_matched: bool) -> str:
    parts = [f"equal {spacing}"] if spacing != "time" else []
    parts += [f"extra steps {extra_steps}"] if extra_steps != "first" else []
    return "".join(f", {part}" for part in [*parts, *(["matched"] if is_matched else [])])


def _named(solver: str, spacing: str) -> str:
    return f"{solver} at equal {spacing}"
