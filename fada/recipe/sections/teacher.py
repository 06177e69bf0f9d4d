"""The models that are distilled: image autoencoder, noise path, networks and how they are trained."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from fada.recipe.sections.section import (
    Count,
    Few,
    Frames,
    Listed,
    ModelPath,
    PlainName,
    Rate,
    Section,
    Share,
    Steps,
    Width,
)

Levels = Annotated[tuple[Width, ...], Field(strict=False, min_length=1, max_length=8)]
"""Width of each level."""
Beta = Annotated[float, Field(gt=0.0, lt=1.0)]
BetaSchedule = Literal["linear", "scaled_linear"]
DiffusedType = Literal["epsilon", "v_prediction"]
"""What networks predict on the paths that a recipe can name."""
Trainable = Literal["reference", "spatial", "audio", "temporal"]


class VAETraining(Section):
    """Training of a small AutoencoderKL, for worlds without a released one."""

    steps: Steps = 600
    """Optimiser steps."""
    batch: Count = 8
    """Images per step."""
    lr: Rate = 1.5e-3
    """Peak learning rate of AdamW (cosine decay)."""


class VAE(Section):
    """The image autoencoder, diffusers' AutoencoderKL."""

    path: ModelPath | None = None
    """A diffusers folder, `shipped:drawn/vae` among them; without one a VAE of the shape below is trained."""
    channels: Levels = (16, 32, 64)
    """Width of each level; a level more halves the resolution once more."""
    latent_channels: Width = 4
    """Channels of a latent."""
    train: VAETraining = VAETraining()
    """How it is trained when there is no path."""

    @property
    def downscale(self) -> int:
        """Pixels per latent cell, along one side."""
        return int(2 ** (len(self.channels) - 1))


class Noise(Section):
    """The noise path, in the words of diffusers' schedulers (method.md, section 1)."""

    num_train_timesteps: Frames = 1000
    """Length of the time grid."""
    beta_schedule: BetaSchedule = "scaled_linear"
    """How betas grow."""
    beta_start: Beta = 0.00085
    """First beta."""
    beta_end: Beta = 0.012
    """Last beta."""
    rescale_betas_zero_snr: bool = False
    """Rescale so that the last step is pure noise."""
    prediction_type: DiffusedType = "epsilon"
    """What the networks predict."""
    set_alpha_to_one: bool = False
    """Whether time 0 is free of noise (true) or has the first step's noise (false, as SD 1.5)."""
    timestep_offset: Annotated[int, Field(ge=-1000, le=1000)] = -1
    """Networks see T t + offset; 0 for PeRFlow checkpoints."""

    @model_validator(mode="after")
    def betas_grow(self) -> Noise:
        if self.beta_start > self.beta_end:
            raise ValueError(f"beta_start must not be above beta_end, got {self.beta_start} and {self.beta_end}")
        return self

    @model_validator(mode="after")
    def zero_snr_needs_v(self) -> Noise:
        if self.rescale_betas_zero_snr and self.prediction_type == "epsilon":
            raise ValueError(
                "prediction_type: epsilon cannot be solved from zero terminal SNR (lambda is infinite); "
                "use v_prediction, or rescale_betas_zero_snr: false"
            )
        return self


class Network(Section):
    """Shape of the dual UNet; the defaults are Stable Diffusion 1.5's."""

    channels: Levels = (320, 640, 1280, 1280)
    """Width of each level."""
    layers_per_block: Annotated[int, Field(ge=1, le=64)] = 2
    """Residual blocks per level on the way down (one more on the way up)."""
    heads: Few = 8
    """Attention heads."""
    attention_levels: Listed[bool] = (True, True, True, False)
    """Which levels have attention (spatial and audio)."""
    temporal_levels: Listed[bool] = (True, True, True, True)
    """Which levels have temporal attention; the middle block always has."""
    norm_groups: Width = 32
    """Groups of the group norms."""
    has_places: bool = False
    """Tell spatial attention where a token lies (fixed 2-D sinusoids). SD 1.5 has no such thing and must leave it off;
    small networks trained from nothing learn to read the reference much faster with it."""
    audio_tokens: Few = 32
    """Audio tokens per frame after projection."""
    audio_dim: Width = 768
    """Width of an audio token."""
    audio_hidden: Width = 512
    """Width of the audio projection's hidden layers."""
    max_frames: Frames = 32
    """Longest clip, motion frames included, that temporal positions can number."""

    @model_validator(mode="after")
    def levels_agree(self) -> Network:
        for name, levels in (("attention_levels", self.attention_levels), ("temporal_levels", self.temporal_levels)):
            if len(levels) != len(self.channels):
                raise ValueError(
                    f"{name} has {len(levels)} entries and channels {len(self.channels)}; "
                    "give one entry per level in both"
                )
        for width in self.channels:
            if width % self.norm_groups or width % self.heads:
                raise ValueError(
                    f"channels: {width} must be divisible by norm_groups ({self.norm_groups}) and heads ({self.heads})"
                )
        return self


class Dropout(Section):
    """Rates at which conditions are replaced by their null, per sample."""

    reference: Share = 0.1
    """Reference image (with it goes the audio: the ladder's lowest rung)."""
    audio: Share = 0.1
    """Audio, the reference kept."""
    motion: Share = 0.3
    """Motion frames, so that a first clip needs none."""


class Stage(Section):
    """One stage of teacher training."""

    name: PlainName
    """Shown in logs and folder names."""
    trains: Listed[Trainable] = ("reference", "spatial", "audio", "temporal")
    """Parts that learn; the others are frozen."""
    frames: Frames | None = None
    """Frames per sample; 1 trains on images. Default: clip.frames."""
    batch: Count = 4
    """Clips (or images) per step and process."""
    steps: Steps = 1000
    """Optimiser steps."""
    lr: Rate = 1e-5
    """Peak learning rate."""
    drop: Dropout = Dropout()
    """Condition dropout."""
    quality: Literal["A", "B", "all"] = "A"
    """Which clips: the clean set, the moderate one, or both."""
    min_snr_gamma: Annotated[float, Field(gt=0.0, le=1e6)] | None = None
    """Min-SNR loss weighting (Hang et al. 2023), off by default."""


class Teacher(Section):
    """The frozen model that is distilled."""

    kind: Literal["dual_unet", "hallo"] = "dual_unet"
    """The family: FADA's dual UNet, which can be trained here, or Hallo, released (`fada teacher import hallo`)."""
    path: ModelPath | None = None
    """A teacher folder, or `shipped:drawn`, the drawn world's teacher that comes with fada; without one `fada distill`
    first trains the stages below."""
    init: ModelPath | None = None
    """Weights that the first stage starts from: the folder that `fada teacher import sd15` writes, or a teacher's. Its
    nets have the shape of `network`. Without it they start at random."""
    network: Network = Network()
    """Shape, when it is trained here."""
    stages: Listed[Stage] = ()
    """Training stages, in order."""

    @model_validator(mode="after")
    def has_a_source(self) -> Teacher:
        if self.path is None and not self.stages:
            raise ValueError("give teacher.path (a teacher folder) or teacher.stages (to train one)")
        if self.kind == "hallo" and (self.path is None or self.stages):
            raise ValueError("kind: hallo is released, not trained here: give teacher.path, the imported folder, only")
        if self.path is not None and self.init is not None:
            raise ValueError("teacher.path is a finished teacher, teacher.init is where stages start: give one of them")
        names = [stage.name for stage in self.stages]
        if len(set(names)) != len(names):
            raise ValueError(f"teacher.stages: names must differ, got {', '.join(names)}")
        return self
