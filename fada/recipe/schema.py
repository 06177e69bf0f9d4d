"""What a recipe may say: every section, field, unit, default and check.

Knows nothing of files (`loading.py`) nor of the objects that are built from it (`fada/build.py`).
Checks that need one section sit in it; checks across sections sit in `Recipe`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Trainable = Literal["reference", "spatial", "audio", "temporal"]


class Section(BaseModel):
    """A frozen part of a recipe; unknown keys are errors, field docstrings become descriptions."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, protected_namespaces=())


class World(Section):
    """The drawn talking-face world, made on the spot."""

    clips: PositiveInt = 320
    """Training clips."""
    test_clips: PositiveInt = 16
    """Held-out clips: other identities and other speech."""
    frames: PositiveInt = 50
    """Frames per drawn clip, at 25 per second."""
    seed: int = 0
    """Seed of identities, speech and flaws."""
    flawed_share: Share = 0.4
    """Share of training clips of moderate quality (set B); the rest is clean (set A)."""


class Data(Section):
    """Where clips come from: the drawn world, or shards made by `fada data shard`."""

    world: World | None = None
    """Draw the data (the embedded default)."""
    train_shards: str | None = None
    """Shards with training clips: a folder, or the URL of one in an object store (s3://bucket/folder). Latents and
    audio states in them are used as they are if this recipe's VAE and audio encoder made them, refused otherwise."""
    test_shards: str | None = None
    """Shards with held-out clips: a folder or a URL. Frames and sound are needed."""

    @model_validator(mode="after")
    def one_source(self) -> Data:
        if (self.world is None) == (self.train_shards is None):
            raise ValueError("give exactly one of data.world and data.train_shards")
        if (self.train_shards is None) != (self.test_shards is None):
            raise ValueError("train_shards and test_shards belong together: give both or none")
        return self


class ClipShape(Section):
    """One training sample."""

    frames: PositiveInt = 12
    """Frames per clip that are denoised together."""
    motion_frames: NonNegativeInt = 2
    """Frames of the clip before that the networks see."""
    size: int = 512
    """Side of the square crop, in pixels."""
    fps: PositiveFloat = 25.0
    """Frames per second; audio is cut to match."""

    @field_validator("size")
    @classmethod
    def divisible(cls, size: int) -> int:
        if size <= 0 or size % 16:
            raise ValueError(f"size must be a positive multiple of 16, got {size}")
        return size


class Audio(Section):
    """The frozen audio encoder."""

    kind: Literal["log_mel", "wav2vec2"] = "log_mel"
    """`log_mel` needs no weights (embedded default); `wav2vec2` uses all hidden states of a transformers model."""
    path: Path | None = None
    """Folder of the wav2vec2 model; only for that kind."""
    rate: Literal["states", "features"] | None = None
    """What of wav2vec2 is brought to the video's rate; only for that kind. `states`: what its transformer gives.
    `features`: what goes into it, as Hallo does. Default: what the folder says (an imported Hallo's does), or `states`.
    """
    bins: PositiveInt = 32
    """Mel bins; only for `log_mel`."""
    context: NonNegativeInt = 2
    """Video frames of audio to each side that a frame sees."""

    @model_validator(mode="after")
    def wav2vec2_has_path(self) -> Audio:
        if self.kind == "wav2vec2" and self.path is None:
            raise ValueError("audio.path: a wav2vec2 folder is needed when audio.kind is wav2vec2")
        return self

    @model_validator(mode="after")
    def only_wav2vec2_has_rate(self) -> Audio:
        if self.kind != "wav2vec2" and self.rate is not None:
            raise ValueError(f"audio.rate: {self.kind} has none; leave it out, or set audio.kind=wav2vec2")
        return self


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


class Guidance(Section):
    """How the student is told the guidance scales (method.md, section 5)."""

    mode: Literal["none", "time_embed", "layer", "tokens"] = "tokens"
    """The paper's Table 4: `tokens` is FADA's."""
    tokens: PositiveInt = 4
    """Learnable tokens per rung."""


class Solver(Section):
    """How the teacher solves a window."""

    kind: Literal["ddim", "dpmpp_2m", "dpmpp_2m_log_snr"] = "ddim"
    """DDIM, or second-order DPM-Solver++ 2M at equal steps of time or of log-SNR."""
    steps: PositiveInt = 8
    """Steps per window."""


class Loss(Section):
    """The mixed loss (method.md, section 4)."""

    weighting: Literal["adaptive", "adaptive_unlimited", "fixed"] = "adaptive"
    """How ground truth is weighed against the teacher."""
    slope: NonNegativeFloat = 0.25
    """s: W grows as R^s."""
    base: NonNegativeFloat = 0.2
    """W0: the weight at R = 1, or the fixed weight."""
    peak: PositiveFloat = 30.0
    """Rp: from here W falls."""
    dead: PositiveFloat = 100.0
    """Rd: from here W is 0."""
    loss_space: Literal["prediction", "endpoint"] = "prediction"
    """Measure the error of the prediction, or of the window's end (times eta^2)."""
    gt_guidance: Literal["neutral", "sampled"] = "neutral"
    """Scales that the ground-truth branch is told."""

    @model_validator(mode="after")
    def peak_before_dead(self) -> Loss:
        if self.peak >= self.dead:
            raise ValueError(f"peak must be below dead, got peak={self.peak}, dead={self.dead}")
        return self


