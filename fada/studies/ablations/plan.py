"""What is to be run of the ablations: rows, seeds, and what rows have in common, as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from fada.eval.bench.results import fingerprint as hash_of
from fada.recipe.earlier import in_earlier_words
from fada.recipe.errors import RecipeError
from fada.recipe.loading import load_recipe
from fada.recipe.schema import Recipe
from fada.studies.ablations.rows import CONTROLS, TEACHER_B, rows

SHARED_SECTIONS = ("data", "clip", "audio", "vae", "noise", "teacher")
"""What all rows must have in common with the base, because it is made once."""
LOOK_EVERY = 8
"""Seeds after which orders are looked at: a run whose orders are all decided then ends."""
BASES = 4
"""Trainings of what rows of a kind start from, by default."""
BASE_SEED = 1000
"""Seed of the first of them; no row has it, so that none sees the draws of its start again."""


@dataclass(frozen=True)
class Plan:
    """What is to be run: plain values, so that it can be sent to another process.

    names: of rows and controls; out: the folder of everything; overrides: `key=value`, of every row; threads: of
    torch, per process; base: a finished run whose data, VAE and teacher are used, None makes them; bases: trainings of
    what rows of a kind start from, which seeds use in turn.
    """

    names: tuple[str, ...]
    seeds: tuple[int, ...]
    out: Path
    overrides: tuple[str, ...] = ()
    threads: int | None = None
    base: Path | None = None
    bases: int = BASES

    def recipe(self, name: str, seed: int, weight: float | None = None) -> Recipe:
        """A row's recipe with its seed and its place under `out`; a control's has the weight that it is given."""
        place = self.out / "students" / name / f"seed-{seed}"
        own = [f"name={name}", f"seed={seed}", f"output={place}", "engine.preview_every=0"]
        own += [] if self.threads is None else [f"engine.threads={self.threads}"]
        if weight is not None:
            own += [f"distill.phases.student.loss={{weighting: fixed, base: {weight:.6g}, loss_space: endpoint}}"]
        return _loaded(f"ablations/{CONTROLS.get(name, name)}", (*self.overrides, *own))

    def first(self) -> Recipe:
        """The first row's recipe: what all rows have in common can be read in it."""
        return self.recipe(self.names[0], self.seeds[0])

    def students(self) -> list[str]:
        """Rows that are students and no controls."""
        return [name for name in self.names if name != TEACHER_B and name not in CONTROLS]

    def controls(self) -> list[str]:
        """Controls whose adaptive row is asked for too."""
        return [name for name in self.names if name in CONTROLS and CONTROLS[name] in self.names]

    def looks(self) -> int:
        """How often orders are looked at in a way that may end the run."""
        return -(-len(self.seeds) // LOOK_EVERY)

    def start(self, name: str, seed: int) -> tuple[str, int] | None:
        """What a row's student starts from: its kind, and the number of its training; None for the teacher."""
        recipe = self.recipe(name, 0)
        if recipe.distill.phases[-1].init == "teacher":
            return None
        return kind_of_start(recipe), seed % self.bases

    def start_recipe(self, name: str, number: int) -> Recipe:
        """The recipe that trains what a row's student starts from: the phases before its own."""
        recipe = self.recipe(name, BASE_SEED + number)
        place = self.out / "starts" / kind_of_start(recipe) / str(number)
        distill = recipe.distill.model_copy(update={"phases": recipe.distill.phases[:-1], "sampling": "guided"})
        return recipe.model_copy(update={"output": place, "name": "start", "distill": distill})

    def base_recipe(self) -> Recipe:
        """The recipe whose folder holds data, VAE and teacher."""
        if self.base is not None:
            return load_recipe(self.base / "recipe.yaml").model_copy(update={"output": self.base})
        # Of one row whatever is asked for, so that other rows find the same folder.
        return load_recipe("ablations/perflow", [*self.overrides, "name=base", f"output={self.out / 'base'}"])


@lru_cache(maxsize=4096)
def _loaded(name: str, overrides: tuple[str, ...]) -> Recipe:
    """A recipe, read once: what is finished is asked for again and again."""
    return load_recipe(name, list(overrides))


def kind_of_start(recipe: Recipe) -> str:
    """A name for all rows whose earlier phases are the same: method, windows, guidance, and a hash of everything."""
    content = recipe.model_dump(mode="json", exclude={"name": True, "output": True, "bench": True, "seed": True})
    content["distill"].pop("sampling")
    content["distill"]["phases"] = content["distill"]["phases"][:-1]
    for free in ("threads", "checkpoint_every", "log_every", "trackers"):
        content["engine"].pop(free)
    content = in_earlier_words(content, has_defaults=True)
    distill = recipe.distill
    mode = "sync" if distill.phases[-1].guidance == "sync" else distill.cfg.mode
    return f"{distill.method}-{distill.windows}-{mode}-{hash_of(content)[:8]}"


def groups(plan: Plan) -> list[tuple[str, ...]]:
    """Rows by training: those of a group differ only in how the student is called; the first one's recipe trains."""
    found: dict[str, list[str]] = {}
    for name in plan.students():
        content = plan.recipe(name, 0).model_dump(mode="json", exclude={"name", "output", "bench"})
        content["distill"].pop("sampling")
        found.setdefault(hash_of(content), []).append(name)
    return [tuple(group) for group in found.values()]


def check_plan(plan: Plan) -> None:
    """Nothing, if the rows exist and share what is made once.

    Raises:
        RecipeError: otherwise, naming the row.
    """
    known = [*rows(), *CONTROLS]
    unknown = [name for name in plan.names if name not in known]
    if unknown or not plan.names:
        raise RecipeError(f"ablations: no row named {', '.join(unknown) or 'nothing'}; choose from {', '.join(known)}")
    lonely = [name for name in plan.names if name in CONTROLS and CONTROLS[name] not in plan.names]
    if lonely:
        raise RecipeError(f"ablations: {lonely[0]} has the mean weight of {CONTROLS[lonely[0]]}: name that row too")
    if not plan.seeds:
        raise RecipeError("ablations: got no seeds; give one at least, three for intervals")
    base = plan.base_recipe()
    for name in plan.names:
        differing = _differing(name, plan.recipe(name, plan.seeds[0]), base, plan.first())
        if differing:
            raise RecipeError(
                f"ablations/{name}: {', '.join(differing)} differ from those of {plan.base or plan.names[0]}; rows "
                "share data, VAE, teacher and measurement: give all the same, or another base"
            )


def _differing(name: str, recipe: Recipe, base: Recipe, first: Recipe) -> Sequence[str]:
    def section(given: Recipe, key: str) -> Any:
        found = getattr(given, key)
        if key == "teacher" and name == TEACHER_B:
            # It differs in its clips alone.
            stages = [stage.model_copy(update={"quality": "A"}) for stage in found.stages]
            return found.model_copy(update={"stages": tuple(stages)})
        return found

    differing = [key for key in SHARED_SECTIONS if section(recipe, key) != section(base, key)]
    return [*differing, *(["bench"] if recipe.bench != first.bench else [])]
