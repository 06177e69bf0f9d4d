"""How training runs, and what its report measures."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from fada.recipe.sections.section import (
    Count,
    CountOrNone,
    Few,
    FilePath,
    Listed,
    Named,
    Scale,
    Section,
    Seed,
    Steps,
    StepsOrNone,
    Weight,
)

Strategy = Literal["ddp", "zero1", "zero2", "zero3"]
Place = Literal["device", "cpu"]
Precision = Literal["fp32", "bf16", "fp16"]
Schedule = Literal["constant", "cosine"]
TrackerName = Literal["tensorboard", "wandb", "mlflow", "trackio"]


class Engine(Section):
    """How training runs, the same for teacher and students."""

    processes: Few | None = None
    """Processes on this machine, which `fada distill` starts itself; default: one per GPU, or one. Under torchrun,
    accelerate launch, deepspeed or SLURM their number is the launcher's."""
    strategy: Strategy = "ddp"
    """How processes divide the training: `ddp` keeps everything in each; DeepSpeed's `zero1` divides the optimiser's
    state (and the moving average), `zero2` the gradients too, `zero3` the weights too."""
    offload_optimizer: Place = "device"
    """Where the optimiser's state lies; `cpu` needs a zero strategy."""
    offload_parameters: Place = "device"
    """Where weights lie between their uses; `cpu` needs `zero3`."""
    shard_teacher: bool = False
    """Divide the frozen teacher's weights among the processes too (ZeRO-3): less memory, more traffic. Off, each has
    all of it."""
    deepspeed: FilePath | None = None
    """A DeepSpeed JSON file whose entries win over those made from this section; needs a zero strategy."""
    activation_checkpointing: Literal[True, False, "full_resolution"] = False
    """Compute the trained networks' activations again in the backward pass instead of keeping them: less memory,
    about a third more time. `full_resolution`: only in the UNets' first and last levels, at Stable Diffusion 1.5's size
    four fifths of the activations for less than half of that time."""
    timeout_minutes: Annotated[float, Field(gt=0.0, le=1e5)] = 30.0
    """How long a process waits for a sign of life of the others."""
    skip_budget: CountOrNone = 0
    """Micro-batches without a finite loss that may be replaced by others before the run stops."""
    precision: Precision = "bf16"
    """Precision of the forward and backward passes; weights and optimiser stay in fp32. fp16 needs CUDA."""
    accumulate: Count = 1
    """Gradient accumulation steps."""
    clip_norm: Annotated[float, Field(gt=0.0, le=1e6)] = 1.0
    """Largest gradient norm."""
    warmup: StepsOrNone = 100
    """Steps of linear warm-up."""
    schedule: Schedule = "cosine"
    """Learning rate after the warm-up."""
    weight_decay: Weight = 1e-2
    """AdamW's."""
    ema: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.999
    """Decay of the weights' moving average (which is what is saved as the result); 0 turns it off."""
    checkpoint_every: Steps = 500
    """Steps between checkpoints."""
    keep_last: Count = 2
    """Newest checkpoints kept."""
    keep_every: StepsOrNone = 0
    """Checkpoints of steps that are a multiple of this are kept for good; 0 keeps none."""
    preview_every: StepsOrNone = 500
    """Steps between previews at fixed seeds; 0 turns them off."""
    log_every: Steps = 10
    """Steps between log lines."""
    trackers: Listed[TrackerName] = ("tensorboard",)
    """Where figures, histograms and previews go beside the run's `log.jsonl`: `tensorboard`, and, where their packages
    are installed (`fada[trackers]`), `wandb`, `mlflow`, `trackio`; [] for none. On this machine alone unless the
    environment says otherwise."""
    threads: Few | None = None
    """CPU threads of torch; default: torch's own choice."""
    data_workers: Annotated[int, Field(ge=0, le=64)] | None = None
    """Processes that read the next batches while a training process computes, for each of them; 0: it reads by itself.
    Default: 2 where it trains on a GPU from stored clips, else 0."""

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

    clips: Count = 12
    """Held-out clips that are measured."""
    seconds: Annotated[float, Field(gt=0.0, le=3600.0)] = 2.0
    """Length of each, at most."""
    seed: Seed = 0
    """Seed of the initial noise, the same for every system."""
    teacher_steps: Few = 25
    """Steps of the guided teacher."""
    teacher_solver: Literal["ddim", "dpmpp_2m"] = "ddim"
    """Solver of the guided teacher, the report's reference; DDIM is the paper's."""
    teacher_spacing: Literal["time", "log_snr", "noise_share"] = "time"
    """Of which clock its steps are equal parts; time is the paper's."""
    search_clips: CountOrNone = 4
    """Spare held-out clips, beside those of the report, on which solver and time nodes of the undistilled baselines are
    searched at the students' costs; 0, or no spare clips: they are plain DDIM at equal steps of time, and the report
    says so. Costs about three times as much per clip as the guided teacher."""
    scales: Named[Scale | None] = Field(default={})
    """Guidance scales by the names of the family's branches; null: where the teacher is best by its own sweep. Default:
    the family's own."""
    sweep: Named[Listed[Scale]] = Field(default={})
    """By the same names, scales of the teacher's sweep and of the plot."""
    sweep_clips: Count = 6
    """Clips per point of a sweep (training identities are never used)."""
    repeats: Count = 5
    """Measured repetitions of every latency."""
    warmups: CountOrNone = 2
    """Repetitions before that are not counted."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Of all networks while they are measured, the same for every system; sampling and guidance are float32 always."""
    weights: Listed[FilePath] = ()
    """Folders with weights of the metrics on real footage (`fada doctor` lists them); FADA_WEIGHTS names more."""
