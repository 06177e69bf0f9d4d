"""The models that are distilled: image autoencoder, noise path, networks and how they are trained."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SerializeAsAny, ValidationInfo, field_validator, model_validator

from fada.family import Family, family_named
from fada.recipe.sections.section import (
    Count,
    Frames,
    Listed,
    ModelPath,
    Named,
    PlainName,
    Rate,
    Section,
    Share,
    Steps,
    Weight,
    Width,
)

Levels = Annotated[tuple[Width, ...], Field(strict=False, min_length=1, max_length=8)]
"""Width of each level."""
Beta = Annotated[float, Field(gt=0.0, lt=1.0)]
BetaSchedule = Literal["linear", "scaled_linear"]
PredictionType = Literal["epsilon", "v_prediction", "sample", "flow_prediction"]


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
    """A diffusers folder, `shipped:drawn/vae` among them; without one a VAE of the shape below is trained. For a family
    that trains a codec of its own: a folder with a trained one; the rest of this section is then not read."""
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
    prediction_type: PredictionType = "epsilon"
    """What the networks predict: noise, v, the clean latent itself (`sample`), or on a rectified flow
    (`z_t = (1 - t) z_0 + t eps`, without betas) the difference `eps - z_0`."""
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


class AnyNetwork(Section):
    """Shape of a family's networks; each family has its own (`fada.family.Family.section`)."""

    @property
    def left_out(self) -> frozenset[str]:
        """Conditions of the family that networks of this shape are not told of."""
        return frozenset()


class AnyCodec(Section):
    """Shape and training of a family's own codec (`fada.family.Family.codec_section`)."""


ROUNDING = 1e-9
"""Of shares that add up to 1."""
DROPPED, MOTION_DROPPED = 0.1, 0.3
"""Rates at which a condition and the motion frames are replaced by their null where nothing is said of them."""


class FrameDrop(Section):
    """Rates at which strong conditions are replaced by zeros, per frame (V-Express's conditional dropout)."""

    reference: Share = 0.0
    """What a frame sees of the reference image."""
    keypoints: Share = 0.0
    """A frame's keypoints."""


class Stage(Section):
    """One stage of teacher training."""

    name: PlainName
    """Shown in logs and folder names."""
    trains: Listed[PlainName] = ()
    """Parts that learn, of those that the family has; the others are frozen. Default: all of them."""
    frames: Frames | None = None
    """Frames per sample; 1 trains on images. Default: clip.frames."""
    batch: Count = 4
    """Clips (or images) per step and process."""
    steps: Steps = 1000
    """Optimiser steps."""
    lr: Rate = 1e-5
    """Peak learning rate."""
    drop: Named[Share] = Field(default_factory=dict)
    """Rates at which conditions are replaced by their null, per sample, by name of the branch that each makes: 0.1
    (`reference`: with it goes the audio; `audio`: the reference is kept); and `motion`, of motion frames, so that a
    first clip needs none: 0.3. Where all branches know the portrait (`float`), `reference` is dropped by itself."""
    frame_drop: FrameDrop = FrameDrop()
    """Conditional dropout of single frames; for families that are shown keypoints."""
    lip_weight: Weight = 1.0
    """Weight of the squared error around the lips, elsewhere 1 (a sample's mean weight stays 1); for families that are
    shown keypoints."""
    offset_noise: Share = 0.0
    """Strength of the noise's offset, one number per channel and sample (Guttenberg 2023)."""
    velocity_weight: Weight = 0.0
    """Weight of the squared error of differences between neighbouring frames (FLOAT's velocity loss)."""
    motion_weight: Weight = 0.0
    """Weight of the squared error of motion frames, for families whose networks answer them (`float`)."""
    quality: Literal["A", "B", "all"] = "A"
    """Which clips: the clean set, the moderate one, or both."""
    min_snr_gamma: Annotated[float, Field(gt=0.0, le=1e6)] | None = None
    """Min-SNR loss weighting (Hang et al. 2023), off by default."""


