"""What a recipe saves of a training step, from the public way (public_way.py) to the recipe's own, added one by one.

All steps have the same networks, draws and optimiser; weights stay as they are (learning rate 0), so that their losses
can be compared.
"""

from __future__ import annotations

import copy
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from fada.data.sampling.dataset import BatchShape, ClipSampler
from fada.engine.optimizer import AveragingAdamW
from fada.eval.speed.endpoints import solver_name
from fada.eval.speed.public_way import public_way
from fada.eval.speed.rounds import ratio, take_turns
from fada.student.distillation import DistillObjective, DistillSettings
from fada.student.target_cache import TargetCache
from fada.teacher.denoiser import AvatarDenoiser

PUBLIC, COMPILED, CACHED = "public way", "compiled teacher", "cached targets"
TOLD = {
    COMPILED: "torch.compile of the teacher's denoising net",
    CACHED: "window ends are solved once and learned from in every epoch",
}
CLIP_NORM, WEIGHT_DECAY, AVERAGE_DECAY = 1.0, 1e-2, 0.999


@dataclass(frozen=True)
class StepsSetting:
    """What all steps have in common.

    cached_share: windows in the cache per sample of the training, which is how often a sample's window is solved; None
    where the recipe solves them anew in every step.
    dtype: of the student's passes (autocast); the teacher runs in its own.
    """

    settings: DistillSettings
    shape: BatchShape
    dtype: torch.dtype
    cached_share: float | None
    is_compiled: bool


@dataclass(frozen=True)
class StepLine:
    """One line: a step with this measure and all before it.

    told: what the measure is, for people; seconds: median; teacher_share: of it, the teacher's; against_before,
    against_public: times faster; loss: of the first step, None where random window ends stand in for solved ones.
    """

    name: str
    told: str
    seconds: float
    teacher_share: float
    against_before: float
    against_public: float
    loss: float | None


class TrainingStep:
    """One step, whole: data, teacher, student, backward pass, clipping, optimiser with its moving average."""

    def __init__(self, objective: DistillObjective, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self.objective, self.model, self.optimizer = objective, model, optimizer
        self.trained = [p for p in objective.module.parameters() if p.requires_grad]
        self.losses: list[float] = []
        self.teacher_seconds: list[float] = []

    def __call__(self) -> None:
        """Take the next step; each of several such objects goes through the same ones."""
        loss = self.objective.loss(self.model, len(self.losses), 0)
        loss.total.backward()
        nn.utils.clip_grad_norm_(self.trained, CLIP_NORM)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.losses.append(float(loss.total.detach()))
        self.teacher_seconds.append(float(loss.scalars.get("seconds_teacher", 0.0)))


class InPrecision(nn.Module):
    """A module under autocast, as Accelerate wraps what it trains."""

    def __init__(self, module: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.module, self.dtype = module, dtype

    def forward(self, inputs: Any, latents: Tensor, t: Tensor, **options: Any) -> Tensor:
        """What the module says, in float32."""
        with torch.autocast(latents.device.type, self.dtype, enabled=self.dtype != torch.float32):
            return self.module(inputs, latents, t, **options).float()


@contextmanager
def training_steps(
    teacher: AvatarDenoiser, student: AvatarDenoiser, sampler: ClipSampler, setting: StepsSetting
) -> Iterator[dict[str, TrainingStep]]:
    """The steps by the names of their measures, the public way first, each with all measures before it.

    The last is the recipe's own step. Random window ends stand in the cache: what is read costs the same.
    """
    optimizer = AveragingAdamW(_learning(student), lr=0.0, weight_decay=WEIGHT_DECAY, decay=AVERAGE_DECAY)
    own, public = setting.settings, public_way(setting.settings)

    def step(teacher: Any, settings: DistillSettings, cache: TargetCache | None = None) -> TrainingStep:
        objective = DistillObjective(teacher, student, sampler, settings, setting.shape, cache=cache)
        return TrainingStep(objective, InPrecision(student, setting.dtype), optimizer)

    steps = {PUBLIC: step(teacher, public)}
    if own != public:
        steps[name_of_solver(own)] = step(teacher, own)
    if setting.is_compiled:
        compiled = copy.deepcopy(teacher)
        cast(nn.Module, compiled.denoiser).compile()
        steps[COMPILED] = step(compiled, own)
    if setting.cached_share is None:
        yield steps
        return
    with tempfile.TemporaryDirectory() as folder:
        cache = TargetCache(Path(folder), setting.shape.per_step, own.windows, own.seed, {})
        clip = sampler.sample(0, 0, 1).latents[0]
        cache.fill(lambda numbers: torch.randn(len(numbers), *clip.shape), setting.shape.size)
        steps[CACHED] = step(teacher, own, cache)
        yield steps


def name_of_solver(settings: DistillSettings) -> str:
    """For people, as `2M in log-SNR, 4 steps`."""
    return solver_name(settings.solver, settings.solver_steps, settings.solver_spacing)


def measure_steps(
    steps: dict[str, TrainingStep],
    setting: StepsSetting,
    rounds: int,
    on_work: Callable[[str, int], None] = lambda name, number: None,
) -> list[StepLine]:
    """A line per step, in their order.

    The time of cached targets is that of a step that reads them, and its part of solving them beforehand: the teacher's
    seconds in the step before, times the share of windows per sample.
    """
    seconds = take_turns(steps, rounds, on_work=on_work)
    teacher = {name: step.teacher_seconds[-rounds:] for name, step in steps.items()}
    names = list(steps)
    if setting.cached_share is not None:
        teacher[CACHED] = [setting.cached_share * each for each in teacher[names[-2]]]
        seconds[CACHED] = [a + b for a, b in zip(seconds[CACHED], teacher[CACHED], strict=True)]
    return [
        StepLine(
            name,
            _told(name, setting.settings),
            statistics.median(seconds[name]),
            statistics.median(a / b for a, b in zip(teacher[name], seconds[name], strict=True)),
            ratio(seconds[before], seconds[name]),
            ratio(seconds[PUBLIC], seconds[name]),
            None if name == CACHED else step.losses[0],
        )
        for before, (name, step) in zip([PUBLIC, *names], steps.items(), strict=False)
    ]


def _told(name: str, settings: DistillSettings) -> str:
    """What a measure is, for people."""
    if name == PUBLIC:
        return (
            f"all branches of a solver step in a pass, the reference net once per step, windows solved in every step "
            f"by {name_of_solver(public_way(settings))}"
        )
    return TOLD.get(name, f"{name} in place of {name_of_solver(public_way(settings))}")


def _learning(student: AvatarDenoiser) -> list[nn.Parameter]:
    """What an objective trains: all but what stands in front of the denoising net."""
    frozen = {id(p) for name in student.encoders for p in getattr(student, name).parameters()}
    return [p for p in student.parameters() if id(p) not in frozen]