class ScaleRange(Section):
    """Guidance scales drawn uniformly per sample."""

    low: float = 1.0
    """Smallest."""
    high: float
    """Largest."""

    @model_validator(mode="after")
    def ordered(self) -> ScaleRange:
        if self.high < self.low:
            raise ValueError(f"high must not be below low, got low={self.low}, high={self.high}")
        return self


class Phase(Section):
    """One student: what it learns from the teacher, and from which weights it starts."""

    name: str
    """Folder name of the student (students/NAME)."""
    guidance: Literal["sync", "distill"] = "distill"
    """`sync`: balanced, guidance stays outside (3 passes a step). `distill`: fast, guidance inside (1 pass)."""
    init: str = "teacher"
    """`teacher`, or the name of an earlier phase."""
    steps: PositiveInt = 1000
    """Optimiser steps."""
    batch: PositiveInt = 4
    """Clips per step and process."""
    lr: PositiveFloat = 1e-5
    """Peak learning rate."""
    audio_scale: ScaleRange = ScaleRange(low=1.0, high=9.0)
    """Audio scales the fast student learns."""
    reference_scale: ScaleRange = ScaleRange(low=1.0, high=4.0)
    """Reference scales the fast student learns."""
    motion_drop: Share = 0.3
    """Share of samples without motion frames."""
    quality: Literal["A", "B", "all"] = "all"
    """Which clips: the clean set, the moderate one, or both."""
    solver: Solver = Solver()
    """The teacher's solver."""
    loss: Loss = Loss()
    """The mixed loss."""
    trains_reference: bool = False
    """Train the student's reference net too; frozen it is shared with the teacher."""
    targets: Literal["online", "cached"] = "online"
    """`online`: the teacher solves every sample's window in its step. `cached`: it solves `cached_samples` windows
    first, and the student then trains on them again and again, without the teacher."""
    cached_samples: PositiveInt = 2048
    """Windows in the cache; only for `targets: cached`."""


class Distill(Section):
    """Windows, CFG layers and the students in order."""

    method: Literal["perflow", "tcd"] = "perflow"
    """What students learn of the teacher's way: `perflow` straightens it window by window (one window is RFlow);
    `tcd`, trajectory consistency, jumps anywhere on it. For `tcd` the one window's `solver.steps` cut the way into as
    many steps, of which the teacher takes one per sample, and `engine.ema` is the target network."""
    windows: PositiveInt = 4
    """K: PeRFlow windows."""
    gamma: Share = 0.3
    """Share of the remaining time that a `tcd` student jumps too far in every step, to be noised again; 0 is
    deterministic."""
    sampling: Literal["guided", "conditional"] = "guided"
    """How students are called: `guided` as they were taught (scales inside, or three rungs), or plainly `conditional`,
    one pass a step without guidance."""
    steps: PositiveInt | None = None
    """Steps of a student's clip; default: one and a half per window, as the paper's 6 over 4."""
    times: Literal["uniform", "starts"] = "uniform"
    """Times at which a student learns: anywhere in its windows, or only at their starts. `starts` is for students that
    always take one step per window (`steps` equal to `windows`): they are never asked anything else."""
    extra_steps: Literal["first", "last"] = "first"
    """Which windows a student's sampler gives the steps that K does not divide: nearest to noise, or to data."""
    cfg: Guidance = Guidance()
    """CFG layers of fast students."""
    phases: tuple[Phase, ...] = ()
    """Students, in order."""

    @model_validator(mode="after")
    def phases_connect(self) -> Distill:
        known = ["teacher"]
        for phase in self.phases:
            if phase.name in known:
                raise ValueError(f"distill.phases: two phases are named {phase.name!r}")
            if phase.init not in known:
                raise ValueError(
                    f"distill.phases: {phase.name} starts from {phase.init!r}; choose from {', '.join(known)}"
                )
            known.append(phase.name)
        self._fits_tcd()
        if self.steps is not None and self.steps < self.windows:
            raise ValueError(f"steps: a student needs one per window at least: got {self.steps} for {self.windows}")
        if self.times == "starts" and self.steps != self.windows:
            raise ValueError(
                f"times: starts needs steps equal to windows ({self.windows}), got steps {self.steps}: further steps "
                "begin within a window, where such a student has learned nothing"
            )
        return self

    def _fits_tcd(self) -> None:
        if self.method != "tcd":
            return
        if self.windows != 1:
            raise ValueError(f"method: tcd jumps over the whole way: it needs windows: 1, got {self.windows}")
        for phase in self.phases:
            if (phase.loss.weighting, phase.loss.base) != ("fixed", 0.0):
                raise ValueError(
                    f"method: tcd knows no ground truth: {phase.name} needs loss: {{weighting: fixed, base: 0}}, "
                    f"got {phase.loss.weighting} with base {phase.loss.base:g}"
                )