class Teacher(Section):
    """The frozen model that is distilled."""

    kind: PlainName = "dual_unet"
    """The family: `dual_unet` (FADA's), `v_express` and `float`, which can be trained here, or `hallo`, released
    (`fada teacher import`)."""
    path: ModelPath | None = None
    """A teacher folder, or `shipped:drawn`, the drawn world's teacher that comes with fada; without one `fada distill`
    first trains the stages below."""
    init: ModelPath | None = None
    """Weights that the first stage starts from: the folder that `fada teacher import sd15` writes, or a teacher's. Its
    nets have the shape of `network`. Without it they start at random."""
    network: SerializeAsAny[AnyNetwork] = Field(default=None, validate_default=True)
    """Shape, when it is trained here."""
    codec: SerializeAsAny[AnyCodec] = Field(default=None, validate_default=True)
    """Shape and training of the family's own codec, for families that train one; others say nothing here."""
    stages: Listed[Stage] = ()
    """Training stages, in order; none, of a family with a codec of its own: `fada teacher train` trains that alone."""

    @property
    def family(self) -> Family:
        """What `kind` names."""
        return family_named(self.kind)

    @property
    def conditions(self) -> frozenset[str]:
        """What clips must have stored: the family's conditions, but for what its networks leave out."""
        return self.family.conditions - self.network.left_out

    @property
    def is_codec_alone(self) -> bool:
        """Whether nothing but the family's own codec is trained."""
        return self.path is None and not self.stages and self.family.codec_section is not None

    @field_validator("kind")
    @classmethod
    def kind_is_known(cls, kind: str) -> str:
        family_named(kind)
        return kind

    @field_validator("network", mode="before")
    @classmethod
    def network_is_the_familys(cls, value: Any, info: ValidationInfo) -> Any:
        section = family_named(info.data["kind"]).section if "kind" in info.data else None
        # Of an unknown kind nothing can be said; released ones have their sizes, whatever earlier versions noted here.
        return AnyNetwork() if section is None else section.model_validate({} if value is None else value)

    @field_validator("codec", mode="before")
    @classmethod
    def codec_is_the_familys(cls, value: Any, info: ValidationInfo) -> Any:
        section = family_named(info.data["kind"]).codec_section if "kind" in info.data else None
        return (section or AnyCodec).model_validate({} if value is None else value)

    @field_validator("stages")
    @classmethod
    def stages_train_what_there_is(cls, stages: tuple[Stage, ...], info: ValidationInfo) -> tuple[Stage, ...]:
        if "kind" not in info.data:
            return stages
        family = family_named(info.data["kind"])
        parts, is_shown = family.stages, "keypoints" in family.conditions
        rates = dict.fromkeys(family.guidance.branches[1:], DROPPED) | {"motion": MOTION_DROPPED}
        alone = ("motion", "reference") if family.knows_portrait else ("motion",)
        rates |= {"reference": DROPPED} if family.knows_portrait else {}
        for stage in stages:
            unknown = [part for part in stage.trains if part not in parts]
            if not is_shown and (stage.lip_weight != 1.0 or stage.frame_drop != FrameDrop()):
                raise ValueError(f"{stage.name}: frame_drop and lip_weight are for families that are shown keypoints")
            foreign = [name for name in stage.drop if name not in rates]
            if foreign:
                raise ValueError(f"{stage.name}: drop: got {foreign[0]!r}; choose from {', '.join(rates)}")
            if stage.motion_weight and not family.hears_motion:
                raise ValueError(f"{stage.name}: motion_weight is for families whose networks answer motion frames")
            shares = {name: rate for name, rate in {**rates, **stage.drop}.items() if name not in alone}
            if sum(shares.values()) > 1.0 + ROUNDING:
                raise ValueError(
                    f"{stage.name}: drop: a sample loses one condition, so rates add up to 1, got {shares}"
                )
            if unknown and parts:
                raise ValueError(f"{stage.name}: trains: got {unknown[0]!r}; choose from {', '.join(parts)}")
        return tuple(
            stage.model_copy(update={"trains": stage.trains or parts, "drop": {**rates, **stage.drop}})
            for stage in stages
        )

    @model_validator(mode="after")
    def has_a_source(self) -> Teacher:
        if self.path is None and not self.stages and not self.is_codec_alone:
            raise ValueError("give teacher.path (a teacher folder) or teacher.stages (to train one)")
        if not self.family.stages and (self.path is None or self.stages):
            raise ValueError(
                f"kind: {self.kind} is released, not trained here: give teacher.path, the imported folder, only"
            )
        if self.path is not None and self.init is not None:
            raise ValueError("teacher.path is a finished teacher, teacher.init is where stages start: give one of them")
        names = [stage.name for stage in self.stages]
        if len(set(names)) != len(names):
            raise ValueError(f"teacher.stages: names must differ, got {', '.join(names)}")
        return self
