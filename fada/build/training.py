"""Recipe to runs: the teacher's stages, then the students' phases."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from fada.build.run import Run, Shared, StudentObjective, put
from fada.build.run_folder import check_run
from fada.build.settings import accelerator
from fada.engine.checkpoints import Checkpoints, find_fault, read_checkpoint
from fada.engine.optimizer import AVERAGE
from fada.engine.trained_state import WEIGHT
from fada.recipe.errors import RecipeError
from fada.recipe.loading import load_recipe
from fada.recipe.schema import Recipe
from fada.student.generation import AvatarPipeline
from fada.teacher.pretrain import PretrainObjective


def train_teacher(recipe: Recipe, console: Console) -> Path:
    """Train the teacher's stages (or find them done); the teacher's folder."""
    return Run(recipe, console).open().teacher()


def distill(recipe: Recipe, console: Console) -> list[Path]:
    """Train the teacher if there is none, then every student that is missing; the students' folders."""
    run = Run(recipe, console).open()
    teacher = run.teacher()
    return [run.student(phase, teacher) for phase in recipe.distill.phases]


def distill_shared(recipe: Recipe, shared: Shared, console: Console) -> list[Path]:
    """Train every student that is missing, with what other runs have made; the students' folders."""
    run = Run(recipe, console, shared).open()
    return [run.student(phase, shared.teacher) for phase in recipe.distill.phases]


def shared_parts(recipe: Recipe, targets: Path, console: Console) -> Shared:
    """Data, VAE and teacher of a recipe, made or found again in its folder."""
    run = Run(recipe, console).open()
    return Shared(run.data, run.teacher(), targets)


def prepare(recipe: Recipe, console: Console) -> None:
    """Make the data that training needs, if anything is left to train; for whoever starts processes afterwards."""
    run = Run(recipe, console).open()
    if not run.is_finished():
        _ = run.data


def objective_of(recipe: Recipe, work: str, console: Console) -> PretrainObjective | StudentObjective:
    """What a stage (`teacher-NAME`) or phase learns, as it is before training; for looking at single steps.

    Raises:
        RecipeError: the recipe has no such stage or phase.
    """
    run = Run(recipe, console)
    check_run(recipe, run.processes)
    for stage in recipe.teacher.stages:
        if work == f"teacher-{stage.name}":
            return run.stage_objective(stage, run.new_teacher(), accelerator(recipe, stage.batch))
    for phase in recipe.distill.phases:
        if work == phase.name:
            prepared = accelerator(recipe, phase.batch)
            return run.phase_objective(phase, run.teacher(), prepared, run.new_student(phase, run.teacher()))
    names = [f"teacher-{stage.name}" for stage in recipe.teacher.stages]
    names += [phase.name for phase in recipe.distill.phases]
    raise RecipeError(f"{recipe.name}: no stage or phase {work!r}; choose from {', '.join(names)}")


def from_checkpoint(run: Path, phase_name: str, step: int | None, console: Console) -> AvatarPipeline:
    """The student that a phase's checkpoint holds: its moving average. No GPU and no other process is needed.

    Args:
        step: of the checkpoint; None is the newest whole one.

    Raises:
        RecipeError: the run has no such phase or checkpoint.
    """
    recipe = load_recipe(run / "recipe.yaml").model_copy(update={"output": run})
    phases = {phase.name: phase for phase in recipe.distill.phases}
    if phase_name not in phases:
        raise RecipeError(f"{run}: no phase {phase_name!r}; choose from {', '.join(phases)}")
    checkpoints = Checkpoints(run / "work" / phase_name / "checkpoints", keep_last=1)
    folder = checkpoints.latest() if step is None else checkpoints.folder / f"step-{step:08d}"
    fault = "there is none" if folder is None else find_fault(folder)
    if folder is None or fault is not None:
        raise RecipeError(f"{folder or checkpoints.folder}: no checkpoint to export ({fault})")
    opened = Run(recipe, console)
    student = opened.new_student(phases[phase_name], opened.teacher())
    kept = AVERAGE if recipe.engine.ema else WEIGHT
    put({name: value for name, key, value in read_checkpoint(folder) if key == kept}, student)
    return opened.pipeline(student)