class Engine(Section):
    """How training runs, the same for teacher and students."""

    processes: PositiveInt | None = None
    """Processes on this machine, which `fada distill` starts itself; default: one per GPU, or one. Under torchrun,
    accelerate launch, deepspeed or SLURM their number is the launcher's."""
    strategy: Literal["ddp", "zero1", "zero2", "zero3"] = "ddp"
    """How processes divide the training: `ddp` keeps everything in each; DeepSpeed's `zero1` divides the optimiser's
    state (and the moving average), `zero2` the gradients too, `zero3` the weights too."""
    offload_optimizer: Literal["device", "cpu"] = "device"
    """Where the optimiser's state lies; `cpu` needs a zero strategy."""
    offload_parameters: Literal["device", "cpu"] = "device"
    """Where weights lie between their uses; `cpu` needs `zero3`."""
    shard_teacher: bool = False
    """Divide the frozen teacher's weights among the processes too (ZeRO-3): less memory, more traffic. Off, each has
    all of it."""
    deepspeed: Path | None = None
    """A DeepSpeed JSON file whose entries win over those made from this section; needs a zero strategy."""
    activation_checkpointing: bool = False
    """Compute the trained networks' activations again in the backward pass instead of keeping them: less memory,
    about a third more time."""
    timeout_minutes: PositiveFloat = 30.0
    """How long a process waits for a sign of life of the others."""
    skip_budget: NonNegativeInt = 0
    """Micro-batches without a finite loss that may be replaced by others before the run stops."""
    precision: Literal["fp32", "bf16", "fp16"] = "bf16"
    """Precision of the forward and backward passes; weights and optimiser stay in fp32. fp16 needs CUDA."""
    accumulate: PositiveInt = 1
    """Gradient accumulation steps."""
    clip_norm: PositiveFloat = 1.0
    """Largest gradient norm."""
    warmup: NonNegativeInt = 100
    """Steps of linear warm-up."""
    schedule: Literal["constant", "cosine"] = "cosine"
    """Learning rate after the warm-up."""
    weight_decay: NonNegativeFloat = 1e-2
    """AdamW's."""
    ema: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.999
    """Decay of the weights' moving average (which is what is saved as the result); 0 turns it off."""
    checkpoint_every: PositiveInt = 500
    """Steps between checkpoints."""
    keep_last: PositiveInt = 2
    """Newest checkpoints kept."""
    keep_every: NonNegativeInt = 0
    """Checkpoints of steps that are a multiple of this are kept for good; 0 keeps none."""
    preview_every: NonNegativeInt = 500
    """Steps between previews at fixed seeds; 0 turns them off."""
    log_every: PositiveInt = 10
    """Steps between log lines."""
    threads: PositiveInt | None = None
    """CPU threads of torch; default: torch's own choice."""

    @model_validator(mode="after")
    def zero_where_needed(self) -> Engine:
        is_zero = self.strategy != "ddp"
        if self.offload_optimizer == "cpu" and not is_zero:
            raise ValueError("offload_optimizer: cpu needs strategy zero1, zero2 or zero3")
        if self.offload_parameters == "cpu" and self.strategy != "zero3":
            raise ValueError("offload_parameters: cpu needs strategy zero3")
        if self.deepspeed is not None and not is_zero:
            raise ValueError("deepspeed: needs strategy zero1, zero2 or zero3")
        return self


class Bench(Section):
    """The report at the end of a run."""

    clips: PositiveInt = 12
    """Held-out clips that are measured."""
    seconds: PositiveFloat = 2.0
    """Length of each, at most."""
    seed: int = 0
    """Seed of the initial noise, the same for every system."""
    teacher_steps: PositiveInt = 25
    """Steps of the guided teacher."""
    audio_scale: float | None = 6.5
    """Audio scale; null: where the teacher is best by its own sweep."""
    reference_scale: float | None = 2.5
    """Reference scale; null: where the teacher is best by its own sweep."""
    sweep_audio: tuple[float, ...] = ()
    """Audio scales of the teacher's sweep and of the plot."""
    sweep_reference: tuple[float, ...] = ()
    """Reference scales of the teacher's sweep and of the plot."""
    sweep_clips: PositiveInt = 6
    """Clips per point of a sweep (training identities are never used)."""
    repeats: PositiveInt = 5
    """Measured repetitions of every latency."""
    warmups: NonNegativeInt = 2
    """Repetitions before that are not counted."""
    weights: tuple[Path, ...] = ()
    """Folders with weights of the metrics on real footage (`fada doctor` lists them); FADA_WEIGHTS names more."""


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
