"""What a recipe may say: all sections together, and the checks across them.

Knows nothing of files (`loading.py`) nor of the objects that are built from it (`fada.jobs`). Fields and the checks of
one section are in `sections`.
"""

from __future__ import annotations

from pydantic import Field, ValidationInfo, field_validator, model_validator

from fada.recipe.guidance_scales import with_bench_scales, with_phase_scales
from fada.recipe.sections.data import Audio, ClipShape, Data
from fada.recipe.sections.distill import Distill
from fada.recipe.sections.running import Bench, Engine
from fada.recipe.sections.section import OutputPath, Section, Seed, Title
from fada.recipe.sections.teacher import VAE, Noise, Teacher


class Recipe(Section):
    """One run, complete by itself."""

    name: Title
    """Name of the run."""
    output: OutputPath
    """The run's folder; the same command again resumes what lies there."""
    seed: Seed = 0
    """Seed of everything that is drawn in training."""
    data: Data
    """Where clips come from."""
    clip: ClipShape = ClipShape()
    """One training sample."""
    audio: Audio = Audio()
    """The audio encoder."""
    vae: VAE = VAE()
    """The image autoencoder."""
    noise: Noise = Noise()
    """The noise path."""
    teacher: Teacher
    """The teacher."""
    distill: Distill = Field(default=Distill(), validate_default=True)
    """The students."""
    engine: Engine = Engine()
    """How training runs."""
    bench: Bench = Field(default=Bench(), validate_default=True)
    """The report."""

    @field_validator("distill")
    @classmethod
    def phases_have_the_familys_scales(cls, distill: Distill, info: ValidationInfo) -> Distill:
        teacher = info.data.get("teacher")
        return distill if teacher is None else with_phase_scales(distill, teacher.family.guidance)

    @field_validator("bench")
    @classmethod
    def bench_has_the_familys_scales(cls, bench: Bench, info: ValidationInfo) -> Bench:
        teacher = info.data.get("teacher")
        return bench if teacher is None else with_bench_scales(bench, teacher.family.guidance)

    @model_validator(mode="after")
    def target_network_is_whole(self) -> Recipe:
        if self.distill.method == "tcd" and self.engine.strategy != "ddp":
            raise ValueError(
                "distill.method: tcd asks the moving average in every step, which DeepSpeed divides among processes: "
                f"set engine.strategy: ddp, got {self.engine.strategy}"
            )
        return self

    @model_validator(mode="after")
    def fits_its_family(self) -> Recipe:
        self.teacher.family.check(self)
        return self

    @model_validator(mode="after")
    def fits_together(self) -> Recipe:
        if self.data.world is not None:
            needed = self.clip.frames + self.clip.motion_frames
            if self.data.world.frames < needed:
                raise ValueError(f"data.world.frames must be at least {needed} (clip.frames + clip.motion_frames)")
            if "emotion" in self.teacher.conditions and not self.data.world.emotion:
                raise ValueError(f"data.world.emotion: {self.teacher.family.title} is given an emotion; set it to true")
        return self

    @model_validator(mode="after")
    def sound_fits_the_frame_rate(self) -> Recipe:
        # Four spectra per video frame, at 16 kHz: 4000 samples between them in a second of frames.
        if self.audio.kind == "log_mel" and 4000 % self.clip.fps:
            raise ValueError(
                f"clip.fps: log_mel makes four spectra per video frame, for which {self.clip.fps:g} frames per second "
                "must divide 4000 (20, 25, 40, 50); change it, or set audio.kind: wav2vec2 or whisper"
            )
        return self

    @model_validator(mode="after")
    def every_part_has_clips(self) -> Recipe:
        world = self.data.world
        if world is None:
            return self
        for where, quality, frames in self.wanted_clips():
            if quality != "all" and not world.count(quality):
                raise ValueError(
                    f"{where}.quality is {quality}, but of data.world's {world.clips} clips none has it "
                    f"(data.world.flawed_share: {world.flawed_share:g}); change one of them"
                )
            if frames > world.frames:
                raise ValueError(
                    f"{where} wants {frames} frames, but data.world's clips have {world.frames}; raise "
                    "data.world.frames"
                )
        return self

    @model_validator(mode="after")
    def every_part_has_weight(self) -> Recipe:
        weights = self.data.quality_weights
        for where, quality, _ in self.wanted_clips():
            if weights is not None and quality != "all" and quality not in weights:
                raise ValueError(
                    f"{where}.quality is {quality}, but data.quality_weights names {', '.join(weights)} alone: "
                    "it would draw nothing; give it a weight"
                )
        return self

    @model_validator(mode="after")
    def works_are_apart(self) -> Recipe:
        stages = {f"teacher-{stage.name}" for stage in self.teacher.stages}
        for phase in self.distill.phases:
            if phase.name in stages:
                raise ValueError(
                    f"distill.phases: {phase.name!r} is where the teacher's stage of that name works; give another name"
                )
        return self

    def wanted_clips(self) -> list[tuple[str, str, int]]:
        """What is trained here: key path, quality of its clips, and frames that a clip must have."""
        stages = [] if self.teacher.path is not None else list(enumerate(self.teacher.stages))
        wanted: list[tuple[str, str, int]] = [
            (f"teacher.stages.{index}", stage.quality, stage.frames or self.clip.frames) for index, stage in stages
        ]
        phases = enumerate(self.distill.phases)
        return wanted + [(f"distill.phases.{index}", phase.quality, self.clip.frames) for index, phase in phases]
