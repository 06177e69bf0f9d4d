"""What a recipe may say: all sections together, and the checks across them.

Knows nothing of files (`loading.py`) nor of the objects that are built from it (`fada.build`). Fields and the checks of
one section are in `sections`.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import model_validator

from fada.recipe.sections.data import Audio, ClipShape, Data
from fada.recipe.sections.distill import Distill
from fada.recipe.sections.running import Bench, Engine
from fada.recipe.sections.section import Section
from fada.recipe.sections.teacher import VAE, Noise, Teacher


class Recipe(Section):
    """One run, complete by itself."""

    name: str
    """Name of the run."""
    output: Path
    """The run's folder; the same command again resumes what lies there."""
    seed: int = 0
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
    distill: Distill = Distill()
    """The students."""
    engine: Engine = Engine()
    """How training runs."""
    bench: Bench = Bench()
    """The report."""

    @model_validator(mode="after")
    def target_network_is_whole(self) -> Recipe:
        if self.distill.method == "tcd" and self.engine.strategy != "ddp":
            raise ValueError(
                "distill.method: tcd asks the moving average in every step, which DeepSpeed divides among processes: "
                f"set engine.strategy: ddp, got {self.engine.strategy}"
            )
        return self

    @model_validator(mode="after")
    def faces_are_known(self) -> Recipe:
        if self.teacher.kind != "hallo":
            return self
        if self.data.world is not None:
            raise ValueError("teacher.kind: hallo needs clips whose faces are known: give shards, not data.world")
        if self.audio.kind == "wav2vec2" and self.audio.rate != "features":
            raise ValueError(
                "audio.rate: hallo hears wav2vec2 states that were brought to video rate before the transformer; "
                "set audio.rate: features"
            )
        return self

    @model_validator(mode="after")
    def fits_together(self) -> Recipe:
        longest = self.clip.frames + self.clip.motion_frames
        if self.teacher.path is None and longest > self.teacher.network.max_frames:
            raise ValueError(
                f"clip.frames + clip.motion_frames is {longest}, but teacher.network.max_frames is "
                f"{self.teacher.network.max_frames}; raise the latter"
            )
        halvings = len(self.teacher.network.channels) - 1
        cell = self.vae.downscale * 2**halvings
        if self.vae.path is None and self.teacher.path is None and self.clip.size % cell:
            raise ValueError(
                f"clip.size {self.clip.size} must be a multiple of {cell} "
                f"(VAE {self.vae.downscale}x, {halvings} halvings in the network)"
            )
        if (self.bench.audio_scale is None and not self.bench.sweep_audio) or (
            self.bench.reference_scale is None and not self.bench.sweep_reference
        ):
            raise ValueError("bench: a scale of null is chosen by a sweep; give sweep_audio and sweep_reference")
        if self.data.world is not None:
            needed = self.clip.frames + self.clip.motion_frames
            if self.data.world.frames < needed:
                raise ValueError(f"data.world.frames must be at least {needed} (clip.frames + clip.motion_frames)")
        return self
