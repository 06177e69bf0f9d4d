"""The training loop: an objective's losses in, a trained module and its moving average out.

Knows steps, logging and saving. Does not know what is learned: the objective draws its own batch from the step's
number, so a resumed run continues exactly where the data and the random numbers were.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Literal, Protocol

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from fada.engine.checkpoints import Checkpoints
from fada.engine.ema import MovingAverage
from fada.engine.progress import step_bar
from fada.engine.run_log import RunLog


@dataclass(frozen=True)
class LoopSettings:
    """How a phase is trained; the fields are those of the recipe's `engine` section."""

    steps: int
    lr: float
    accumulate: int = 1
    clip_norm: float = 1.0
    warmup: int = 100
    schedule: Literal["constant", "cosine"] = "cosine"
    weight_decay: float = 1e-2
    ema: float = 0.999
    checkpoint_every: int = 500
    keep_last: int = 2
    keep_every: int = 0
    preview_every: int = 500
    log_every: int = 10


@dataclass
class StepLoss:
    """What an objective says of one step."""

    total: Tensor
    """Scalar that is minimised."""
    scalars: dict[str, Tensor | float] = field(default_factory=dict)
    """Averaged over the steps between two log lines; NaN means that there was nothing to count."""
    samples: dict[str, Tensor] = field(default_factory=dict)
    """Per-sample values, collected between two log lines into histograms."""


class Objective(Protocol):
    """What is learned."""

    @property
    def module(self) -> nn.Module:
        """The trained module; parameters that do not learn have requires_grad False."""
        ...

    def loss(self, model: nn.Module, step: int, micro: int) -> StepLoss:
        """Loss of one micro-batch; `model` is `module` as the accelerator wrapped it."""
        ...


class Interrupted(Exception):
    """The run was asked to stop, and did after saving a checkpoint."""


Preview = Callable[[int, RunLog], None]


def fit(
    objective: Objective,
    settings: LoopSettings,
    accelerator: Accelerator,
    folder: Path,
    log: RunLog,
    preview: Preview | None = None,
) -> MovingAverage | None:
    """Train until `settings.steps`, resuming from `folder/checkpoints`; the moving average, None when it is off.

    Raises:
        FloatingPointError: a loss or gradient is not finite.
        Interrupted: SIGINT or SIGTERM came; a checkpoint of the last finished step is on disk.
    """
    trained = [p for p in objective.module.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=settings.lr, weight_decay=settings.weight_decay)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate_factor(step, settings))
    model, optimizer = accelerator.prepare(objective.module, optimizer)
    accelerator.register_for_checkpointing(scheduler)
    average = MovingAverage(objective.module, settings.ema) if settings.ema else None
    checkpoints = Checkpoints(folder / "checkpoints", settings.keep_last, settings.keep_every)
    first = checkpoints.load(accelerator, average)
    if first:
        log.say(f"resumed at step {first} of {settings.steps}")

    def finish_step(step: int) -> None:
        due = step % settings.checkpoint_every == 0 or step == settings.steps
        if due or stop.requested:
            checkpoints.save(accelerator, step, average)
        if preview is not None and settings.preview_every and step % settings.preview_every == 0:
            with average.applied() if average is not None else nullcontext():
                preview(step, log)
        if stop.requested and step < settings.steps:
            raise Interrupted(f"stopped at step {step} of {settings.steps}; the same command resumes")

    with stop_on_signals() as stop, _bar(log, settings.steps, first) as on_step:
        for step in range(first, settings.steps):
            started = time.perf_counter()
            optimizer.zero_grad(set_to_none=True)
            losses = _accumulated_backward(objective, model, accelerator, step, settings.accumulate)
            norm = float(accelerator.clip_grad_norm_(trained, settings.clip_norm) or 0.0)
            if not math.isfinite(norm):
                raise FloatingPointError(f"step {step}: the gradient norm is {norm}; lower the learning rate")
            optimizer.step()
            scheduler.step()
            if average is not None:
                average.update()
            log.collect(losses, norm, float(scheduler.get_last_lr()[0]), time.perf_counter() - started)
            on_step(step + 1, log.latest_loss)
            if (step + 1) % settings.log_every == 0 or step + 1 == settings.steps:
                log.flush(step + 1)
            finish_step(step + 1)
    accelerator.free_memory()
    return average


def learning_rate_factor(step: int, settings: LoopSettings) -> float:
    """Share of the peak learning rate at a step: linear warm-up, then constant or a cosine to zero."""
    warmup = min(1.0, (step + 1) / max(settings.warmup, 1))
    if settings.schedule == "constant":
        return warmup
    return warmup * 0.5 * (1.0 + math.cos(math.pi * min(step / settings.steps, 1.0)))


def _accumulated_backward(
    objective: Objective, model: nn.Module, accelerator: Accelerator, step: int, accumulate: int
) -> list[StepLoss]:
    losses = []
    for micro in range(accumulate):
        loss = objective.loss(model, step, micro)
        if not torch.isfinite(loss.total):
            raise FloatingPointError(f"step {step}: the loss is {float(loss.total.detach())}; lower the learning rate")
        accelerator.backward(loss.total / accumulate)
        losses.append(loss)
    return losses


class _Stop:
    requested = False


@contextmanager
def stop_on_signals() -> Iterator[_Stop]:
    """Within the block SIGINT and SIGTERM ask for a clean stop; a second SIGINT interrupts at once."""
    stop = _Stop()

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.requested = True

    before = {}
    # Elsewhere than in the main thread (tests, notebooks) signals stay as they are.
    with suppress(ValueError):
        before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _bar(log: RunLog, total: int, first: int) -> Iterator[Callable[[int, float], None]]:
    """The progress bar, in the main process only."""
    if not log.is_main:
        yield lambda step, loss: None
        return
    with step_bar(log.name, total, log.console, first) as on_step:
        yield on_step
