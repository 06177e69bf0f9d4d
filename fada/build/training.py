"""Recipe to runs: the teacher's stages, then the students' phases; every finished part is found again, not repeated."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from rich.console import Console
from safetensors.torch import load_file, save_file

from fada.build.data import RunData, prepare_data
from fada.build.models import find_teacher, frozen_copy, new_dual_unet, pipeline, save_pipeline
from fada.build.run_folder import open_run
from fada.data.dataset import ClipSampler
from fada.engine.loop import LoopSettings, Objective, Preview, fit
from fada.engine.run_log import RunLog
from fada.media.contact_sheet import contact_sheet
from fada.recipe.schema import Loss, Phase, Recipe, Stage
from fada.student.distillation import DistillObjective, DistillSettings
from fada.student.mixed_loss import MixedLossConfig
from fada.student.network import Student, student_of
from fada.student.pipeline import FadaPipeline
from fada.teacher.dual_unet import DualUNet
from fada.teacher.pretrain import DropRates, PretrainObjective

PREVIEW_CLIPS = 3


def train_teacher(recipe: Recipe, console: Console) -> Path:
    """Train the teacher's stages (or find them done); the teacher's folder."""
    folder = open_run(recipe)
    return _ensure_teacher(recipe, folder, console, _Once(recipe, folder, console))


def distill(recipe: Recipe, console: Console) -> list[Path]:
    """Train the teacher if there is none, then every student that is missing; the students' folders."""
    folder = open_run(recipe)
    data = _Once(recipe, folder, console)
    teacher_folder = _ensure_teacher(recipe, folder, console, data)
    students = []
    for phase in recipe.distill.phases:
        final = folder / "students" / phase.name
        students.append(final)
        if (final / "model_index.json").is_file():
            console.print(f"{phase.name}: {final} is there")
            continue
        teacher = FadaPipeline.from_pretrained(str(teacher_folder)).model
        start = (
            teacher
            if phase.init == "teacher"
            else FadaPipeline.from_pretrained(str(folder / "students" / phase.init)).model
        )
        student = _distill_phase(recipe, phase, teacher, start, data.get(), folder, console)
        save_pipeline(_student_pipeline(recipe, student, data.get()), final)
        console.print(f"{phase.name}: saved to {final}")
    return students


class _Once:
    """The run's data, prepared when it is first needed."""

    def __init__(self, recipe: Recipe, folder: Path, console: Console) -> None:
        self._arguments = (recipe, folder, console)
        self._data: RunData | None = None

    def get(self) -> RunData:
        if self._data is None:
            self._data = prepare_data(*self._arguments)
        return self._data


def _ensure_teacher(recipe: Recipe, folder: Path, console: Console, lazy: _Once) -> Path:
    if recipe.teacher.path is not None:
        return find_teacher(recipe.teacher.path)
    final = folder / "teacher"
    if (final / "model_index.json").is_file():
        console.print(f"teacher: {final} is there")
        return final
    data = lazy.get()
    torch.manual_seed(recipe.seed)
    audio = data.audio_shape(recipe.audio.context)
    model = new_dual_unet(recipe.teacher.network, recipe.noise, audio, data.latent_channels)
    for index, stage in enumerate(recipe.teacher.stages):
        weights = folder / "stages" / f"{index + 1}-{stage.name}.safetensors"
        if weights.is_file():
            model.load_state_dict(load_file(str(weights)))
            continue
        _train_stage(recipe, stage, model, data, folder, console)
        weights.parent.mkdir(exist_ok=True)
        partial = weights.with_suffix(".partial")
        save_file({key: value.contiguous() for key, value in model.state_dict().items()}, str(partial))
        partial.replace(weights)
    save_pipeline(_teacher_pipeline(recipe, model, data), final)
    console.print(f"teacher: saved to {final}")
    return final


def default_steps(recipe: Recipe) -> int:
    """Steps of a student: one and a half per window, as the paper's 6 over 4."""
    return math.ceil(1.5 * recipe.distill.windows)


def accelerator(recipe: Recipe) -> Accelerator:
    """A fresh Accelerator for one phase."""
    AcceleratorState._reset_state()
    if recipe.engine.threads is not None:
        torch.set_num_threads(recipe.engine.threads)
    return Accelerator(mixed_precision="no" if recipe.engine.precision == "fp32" else recipe.engine.precision)


