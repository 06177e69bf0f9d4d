"""What each measure saves of a training step, from the plain way to ours, one added at a time.

All steps have the same networks, draws and optimiser; weights stay as they are (learning rate 0), so that their losses
can be compared.
"""

from __future__ import annotations

import copy
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from fada.data.dataset import BatchShape, ClipSampler
from fada.diffusion.solvers import Solver
from fada.engine.optimizer import AveragingAdamW
from fada.eval.speed.plain import PlainTeacher, TwoCalls
from fada.eval.speed.rounds import ratio, take_turns
from fada.student.distillation import DistillObjective, DistillSettings
from fada.student.network import AnyStudent, AnyTeacher
from fada.student.target_cache import TargetCache

FIRST_ORDER: tuple[Solver, int] = ("ddim", 8)
SECOND_ORDER: tuple[Solver, int] = ("dpmpp_2m_log_snr", 4)
"""Solver and steps of the plain way, and of ours."""
PLAIN, REFERENCE, BATCHED, ONE_CALL = "plain way", "reference once", "batched rungs", "one student call"
SOLVER, COMPILED, CACHED = "2M in log-SNR, 4 steps", "compiled teacher", "cached targets"
TOLD = {
    PLAIN: "a call per rung, the reference net in every call, DDIM with 8 steps, two student calls",
    REFERENCE: "conditions are prepared once per step; the student shares the reference features",
    BATCHED: "all rungs of a solver step in one pass",
    ONE_CALL: "both points of the loss in one pass of the student",
    SOLVER: "DPM-Solver++ 2M with 4 equal steps of log-SNR in place of DDIM with 8",
    COMPILED: "torch.compile of the teacher's denoising net",
    CACHED: "window ends are solved once and learned from in every epoch",
}
CLIP_NORM, WEIGHT_DECAY, AVERAGE_DECAY = 1.0, 1e-2, 0.999


@dataclass(frozen=True)
class StepsSetting:
    """What all steps have in common.

    cached_share: windows in the cache per sample of the training, at most 1; how often a sample's window is solved.
    dtype: of the student's passes (autocast); the teacher runs in its own.
    """

    settings: DistillSettings
    shape: BatchShape
    dtype: torch.dtype
    cached_share: float
    is_compiled: bool


@dataclass(frozen=True)
class StepLine:
    """One line: a step with this measure and all before it.

    seconds: median; teacher_share: of it, the teacher's; against_before, against_plain: times faster; loss: of the
    first step, None where random window ends stand in for solved ones.
    """

    name: str
    seconds: float
    teacher_share: float
    against_before: float
    against_plain: float
    loss: float | None

    @property
    def told(self) -> str:
        """What the measure is, for people."""
        return TOLD[self.name]


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
    teacher: AnyTeacher, student: AnyStudent, sampler: ClipSampler, setting: StepsSetting
) -> Iterator[dict[str, TrainingStep]]:
    """The steps by the names of their measures, plain way first, each with all measures before it.

    Random window ends stand in the cache: what is read costs the same.
    """
    optimizer = AveragingAdamW(_learning(student), lr=0.0, weight_decay=WEIGHT_DECAY, decay=AVERAGE_DECAY)
    first, second = (
        replace(setting.settings, guidance="distill", solver=solver, solver_steps=steps)
        for solver, steps in (FIRST_ORDER, SECOND_ORDER)
    )

    def step(
        teacher: Any, settings: DistillSettings, asked: nn.Module, cache: TargetCache | None = None
    ) -> TrainingStep:
        objective = DistillObjective(teacher, student, sampler, settings, setting.shape, cache=cache)
        return TrainingStep(objective, InPrecision(asked, setting.dtype), optimizer)

    steps = {
        PLAIN: step(PlainTeacher(teacher), first, TwoCalls(student)),
        REFERENCE: step(PlainTeacher(teacher, prepares_once=True), first, TwoCalls(student)),
        BATCHED: step(teacher, first, TwoCalls(student)),
        ONE_CALL: step(teacher, first, student),
        SOLVER: step(teacher, second, student),
    }
    if setting.is_compiled:
        compiled = copy.deepcopy(teacher)
        cast(nn.Module, compiled.denoising_unet).compile()
        steps[COMPILED] = step(compiled, second, student)
    with tempfile.TemporaryDirectory() as folder:
        cache = TargetCache(Path(folder), setting.shape.per_step, second.windows, second.seed, {})
        clip = sampler.sample(0, 0, 1).latents[0]
        cache.fill(lambda numbers: torch.randn(len(numbers), *clip.shape), setting.shape.size)
        steps[CACHED] = step(teacher, second, student, cache)
        yield steps


def measure_steps(
    steps: dict[str, TrainingStep],
    setting: StepsSetting,
    rounds: int,
    on_work: Callable[[str, int], None] = lambda name, number: None,
) -> list[StepLine]:
    """A line per step, in their order.

    The last one's time is that of a step that reads its targets, and its part of solving them beforehand: the teacher's
    seconds in the step before, times the share of windows per sample.
    """
    seconds = take_turns(steps, rounds, on_work=on_work)
    teacher = {name: step.teacher_seconds[-rounds:] for name, step in steps.items()}
    *_, before, last = steps
    teacher[last] = [setting.cached_share * each for each in teacher[before]]
    seconds[last] = [a + b for a, b in zip(seconds[last], teacher[last], strict=True)]
    lines = []
    previous = PLAIN
    for name, step in steps.items():
        lines.append(
            StepLine(
                name,
                statistics.median(seconds[name]),
                statistics.median(a / b for a, b in zip(teacher[name], seconds[name], strict=True)),
                ratio(seconds[previous], seconds[name]),
                ratio(seconds[PLAIN], seconds[name]),
                None if name == CACHED else step.losses[0],
            )
        )
        previous = name
    return lines


def _learning(student: AnyStudent) -> list[nn.Parameter]:
    """What an objective trains: all but what stands in front of the denoising net."""
    frozen = {id(p) for network in student.reference_side() for p in network.parameters()}
    return [p for p in student.parameters() if id(p) not in frozen]
