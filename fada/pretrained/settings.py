"""The settings that a model's folder may give, class by class, and how large each may be.

Limits lie far above every published model of the kind and far below what fills a machine. That widths fit the weights
is checked against the weights themselves (networks.py); here is what the weights cannot tell.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fada.pretrained.ranges import CONTEXT, FPS, FRAMES, MOTION_FRAMES, SHARE, SIZE, STEPS, Range


def within(numbers: Range) -> Any:
    """A field of numbers in a range of the table that pipelines and calls have too."""
    return Field(ge=numbers.low, le=numbers.high)


Count = Annotated[int, Field(ge=1, le=256)]
Width = Annotated[int, Field(ge=1, le=16384)]
Depth = Annotated[int, Field(ge=1, le=96)]
Share = Annotated[float, Field(ge=0, le=1)]
Scale = Annotated[float, Field(ge=-100, le=100)]
Grid = Annotated[int, Field(ge=2, le=10000)]
Name = Annotated[str, Field(max_length=200)]
Widths = Annotated[list[Annotated[int, Field(ge=1, le=8192)]], Field(min_length=1, max_length=8)]
Flags = Annotated[list[bool], Field(min_length=1, max_length=8)]
Numbers = Annotated[list[float], Field(max_length=256)]


class Settings(BaseModel):
    """Settings as JSON has them: exact types, nothing unknown, nothing infinite; what is absent is the class's own."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class UNet(Settings):
    """What the UNets of all families have in common."""

    in_channels: Count = 4
    channels: Widths = Field(default=[320, 640, 1280, 1280])
    layers_per_block: Annotated[int, Field(ge=1, le=8)] = 2
    heads: Count = 8
    attention_levels: Flags = Field(default=[True, True, True, False])
    norm_groups: Count = 32

    @model_validator(mode="after")
    def _has_a_choice_for_every_level(self) -> Self:
        if len(self.attention_levels) != len(self.channels):
            raise ValueError(
                f"attention_levels has {len(self.attention_levels)} entries for {len(self.channels)} levels"
            )
        return self


class GuidanceLayers(Settings):
    """fada.student.guidance."""

    mode: Literal["time_embed", "layer", "tokens"] = "tokens"
    tokens: Count = 4
    branches: Annotated[int, Field(ge=2, le=16)] = 3
    dim: Width = 768
    heads: Count = 8
    sites: Annotated[list[Annotated[int, Field(ge=1, le=8192)]], Field(max_length=256)] = Field(default=[])
    time_channels: Width = 1280

    @model_validator(mode="after")
    def _divides(self) -> Self:
        for width in self.sites:
            if width % self.heads:
                raise ValueError(f"a site of {width} channels cannot be divided by heads {self.heads}")
        return self


class AutoencoderKL(Settings):
    """diffusers' image autoencoder, of the kinds that Stable Diffusion 1.x has."""

    in_channels: Literal[3] = 3
    out_channels: Literal[3] = 3
    down_block_types: Annotated[
        list[Literal["DownEncoderBlock2D", "AttnDownEncoderBlock2D"]], Field(min_length=1, max_length=8)
    ] = Field(default=["DownEncoderBlock2D"])
    up_block_types: Annotated[
        list[Literal["UpDecoderBlock2D", "AttnUpDecoderBlock2D"]], Field(min_length=1, max_length=8)
    ] = Field(default=["UpDecoderBlock2D"])
    block_out_channels: Widths = Field(default=[64])
    layers_per_block: Annotated[int, Field(ge=1, le=8)] = 1
    act_fn: Literal["silu", "swish", "mish", "gelu", "relu"] = "silu"
    latent_channels: Count = 4
    norm_num_groups: Count = 32
    sample_size: Annotated[int, Field(ge=1, le=65536)] = 32
    scaling_factor: Annotated[float, Field(gt=1e-6, le=1e6)] = 0.18215
    shift_factor: Annotated[float, Field(ge=-1e6, le=1e6)] | None = None
    latents_mean: Numbers | None = None
    latents_std: Numbers | None = None
    force_upcast: bool = True
    use_quant_conv: bool = True
    use_post_quant_conv: bool = True
    mid_block_add_attention: bool = True

    @model_validator(mode="after")
    def _has_a_block_for_every_level(self) -> Self:
        levels = len(self.block_out_channels)
        if not len(self.down_block_types) == len(self.up_block_types) == levels:
            raise ValueError("down_block_types, up_block_types and block_out_channels are of different lengths")
        return self


