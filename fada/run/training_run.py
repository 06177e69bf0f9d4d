"""One run: its folder, its data, its teacher and students; every finished part is found again, not repeated."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator
from rich.console import Console
from torch import nn

from fada.assembly.models import (
    faces_known_to,
    frozen_copy,
    new_teacher,
    open_teacher,
    save_pipeline,
    start_from,
)
from fada.assembly.models import pipeline as new_pipeline
from fada.assembly.settings import (
    accelerator,
    batch_shape,
    data_workers,
    default_scales,
    default_steps,
    distill_settings,
    loop_settings,
    recompute,
    trackers_of,
)
from fada.data.sampling.clip_source import LatentClip
from fada.data.sampling.dataset import ClipSampler, hash_clips, portraits_of
from fada.data.sampling.prefetch import reading_ahead
from fada.data.sampling.seeds import seeded
from fada.engine.launch import processes_to_start
from fada.engine.loop import LoopSettings, fit
from fada.engine.parallel import (
    is_main,
    join,
    main_first,
    main_only,
    shard_frozen,
    until_all,
)
from fada.engine.progress import sample_bar
from fada.engine.run_log import RunLog
from fada.engine.tensor_files import save_tensors
from fada.eval.bench.results import fingerprint as hash_of
from fada.export.opening import find_teacher, model_fault
from fada.files.folders import inside
from fada.generation.avatar_pipeline import AvatarPipeline
from fada.recipe.schema import Recipe
from fada.recipe.sections.distill import Phase
from fada.recipe.sections.teacher import Stage
from fada.run.data import RunData, fingerprint, prepare_data
from fada.run.folder import working_in
from fada.run.parts import is_model_there, load_stage
from fada.run.preview import previews, put
from fada.run.stored_features import mixture_of
from fada.student.copies import student_of
from fada.student.distillation import DistillObjective
from fada.student.solved_windows import DistillSettings, SolvedWindows
from fada.student.target_cache import PER_FILE, TargetCache
from fada.student.trajectory import TrajectoryObjective
from fada.teacher.codec import is_own
from fada.teacher.denoiser import AvatarDenoiser
from fada.teacher.face_space import FaceSpace
from fada.teacher.frame_dropout import FrameDropout
from fada.teacher.pretrain import DropRates, PretrainObjective

StudentObjective = DistillObjective | TrajectoryObjective
OBJECTIVES: dict[str, type[StudentObjective]] = {"perflow": DistillObjective, "tcd": TrajectoryObjective}
"""What `distill.method` names."""
SOLVED_WITH = ("guidance", "windows", "solver", "solver_steps", "motion_drop")
"""Settings of a phase that its window ends follow from; with them the scales, each under `NAME_scale`."""
SOLVED_AT = ("spacing", "solver_spacing")
"""As well, but younger: recorded where they are not ``time``, so that caches made before them are found again."""


@dataclass(frozen=True)
class Shared:
    """What several runs of one teacher have in common, so that none of them makes it again.

    data: the clips, with the VAE and the audio encoder; teacher: its folder; targets: a folder where solved
    window ends lie by their fingerprint; students: folders of students by their phase's name, which are not trained
    again and from which later phases start.
    """

    data: RunData
    teacher: Path
    targets: Path
    students: Mapping[str, Path] = field(default_factory=dict)


class Run:
    """A run's folder, data and parts; every finished part is found again. In all processes alike."""

    def __init__(self, recipe: Recipe, console: Console, shared: Shared | None = None) -> None:
        join(recipe.engine.timeout_minutes)
        if recipe.engine.threads is not None:
            # Before the data: sums over other numbers of threads differ in the last bits, and so would a VAE.
            torch.set_num_threads(recipe.engine.threads)
        self.recipe = recipe
        self.console = console if is_main() else Console(quiet=True)
        self.folder = recipe.output
        self.shared = shared
        self._opened: tuple[Path, AvatarDenoiser] | None = None
        """The model that was opened last."""
        self._teacher_hash = ""
        """Of the teacher whose windows are learned, by its weights."""
        self._start_hash = ""
        """Of the student that a phase starts from, by its weights; empty where it starts from the teacher."""

    @property
    def _scale_names(self) -> tuple[str, ...]:
        return self.recipe.teacher.family.guidance.names

    @property
    def processes(self) -> int:
        """That train: those that joined, or that are about to be started."""
        joined = torch.distributed.is_initialized()
        return torch.distributed.get_world_size() if joined else processes_to_start(self.recipe.engine.processes)

    @contextmanager
    def opened(self, doing: str) -> Iterator[Run]:
        """The folder taken for this recipe, and held while the block runs (by the main process).

        Args:
            doing: what others are told that it is held for.

        Raises:
            FolderFault, FolderBusy, RecipeError: see `working_in`.
        """
        with ExitStack() as held:
            main_only(lambda: held.enter_context(working_in(self.recipe, doing, self.processes)))
            yield self

    @cached_property
    def data(self) -> RunData:
        """Prepared when it is first needed, by the main process first."""
        if self.shared is not None:
            return self.shared.data
        with main_first():
            return prepare_data(self.recipe, self.folder, self.console, makes=is_main())

    def is_finished(self) -> bool:
        """Whether all that the recipe asks for is trained, and whole."""
        if self.recipe.teacher.is_codec_alone:
            # Whether that is finished its data say.
            return False
        models = [inside(self.folder, "students", phase.name) for phase in self.recipe.distill.phases]
        models += [] if self.recipe.teacher.path else [inside(self.folder, "teacher")]
        return all(model_fault(model) is None for model in models)

    def codec(self) -> Path:
        """The folder of the family's own codec, trained where it is missing."""
        folder = inside(self.folder, "vae")
        _ = self.data
        self.console.print(f"codec: {folder}")
        return folder

    def teacher(self) -> Path:
        """The teacher's folder, trained where it is missing."""
        recipe = self.recipe
        if recipe.teacher.path is not None:
            return find_teacher(recipe.teacher.path)
        final = inside(self.folder, "teacher")
        if is_model_there(final, self.console):
            self.console.print(f"teacher: {final} is there")
            return final
        model, stages = self.new_teacher(), recipe.teacher.stages
        # A stage's file holds all of the model: those before a finished one are not asked for.
        done = next((number for number in range(len(stages), 0, -1) if self.load_stage(stages[number - 1], model)), 0)
        for stage in stages[done:]:
            self._train_stage(stage, model)
            main_only(partial(save_tensors, model.state_dict(), self._stage_file(stage)))
        main_only(lambda: save_pipeline(self.pipeline(model), final))
        self.console.print(f"teacher: saved to {final}")
        return final

    def load_stage(self, stage: Stage, model: AvatarDenoiser) -> bool:
        """Put a finished stage's weights into the model; False where there are none."""
        return load_stage(self._stage_file(stage), model, self.console)

    def _stage_file(self, stage: Stage) -> Path:
        number = [each.name for each in self.recipe.teacher.stages].index(stage.name) + 1
        return inside(self.folder, "stages", f"{number}-{stage.name}.safetensors")

    def student(self, phase: Phase, teacher: Path) -> Path:
        """A phase's student's folder, trained where it is missing."""
        if self.shared is not None and phase.name in self.shared.students:
            return self.shared.students[phase.name]
        final = inside(self.folder, "students", phase.name)
        if is_model_there(final, self.console):
            self.console.print(f"{phase.name}: {final} is there")
            return final
        student = self.new_student(phase, teacher)
        self._distill_phase(phase, teacher, student)
        main_only(lambda: save_pipeline(self.pipeline(student, is_student=True), final))
        self.console.print(f"{phase.name}: saved to {final}")
        return final

    def new_teacher(self) -> AvatarDenoiser:
        """The teacher before its first stage."""
        recipe = self.recipe
        audio = self.data.audio_shape(recipe.audio.context)
        latent = self.data.latent_shape(recipe.clip.size)
        # Seeded here, and not before the data: making them draws random numbers, finding them again draws none.
        with seeded(recipe.seed, "teacher"):
            model = new_teacher(recipe, audio, latent)
        if recipe.teacher.init is not None:
            start_from(model, recipe.teacher.init)
        return model

    def new_student(self, phase: Phase, teacher: Path) -> AvatarDenoiser:
        """A phase's student before its training."""
        distill = self.recipe.distill
        start = self._open(self._start_of(phase, teacher))
        self._start_hash = "" if phase.init == "teacher" else fingerprint(start)
        mode = "none" if phase.guidance == "sync" else distill.cfg.mode
        with seeded(self.recipe.seed, f"student {phase.name}"):
            return student_of(start, mode, distill.cfg.tokens)

    def _open(self, folder: Path) -> AvatarDenoiser:
        """A model that students learn from or start as, opened once where it is both."""
        if self._opened is None or self._opened[0] != folder:
            self._opened = (folder, open_teacher(self.recipe, folder))
        return self._opened[1]

    def _start_of(self, phase: Phase, teacher: Path) -> Path:
        """The model folder whose weights a phase's student starts from."""
        if phase.init == "teacher":
            return teacher
        given: Mapping[str, Path] = {} if self.shared is None else self.shared.students
        return given[phase.init] if phase.init in given else inside(self.folder, "students", phase.init)

    def stage_objective(self, stage: Stage, model: AvatarDenoiser, prepared: Accelerator) -> PretrainObjective:
        """What a stage learns, in a copy of `model`."""
        recipe = self.recipe
        frames = stage.frames or recipe.clip.frames
        is_image = frames == 1
        return PretrainObjective(
            copy.deepcopy(model),
            self._sampler(frames, 0 if is_image else recipe.clip.motion_frames, stage.quality),
            batch_shape(recipe, stage.batch, prepared),
            stage.trains,
            self._drop_rates(stage, model),
            recipe.seed,
            is_image_stage=is_image,
            min_snr_gamma=stage.min_snr_gamma,
            frame_drop=FrameDropout(**stage.frame_drop.model_dump()),
            lip_weight=stage.lip_weight,
            offset_noise=stage.offset_noise,
            velocity_weight=stage.velocity_weight,
            motion_weight=stage.motion_weight,
        )

    def _drop_rates(self, stage: Stage, model: AvatarDenoiser) -> DropRates:
        portrait = stage.drop["reference"] if self.recipe.teacher.family.knows_portrait else 0.0
        return DropRates({name: stage.drop[name] for name in model.branches[1:]}, stage.drop["motion"], portrait)

    def phase_objective(
        self, phase: Phase, teacher_folder: Path, prepared: Accelerator, student: AvatarDenoiser
    ) -> StudentObjective:
        """What a phase learns, in a copy of `student`."""
        recipe = self.recipe
        teacher = self._open(teacher_folder)
        # From here on its weights are those of copies.
        self._opened = None
        self._teacher_hash = fingerprint(teacher)
        settings = distill_settings(recipe, phase)
        sampler = self._sampler(recipe.clip.frames, recipe.clip.motion_frames, phase.quality)
        cache = self._cache(phase, settings, sampler.clips) if phase.targets == "cached" else None
        # Frozen, the teacher's reference net makes the features of both: the student then needs none.
        is_shared = not (phase.trains_reference or cache is not None)
        alone = student.feature_encoders if is_shared else ()
        left_out = {id(getattr(student, name)): nn.Identity() for name in alone}
        trained = copy.deepcopy(student, left_out)
        frozen = frozen_copy(teacher, recipe.engine.precision).to(prepared.device)
        if recipe.engine.shard_teacher:
            frozen = cast(AvatarDenoiser, shard_frozen(frozen, recipe.engine.precision))
        return OBJECTIVES[recipe.distill.method](
            frozen,
            trained,
            sampler,
            settings,
            batch_shape(recipe, phase.batch, prepared),
            trains_reference=phase.trains_reference,
            cache=cache,
        )

    def _sampler(self, frames: int, motion: int, quality: str) -> ClipSampler:
        context, mixture = self.recipe.audio.context, mixture_of(self.recipe)
        hears_motion = self.recipe.teacher.family.hears_motion
        return ClipSampler(
            self.data.train, frames, motion, context, quality, self.recipe.seed, mixture, hears_motion=hears_motion
        )

    def _train_stage(self, stage: Stage, model: AvatarDenoiser) -> None:
        """Train one stage; its result is left in `model`."""
        prepared = accelerator(self.recipe, stage.batch)
        objective = self.stage_objective(stage, model, prepared)
        settings = loop_settings(self.recipe, stage.steps, stage.lr, self._facts(objective))
        shown = None if objective.is_image_stage else self.pipeline(model)
        self._fit(objective, settings, prepared, f"teacher-{stage.name}", stage.name, model, shown)

    def _distill_phase(self, phase: Phase, teacher: Path, student: AvatarDenoiser) -> None:
        """Train one phase; its result is left in `student`."""
        prepared = accelerator(self.recipe, phase.batch)
        objective = self.phase_objective(phase, teacher, prepared, student)
        if objective.solved.cache is not None:
            self._fill(objective.solved, objective.solved.cache, phase, prepared)
        facts = {**self._facts(objective), "teacher": self._teacher_hash}
        facts |= {"start": self._start_hash} if self._start_hash else {}
        settings = loop_settings(self.recipe, phase.steps, phase.lr, facts)
        shown = self.pipeline(student, is_student=True)
        self._fit(objective, settings, prepared, phase.name, phase.name, student, shown)

    def _facts(self, objective: PretrainObjective | StudentObjective) -> dict[str, Any]:
        """What a training follows from beside its settings; the loop adds the frozen weights."""
        return {"samples_per_step": objective.shape.per_step, "data": self.data.train_hash}

    def _cache(self, phase: Phase, settings: DistillSettings, clips: Sequence[LatentClip]) -> TargetCache:
        made_with = {
            "teacher": self._teacher_hash,
            "precision": self.recipe.engine.precision,
            "noise": self.recipe.noise.model_dump(),
            "clip": self.recipe.clip.model_dump(),
            "context": self.recipe.audio.context,
            "features": {"vae": fingerprint(self.data.vae), "audio_encoder": self.data.encoder.fingerprint()},
            "clips": hash_clips(clips),
            **{name: getattr(settings, name) for name in SOLVED_WITH},
            **{f"{name}_scale": each for name, each in zip(self._scale_names, settings.scales, strict=True)},
            **{name: value for name in SOLVED_AT if (value := getattr(settings, name)) != "time"},
        }
        folder = inside(self.folder, "work", phase.name, "targets")
        if self.shared is not None:
            mark = hash_of([made_with, phase.cached_samples, settings.seed])
            folder = self.shared.targets / f"{phase.guidance}-{phase.quality}-{settings.windows}-{mark}"
        return TargetCache(folder, phase.cached_samples, settings.windows, settings.seed, made_with)

    def _fill(self, solved: SolvedWindows, cache: TargetCache, phase: Phase, prepared: Accelerator) -> None:
        # A process whose share is there already waits for the others as long as it takes.
        with until_all():
            missing = cache.missing()
            if missing:
                total = min(cache.count, len(missing) * PER_FILE)
                with sample_bar(f"{phase.name}: targets", total, self.console) as on_samples:
                    cache.fill(
                        lambda numbers: solved.window_ends(numbers, prepared.device),
                        phase.batch,
                        prepared.process_index,
                        prepared.num_processes,
                        on_samples=lambda count: on_samples(count * prepared.num_processes),
                    )
        solved.let_teacher_go()

    def _fit(
        self,
        objective: PretrainObjective | StudentObjective,
        settings: LoopSettings,
        prepared: Accelerator,
        work: str,
        name: str,
        result: nn.Module,
        shown: AvatarPipeline | None,
    ) -> None:
        """Train, and leave the averaged weights in `result`; `shown` is the pipeline around it, for previews."""
        recompute(self.recipe, objective.module)
        folder = inside(self.folder, "work", work)
        trackers = trackers_of(self.recipe, folder, work)
        log = RunLog(folder, name, self.console, prepared.is_main_process, trackers)
        preview = None if shown is None else previews(shown, result, self.data, prepared.device)
        try:
            with reading_ahead(objective.sampler, data_workers(self.recipe, prepared.device, self.data.train)):
                weights = fit(objective, settings, prepared, folder, log, preview)
        finally:
            log.close()
        put(weights, result)
        result.requires_grad_(False)

    def pipeline(self, model: AvatarDenoiser, *, is_student: bool = False) -> AvatarPipeline:
        """A pipeline around a teacher or student, with the steps that it is made for."""
        recipe = self.recipe
        steps = default_steps(recipe) if is_student else recipe.bench.teacher_steps
        scales, faces = default_scales(recipe), self.faces
        return new_pipeline(
            recipe, model, self.data.vae, self.data.encoder,
            steps=steps, scales=scales, is_student=is_student, faces=faces,
        )  # fmt: skip

    @cached_property
    def faces(self) -> FaceSpace | None:
        """Which faces this run's models know: those of a given teacher, or of the drawn clips that it is trained on."""
        recipe = self.recipe
        given = None if recipe.teacher.path is None else faces_known_to(recipe, find_teacher(recipe.teacher.path))
        if given is not None or recipe.data.world is None or is_own(self.data.vae):
            return given
        return FaceSpace.of(portraits_of(self.data.train, recipe.seed))
