"""The models that are distilled: image autoencoder, noise path, networks and how they are trained."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import PositiveFloat, PositiveInt, model_validator

from fada.recipe.sections.section import Section, Share

Trainable = Literal["reference", "spatial", "audio", "temporal"]


class VAETraining(Section):
    """Training of a small AutoencoderKL, for worlds without a released one."""

    steps: PositiveInt = 600
    """Optimiser steps."""
    batch: PositiveInt = 8
    """Images per step."""
    lr: PositiveFloat = 1.5e-3
    """Peak learning rate of AdamW (cosine decay)."""


class VAE(Section):
    """The image autoencoder, diffusers' AutoencoderKL."""

    path: Path | None = None
    """A diffusers folder; without one a VAE of the shape below is trained."""
    channels: tuple[PositiveInt, ...] = (16, 32, 64)
    """Width of each level; a level more halves the resolution once more."""
    latent_channels: PositiveInt = 4
    """Channels of a latent."""
    train: VAETraining = VAETraining()
    """How it is trained when there is no path."""

    @property
    def downscale(self) -> int:
        """Pixels per latent cell, along one side."""
        return int(2 ** (len(self.channels) - 1))


class Noise(Section):
    """The noise path, in the words of diffusers' schedulers (method.md, section 1)."""

    num_train_timesteps: PositiveInt = 1000
    """Length of the time grid."""
    beta_schedule: Literal["linear", "scaled_linear"] = "scaled_linear"
    """How betas grow."""
    beta_start: PositiveFloat = 0.00085
    """First beta."""
    beta_end: PositiveFloat = 0.012
    """Last beta."""
    rescale_betas_zero_snr: bool = False
    """Rescale so that the last step is pure noise."""
    prediction_type: Literal["epsilon", "v_prediction"] = "epsilon"
    """What the networks predict."""
    set_alpha_to_one: bool = False
    """Whether time 0 is free of noise (true) or has the first step's noise (false, as SD 1.5)."""
    timestep_offset: int = -1
    """Networks see T t + offset; 0 for PeRFlow checkpoints."""

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

    channels: tuple[PositiveInt, ...] = (320, 640, 1280, 1280)
    """Width of each level."""
    layers_per_block: PositiveInt = 2
    """Residual blocks per level on the way down (one more on the way up)."""
    heads: PositiveInt = 8
    """Attention heads."""
    attention_levels: tuple[bool, ...] = (True, True, True, False)
    """Which levels have attention (spatial and audio)."""
    temporal_levels: tuple[bool, ...] = (True, True, True, True)
    """Which levels have temporal attention; the middle block always has."""
    norm_groups: PositiveInt = 32
    """Groups of the group norms."""
    has_places: bool = False
    """Tell spatial attention where a token lies (fixed 2-D sinusoids). SD 1.5 has no such thing and must leave it off;
    small networks trained from nothing learn to read the reference much faster with it."""
    audio_tokens: PositiveInt = 32
    """Audio tokens per frame after projection."""
    audio_dim: PositiveInt = 768
    """Width of an audio token."""
    audio_hidden: PositiveInt = 512
    """Width of the audio projection's hidden layers."""
    max_frames: PositiveInt = 32
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

    name: str
    """Shown in logs and folder names."""
    trains: tuple[Trainable, ...] = ("reference", "spatial", "audio", "temporal")
    """Parts that learn; the others are frozen."""
    frames: PositiveInt | None = None
    """Frames per sample; 1 trains on images. Default: clip.frames."""
    batch: PositiveInt = 4
    """Clips (or images) per step and process."""
    steps: PositiveInt = 1000
    """Optimiser steps."""
    lr: PositiveFloat = 1e-5
    """Peak learning rate."""
    drop: Dropout = Dropout()
    """Condition dropout."""
    quality: Literal["A", "B", "all"] = "A"
    """Which clips: the clean set, the moderate one, or both."""
    min_snr_gamma: PositiveFloat | None = None
    """Min-SNR loss weighting (Hang et al. 2023), off by default."""


class Teacher(Section):
    """The frozen model that is distilled."""

    kind: Literal["dual_unet", "hallo"] = "dual_unet"
    """The family: FADA's dual UNet, which can be trained here, or Hallo, released (`fada teacher import hallo`)."""
    path: Path | None = None
    """A teacher folder; without one `fada distill` first trains the stages below."""
    init: Path | None = None
    """Weights that the first stage starts from: the folder that `fada teacher import sd15` writes, or a teacher's. Its
    nets have the shape of `network`. Without it they start at random."""
    network: Network = Network()
    """Shape, when it is trained here."""
    stages: tuple[Stage, ...] = ()
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