def loop_settings(recipe: Recipe, steps: int, lr: float) -> LoopSettings:
    """The engine section, for one phase."""
    engine = recipe.engine
    return LoopSettings(
        steps=steps,
        lr=lr,
        accumulate=engine.accumulate,
        clip_norm=engine.clip_norm,
        warmup=min(engine.warmup, max(1, steps // 4)),
        schedule=engine.schedule,
        weight_decay=engine.weight_decay,
        ema=engine.ema,
        checkpoint_every=engine.checkpoint_every,
        keep_last=engine.keep_last,
        keep_every=engine.keep_every,
        preview_every=engine.preview_every,
        log_every=engine.log_every,
    )


def _train_stage(recipe: Recipe, stage: Stage, model: DualUNet, data: RunData, folder: Path, console: Console) -> None:
    frames = stage.frames or recipe.clip.frames
    is_image = frames == 1
    motion = 0 if is_image else recipe.clip.motion_frames
    prepared = accelerator(recipe)
    objective = PretrainObjective(
        model,
        ClipSampler(data.train, frames, motion, recipe.audio.context, stage.quality, recipe.seed),
        stage.batch,
        stage.trains,
        DropRates(**stage.drop.model_dump()),
        recipe.seed,
        is_image_stage=is_image,
        min_snr_gamma=stage.min_snr_gamma,
        rank=prepared.process_index,
        world=prepared.num_processes,
    )
    preview = None if is_image else _preview(_teacher_pipeline(recipe, model, data), data)
    work = folder / "work" / f"teacher-{stage.name}"
    _fit_with_average(
        objective, loop_settings(recipe, stage.steps, stage.lr), prepared, work, stage.name, console, preview
    )


def _distill_phase(
    recipe: Recipe, phase: Phase, teacher: DualUNet, start: DualUNet, data: RunData, folder: Path, console: Console
) -> Student:
    mode = "none" if phase.guidance == "sync" else recipe.distill.cfg.mode
    torch.manual_seed(recipe.seed)
    student = student_of(start, mode, recipe.distill.cfg.tokens, recipe.distill.windows)
    if phase.trains_reference:
        student.reference_unet = copy.deepcopy(start.reference_unet)
    prepared = accelerator(recipe)
    sampler = ClipSampler(
        data.train, recipe.clip.frames, recipe.clip.motion_frames, recipe.audio.context, phase.quality, recipe.seed
    )
    frozen = frozen_copy(teacher, recipe.engine.precision).to(prepared.device)
    objective = DistillObjective(
        frozen,
        student,
        sampler,
        distill_settings(recipe, phase),
        trains_reference=phase.trains_reference,
        rank=prepared.process_index,
        world=prepared.num_processes,
    )
    settings = loop_settings(recipe, phase.steps, phase.lr)
    built = _student_pipeline(recipe, student, data)
    work = folder / "work" / phase.name
    _fit_with_average(objective, settings, prepared, work, phase.name, console, _preview(built, data))
    return student


def distill_settings(recipe: Recipe, phase: Phase) -> DistillSettings:
    """A phase of the recipe as plain arguments."""
    return DistillSettings(
        guidance=phase.guidance,
        windows=recipe.distill.windows,
        solver=phase.solver.kind,
        solver_steps=phase.solver.steps,
        audio_scale=(phase.audio_scale.low, phase.audio_scale.high),
        reference_scale=(phase.reference_scale.low, phase.reference_scale.high),
        motion_drop=phase.motion_drop,
        loss=_loss_config(phase.loss),
        gt_guidance=phase.loss.gt_guidance,
        batch=phase.batch,
        seed=recipe.seed,
    )


def _loss_config(section: Loss) -> MixedLossConfig:
    return MixedLossConfig(**section.model_dump(exclude={"gt_guidance"}))


def _fit_with_average(
    objective: Objective,
    settings: LoopSettings,
    prepared: Accelerator,
    work: Path,
    name: str,
    console: Console,
    preview: Preview | None,
) -> None:
    """Train, and leave the averaged weights in the module."""
    log = RunLog(work, name, console, prepared.is_main_process)
    try:
        average = fit(objective, settings, prepared, work, log, preview)
    finally:
        log.close()
    if average is not None:
        average.copy_to_module()
    objective.module.float().cpu().requires_grad_(False)


def _teacher_pipeline(recipe: Recipe, model: DualUNet, data: RunData) -> FadaPipeline:
    return pipeline(
        recipe, model, data.vae, data.encoder, steps=recipe.bench.teacher_steps, scales=default_scales(recipe)
    )


def _student_pipeline(recipe: Recipe, student: Student, data: RunData) -> FadaPipeline:
    return pipeline(recipe, student, data.vae, data.encoder, steps=default_steps(recipe), scales=default_scales(recipe))


def default_scales(recipe: Recipe) -> tuple[float, float]:
    """Reference and audio scale of a call that names none: the report's, or the middle of what a student learns."""
    learned = [phase for phase in recipe.distill.phases if phase.guidance == "distill"]
    ranges = (learned[-1].reference_scale, learned[-1].audio_scale) if learned else None
    named = (recipe.bench.reference_scale, recipe.bench.audio_scale)
    middle = tuple((each.low + each.high) / 2 for each in ranges) if ranges else (2.5, 6.5)
    return (named[0] or middle[0], named[1] or middle[1])


def _preview(built: FadaPipeline, data: RunData) -> Preview:
    """Previews at fixed seeds and conditions: the same held-out portraits and speech every time."""
    clips = data.test[:PREVIEW_CLIPS]
    frames = 2 * built.config.frames

    def show(step: int, log: RunLog) -> None:
        if not log.is_main:
            return
        with _evaluating(built.model):
            videos = [
                built(clip.frames[0], clip.audio, seed=index, max_frames=min(frames, len(clip.frames))).frames
                for index, clip in enumerate(clips)
            ]
        rows, labels = [], []
        for clip, video in zip(clips, videos, strict=True):
            rows += [clip.frames[: len(video)], video]
            labels += [f"{clip.key} truth", f"step {step}"]
        log.image(
            "preview/frames", contact_sheet(rows, labels, columns=8, scale=max(1.0, 96 / videos[0].shape[1])), step
        )
        shortest = min(len(video) for video in videos)
        log.video(
            "preview/video", np.concatenate([video[:shortest] for video in videos], axis=2), step, built.config.fps
        )

    return show


@contextmanager
def _evaluating(model: torch.nn.Module) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
