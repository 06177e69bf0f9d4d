"""Recipe to runs: the teacher's stages, then the students' phases."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TypeVar

from accelerate import Accelerator
from rich.console import Console

from fada.assembly.models import audio_encoder, faces_known_to, pipeline
from fada.assembly.settings import accelerator, default_scales, default_steps
from fada.engine.checkpoint_state import read_checkpoint
from fada.engine.checkpoints import Checkpoints, checkpoint_fault
from fada.engine.optimizer import AVERAGE
from fada.engine.trained_state import WEIGHT
from fada.export.opening import find_teacher
from fada.files.folders import inside
from fada.generation.avatar_pipeline import AvatarPipeline
from fada.recipe.errors import RecipeError
from fada.recipe.loading import load_recipe
from fada.recipe.schema import Recipe
from fada.run.data import prepare_data
from fada.run.preview import put
from fada.run.training_run import Run, Shared, StudentObjective
from fada.run.vae import open_vae
from fada.teacher.pretrain import PretrainObjective

AnyObjective = TypeVar("AnyObjective", PretrainObjective, StudentObjective)


def train_teacher(recipe: Recipe, console: Console) -> Path:
    """Train the teacher's stages, or the codec alone where there are none (or find them done); its folder."""
    with Run(recipe, console).opened("training the teacher") as run:
        return run.codec() if recipe.teacher.is_codec_alone else run.teacher()


def distill(recipe: Recipe, console: Console) -> list[Path]:
    """Train the teacher if there is none, then every student that is missing; the students' folders.

    Raises:
        RecipeError: the recipe trains a codec and no teacher.
    """
    if recipe.teacher.is_codec_alone:
        raise RecipeError(
            f"{recipe.name}: teacher.stages: there are none, and no teacher.path: this recipe trains a codec alone "
            "(fada teacher train); give stages, or the folder of a teacher"
        )
    with Run(recipe, console).opened("distilling") as run:
        teacher = run.teacher()
        return [run.student(phase, teacher) for phase in recipe.distill.phases]


def distill_shared(recipe: Recipe, shared: Shared, console: Console) -> list[Path]:
    """Train every student that is missing, with what other runs have made; the students' folders."""
    with Run(recipe, console, shared).opened("distilling") as run:
        return [run.student(phase, shared.teacher) for phase in recipe.distill.phases]


def train_teacher_shared(recipe: Recipe, shared: Shared, console: Console) -> Path:
    """Train a teacher's stages (or find them done), with what other runs have made; the teacher's folder."""
    with Run(recipe, console, shared).opened("training the teacher") as run:
        return run.teacher()


def shared_parts(recipe: Recipe, targets: Path, console: Console) -> Shared:
    """Data, VAE and teacher of a recipe, made or found again in its folder."""
    with Run(recipe, console).opened("making what runs share") as run:
        return Shared(run.data, run.teacher(), targets)


def find_shared_parts(recipe: Recipe, targets: Path, console: Console) -> Shared:
    """The same, made by another process that still holds the folder or has let it go: nothing is written."""
    data = prepare_data(recipe, recipe.output, console, makes=False)
    return Shared(data, find_teacher(recipe.teacher.path or recipe.output), targets)


def prepare(recipe: Recipe, console: Console) -> None:
    """Make the data that training needs, if anything is left to train; for whoever starts processes afterwards."""
    with Run(recipe, console).opened("preparing data") as run:
        if not run.is_finished():
            _ = run.data


def objective_of(recipe: Recipe, work: str, console: Console) -> PretrainObjective | StudentObjective:
    """What a stage (`teacher-NAME`) or phase learns, as it is before training; for looking at single steps.

    Raises:
        RecipeError: the recipe has no such stage or phase.
    """
    with Run(recipe, console).opened("computing a step again") as run:
        return _objective_in(run, recipe, work)


def _objective_in(run: Run, recipe: Recipe, work: str) -> PretrainObjective | StudentObjective:
    stages = {f"teacher-{stage.name}": stage for stage in recipe.teacher.stages}
    if work in stages:
        model = run.new_teacher()
        for stage in itertools.takewhile(lambda stage: stage is not stages[work], stages.values()):
            # What a stage does not train it has from those before.
            run.load_stage(stage, model)
        prepared = accelerator(recipe, stages[work].batch)
        return _on_device(run.stage_objective(stages[work], model, prepared), prepared)
    for phase in recipe.distill.phases:
        if work == phase.name:
            prepared = accelerator(recipe, phase.batch)
            student = run.new_student(phase, run.teacher())
            return _on_device(run.phase_objective(phase, run.teacher(), prepared, student), prepared)
    names = [*stages, *(phase.name for phase in recipe.distill.phases)]
    raise RecipeError(f"{recipe.name}: no stage or phase {work!r}; choose from {', '.join(names)}")


def _on_device(made: AnyObjective, prepared: Accelerator) -> AnyObjective:
    """The objective with its module where its teacher is: no training wraps it and moves it there."""
    made.module.to(prepared.device)
    return made


def from_checkpoint(run: Path, phase_name: str, step: int | None, console: Console) -> AvatarPipeline:
    """The student that a phase's checkpoint holds: its moving average. No GPU and no other process is needed, and
    nothing in the run is changed: it may still be training.

    Args:
        step: of the checkpoint; None is the newest whole one.

    Raises:
        RecipeError: the run has no such phase or checkpoint.
    """
    recipe = load_recipe(run / "recipe.yaml").model_copy(update={"output": run})
    phases = {phase.name: phase for phase in recipe.distill.phases}
    if phase_name not in phases:
        raise RecipeError(f"{run}: no phase {phase_name!r}; choose from {', '.join(phases)}")
    checkpoints = Checkpoints(inside(run, "work", phase_name, "checkpoints"), keep_last=1)
    folder = checkpoints.latest() if step is None else checkpoints.folder / f"step-{step:08d}"
    fault = "there is none" if folder is None else checkpoint_fault(folder)
    if folder is None or fault is not None:
        raise RecipeError(f"{folder or checkpoints.folder}: no checkpoint to export ({fault})")
    vae = open_vae(recipe, run)
    if vae is None:
        raise RecipeError(f"{run / 'vae'}: the run's VAE is missing; repeat the command that trains the run")
    teacher = find_teacher(recipe.teacher.path or run)
    student = Run(recipe, console).new_student(phases[phase_name], teacher)
    kept = AVERAGE if recipe.engine.ema else WEIGHT
    names = getattr(student, "former_names", {})
    put({name: value for name, key, value in read_checkpoint(folder, names) if key == kept}, student)
    steps, scales = default_steps(recipe), default_scales(recipe)
    faces = faces_known_to(recipe, teacher)
    return pipeline(
        recipe,
        student,
        vae,
        audio_encoder(recipe.audio, recipe.clip.fps),
        steps=steps,
        scales=scales,
        is_student=True,
        faces=faces,
    )