class FaceSpace(Settings):
    """fada.teacher.face_space."""

    shape: Annotated[list[Annotated[int, Field(ge=1, le=2048)]], Field(min_length=3, max_length=3)] = Field(
        default=[4, 64, 64]
    )
    directions: Annotated[int, Field(ge=1, le=1024)] = 128
    limit: Annotated[float, Field(gt=0, le=1e6)] = 1.0


class DDIMScheduler(Settings):
    """diffusers' own; `trained_betas` is a table of any length, which no noise path here follows."""

    num_train_timesteps: Grid = 1000
    beta_start: Share = 0.0001
    beta_end: Share = 0.02
    beta_schedule: Literal["linear", "scaled_linear"] = "linear"
    trained_betas: None = None
    clip_sample: bool = True
    set_alpha_to_one: bool = True
    steps_offset: Annotated[int, Field(ge=0, le=1)] = 0
    prediction_type: Literal["epsilon", "v_prediction", "sample"] = "epsilon"
    thresholding: bool = False
    dynamic_thresholding_ratio: Share = 0.995
    clip_sample_range: Scale = 1.0
    sample_max_value: Scale = 1.0
    timestep_spacing: Literal["leading", "trailing", "linspace"] = "leading"
    rescale_betas_zero_snr: bool = False


class PeRFlowScheduler(DDIMScheduler):
    """fada.diffusion.scheduler, whose configs keep what another scheduler's said; nothing reads it."""

    model_config = ConfigDict(extra="ignore")

    beta_start: Share = 0.00085
    beta_end: Share = 0.012
    beta_schedule: Literal["linear", "scaled_linear"] = "scaled_linear"
    prediction_type: Literal["epsilon", "v_prediction", "sample", "flow_prediction"] = "epsilon"  # type: ignore[assignment]
    set_alpha_to_one: bool = False
    timestep_offset: Annotated[int, Field(ge=-1, le=1)] = -1
    num_windows: Annotated[int, Field(ge=1, le=1000)] = 4
    extra_steps: Literal["first", "last"] = "first"
    spacing: Literal["time", "log_snr", "noise_share"] = "time"
    matched: bool = False


class LogMelEncoder(Settings):
    """fada.data.audio.features."""

    kind: Literal["log_mel"]
    bins: Annotated[int, Field(ge=1, le=256)]
    frames_per_video_frame: Annotated[int, Field(ge=1, le=64)]
    fps: Annotated[float, Field(ge=1, le=240)]


class Preprocessor(BaseModel):
    """preprocessor_config.json of an audio encoder: how sound is prepared; what others add is not read."""

    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)

    do_normalize: bool = True
    sampling_rate: Literal[16000] = 16000
    fps: Annotated[float, Field(ge=1, le=240)] = 25.0
    rate: str = "states"


class PipelineSettings(Settings):
    """What every family's pipeline has: what a clip is, defaults of a call; a family adds a scale per branch."""

    frames: Annotated[int, within(FRAMES)] = 12
    motion_frames: Annotated[int, within(MOTION_FRAMES)] = 2
    context: Annotated[int, within(CONTEXT)] = 2
    fps: Annotated[float, within(FPS)] = 25.0
    size: Annotated[int, within(SIZE)] = 512
    steps: Annotated[int, within(STEPS)] = 25
    is_student: bool = False
    gamma: Annotated[float, within(SHARE)] | None = None
    guidance: Literal["auto", "ladder", "embedded", "none"] = "auto"


TABLES: dict[str, type[Settings]] = {
    each.__name__: each
    for each in (GuidanceLayers, AutoencoderKL, FaceSpace, PeRFlowScheduler, DDIMScheduler, LogMelEncoder)
}
"""Class name → its settings, of classes that no family has for itself."""


def settings_of(kind: type) -> type[Settings]:
    """The settings that a folder may give a class: its own table, or that of its name here.

    Raises:
        KeyError: there is none; such a class is never opened.
    """
    found = vars(kind).get("folder_settings")
    return TABLES[kind.__name__] if found is None else found


def first_fault(error: ValidationError) -> str:
    """Of what pydantic found the first fault: where, what is wanted, what was got."""
    fault = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(map(str, fault["loc"]))
    shown = "" if fault["type"] == "missing" or not place else f", got {shortly(fault['input'])}"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{shortly(place)[1:-1]}: {fault['msg']}{shown}{more}" if place else f"{fault['msg']}{more}"


def shortly(value: Any) -> str:
    """A value from outside for a message: plain letters, and not many."""
    try:
        shown = ascii(value)
    except ValueError:
        # Python does not print a number of thousands of digits.
        shown = f"a {type(value).__name__}"
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
