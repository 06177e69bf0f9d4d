"""The training loop: an objective's losses in, trained weights and their moving average out.

Knows steps, logging, saving, and processes. Does not know what is learned: the objective draws its own batch from the
step's number, and so does everything else here (learning rate, random numbers), so that a resumed run continues
exactly where an unbroken one would be, on any number of processes.
"""

from __future__ import annotations

import logging
import math
import signal
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from fada.engine.checkpoint_state import load_state
from fada.engine.checkpoints import Checkpoints, step_of
from fada.engine.clock import Clock
from fada.engine.failures import TrainingFailed, explain
from fada.engine.figures import numbers_of
from fada.engine.objective import LearnsFromItsAverage, Objective, StepLoss
from fada.engine.optimizer import STEP, AveragingAdamW
from fada.engine.parallel import agree, is_sharded, main_only
from fada.engine.progress import OnStep, step_bar
from fada.engine.run_log import RunLog
from fada.engine.signals import on_stop
from fada.engine.tensor_files import hash_tensors, save_tensors
from fada.engine.trained_state import WEIGHT, TrainedState
from fada.files.json_lines import append_line, keep_steps
from fada.files.whole import write_json
from fada.recipe.sections.running import Engine, Schedule

UNSAID = Engine()
"""What holds where a recipe says nothing: the defaults of the settings below."""
TRIES = 4
"""Draws of one micro-batch: samples that give no finite loss are replaced, but not for ever."""
SPIKE = 5.0
"""A loss so many times the recent median is noted as a spike."""
FAULTS_SAID = 10
"""Faults of the data that are told of one by one; all are in the events."""
RECENT = 50
"""Steps that make the recent median."""


@dataclass(frozen=True)
class LoopSettings:
    """How a phase is trained; fields and defaults are those of the recipe's `engine` section, as far as it has them."""

    steps: int
    lr: float
    accumulate: int = UNSAID.accumulate
    clip_norm: float = UNSAID.clip_norm
    warmup: int = UNSAID.warmup
    schedule: Schedule = UNSAID.schedule
    weight_decay: float = UNSAID.weight_decay
    ema: float = UNSAID.ema
    checkpoint_every: int = UNSAID.checkpoint_every
    keep_last: int = UNSAID.keep_last
    keep_every: int = UNSAID.keep_every
    preview_every: int = UNSAID.preview_every
    log_every: int = UNSAID.log_every
    skip_budget: int = UNSAID.skip_budget
    """Micro-batches without a finite loss that may be replaced by others before the run stops."""
    timeout_minutes: float = UNSAID.timeout_minutes
    seed: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What the training follows from beside these settings (samples of a step, hashes of data, …), as JSON values; a
    checkpoint of others is refused."""


class Interrupted(Exception):
    """The run was asked to stop, and did after saving a checkpoint."""


Preview = Callable[[int, RunLog, dict[str, Tensor]], None]
"""Called in the main process with the step, the log, and the result's weights so far."""


def fit(
    objective: Objective,
    settings: LoopSettings,
    accelerator: Accelerator,
    folder: Path,
    log: RunLog,
    preview: Preview | None = None,
) -> dict[str, Tensor]:
    """Train until `settings.steps`, resuming from `folder/checkpoints`.

    Returns:
        The trained parameters by name, whole, float32, on the CPU: their moving average where one is kept.

    Raises:
        CheckpointMismatch: what lies there belongs to another training: other facts, or other frozen weights.
        TrainingFailed: a loss or gradient is not finite, memory ran out, or another process is gone.
        Interrupted: SIGINT or SIGTERM came; a checkpoint of the last finished step is on disk.
    """
    return _Training(objective, settings, accelerator, folder, log, preview).run()


def learning_rate_factor(step: int, settings: LoopSettings) -> float:
    """Share of the peak learning rate at a step: linear warm-up, then constant or a cosine to zero."""
    warmup = min(1.0, (step + 1) / max(settings.warmup, 1))
    if settings.schedule == "constant":
        return warmup
    return warmup * 0.5 * (1.0 + math.cos(math.pi * min(step / settings.steps, 1.0)))


logger = logging.getLogger(__name__)


class _Training:
    """One phase's training: what `fit` needs from step to step."""

    def __init__(
        self,
        objective: Objective,
        settings: LoopSettings,
        accelerator: Accelerator,
        folder: Path,
        log: RunLog,
        preview: Preview | None,
    ) -> None:
        self.objective, self.settings, self.accelerator = objective, settings, accelerator
        self.folder, self.log, self.preview = folder, log, preview
        # Checkpoints hold what is trained: the rest must be again what it was.
        facts = {**settings.facts, "frozen": frozen_hash(objective.module)}
        self.checkpoints = Checkpoints(folder / "checkpoints", settings.keep_last, settings.keep_every, facts)
        self.events = folder / f"events-{accelerator.process_index}.jsonl"
        self.recent: deque[float] = deque(maxlen=RECENT)
        self.skipped = self.faults = 0

    def run(self) -> dict[str, Tensor]:
        found = self.checkpoints.find(self.accelerator)
        self.first = 0 if found is None else step_of(found)
        self._prepare(found)
        # Steps that are done again would stand there twice.
        self.log.resume(self.first)
        keep_steps(self.events, self.first - 1)
        if found is not None:
            self.log.say(f"resumed at step {self.first} of {self.settings.steps}")
        with stop_on_signals() as stop, _bar(self.log, self.settings.steps, self.first) as on_step:
            for step in range(self.first, self.settings.steps):
                self._guarded_step(step)
                on_step(step + 1, self.log.latest_loss, self.log.latest_data_share)
                self._finish_step(step + 1, agree(self.accelerator, stop.requested))
        result = self.state.result()
        if is_sharded(self.accelerator):
            self.model.destroy()
        self.accelerator.free_memory()
        return result

    def _prepare(self, found: Path | None) -> None:
        """Wrap module and optimiser, and put a checkpoint's state into them."""
        module = self.objective.module
        trained = [p for p in module.parameters() if p.requires_grad]
        settings = self.settings
        self.optimizer = AveragingAdamW(trained, settings.lr, settings.weight_decay, settings.ema)
        self.state = TrainedState(module, self.optimizer, self.accelerator)
        if found is not None:
            # Before DeepSpeed takes the weights over: its working copies are made from them.
            load_state(found, TrainedState(module, self.optimizer), (WEIGHT,))
        self.model: Any
        self.model, self.wrapped = self.accelerator.prepare(module, self.optimizer)
        if isinstance(self.objective, LearnsFromItsAverage):
            self.objective.follow(self.state.averages)
        if found is None:
            return
        if is_sharded(self.accelerator):
            # DeepSpeed makes its state in its first step; one without effect makes it without reaching into DeepSpeed.
            self.optimizer.set_lr(0.0)
            self.accelerator.backward(self._drawn(self.first, 0).total)
            load_state(found, self.state, self.state.keys)
            self.optimizer.set_count(self.first)
        else:
            self.optimizer.start()
            load_state(found, self.state, (*self.optimizer.state_names, STEP))
            self.optimizer.forget_unreached()
        self.optimizer.count = self.first

    def _guarded_step(self, step: int) -> None:
        try:
            self._step(step)
        except TrainingFailed:
            raise
        except (RuntimeError, MemoryError) as error:
            known = explain(error, step, self.settings.timeout_minutes)
            if known is None:
                raise
            raise known from error

    def _step(self, step: int) -> None:
        started = time.perf_counter()
        lr = self.settings.lr * learning_rate_factor(step, self.settings)
        self.optimizer.set_lr(lr)
        # Whatever draws from torch's own generators draws the same after a resume.
        torch.manual_seed((self.settings.seed * 1_000_003 + step) * 1009 + self.accelerator.process_index)
        losses = []
        clock = Clock(self.accelerator.device)
        for micro in range(self.settings.accumulate):
            with self.accelerator.accumulate(self.model):
                loss = self._drawn(step, micro)
                clock.lap("seconds_loss")
                self.accelerator.backward(loss.total)
                clock.lap("seconds_backward")
                losses.append(loss)
        norm, mean_loss = self._update(losses)
        clock.lap("seconds_update")
        if agree(self.accelerator, not math.isfinite(norm)):
            raise self._failure(step, losses, f"the gradient norm is {norm}")
        self.log.collect(losses, mean_loss, norm, lr, time.perf_counter() - started, clock.laps)
        self._note_spike(step, losses)
        self._note_faults(step, [fault for loss in losses for fault in loss.faults])

    def _update(self, losses: list[StepLoss]) -> tuple[float, float]:
        """Clip and step; the gradient's norm before clipping, and the micro-batches' mean loss.

        DeepSpeed did both after the last backward pass. The norm decides whether the step is taken, so here the device
        is waited for, once a step; the losses come along.
        """
        if is_sharded(self.accelerator):
            given = self.model.get_global_grad_norm()
        else:
            given = self.accelerator.clip_grad_norm_(self.model.parameters(), self.settings.clip_norm)
        (norm, *totals), *_ = numbers_of([[0.0 if given is None else given, *(loss.total.detach() for loss in losses)]])
        mean_loss = sum(totals) / len(totals)
        if is_sharded(self.accelerator):
            return norm, mean_loss
        if self.accelerator.scaler is not None:
            # fp16: the scaler itself leaves out steps whose gradient overflowed, and lowers its scale.
            norm = norm if math.isfinite(norm) else 0.0
            self.wrapped.step()
        elif math.isfinite(norm):
            self.wrapped.step()
        self.wrapped.zero_grad(set_to_none=True)
        return norm, mean_loss

    def _drawn(self, step: int, micro: int) -> StepLoss:
        """A micro-batch's loss that is finite in all processes; within the budget, others are drawn for it."""
        for attempt in range(TRIES):
            # A step beyond the run's last: samples that no step of this run draws.
            drawn = step + attempt * self.settings.steps
            loss, fault = None, None
            try:
                loss = self.objective.loss(self.model, drawn, micro)
                if not torch.isfinite(loss.total):
                    fault = f"the loss is {float(loss.total.detach())} for {', '.join(loss.keys) or 'its samples'}"
            except FloatingPointError as error:
                fault = str(error)
            if not agree(self.accelerator, fault is not None):
                assert loss is not None
                return loss
            self.skipped += 1
            keys = loss.keys if loss is not None else []
            if fault is not None:
                self._event(step, "not_finite", micro=micro, drawn=drawn, message=fault, keys=keys)
            if self.skipped > self.settings.skip_budget:
                raise self._failure(drawn, [] if loss is None else [loss], fault, micro)
        raise self._failure(step, [], f"{TRIES} draws of a batch in a row gave no finite loss", micro)

    def _failure(self, step: int, losses: list[StepLoss], fault: str | None, micro: int = 0) -> TrainingFailed:
        """What to raise; the weights and the step are saved so that `--replay` can look at it again."""
        folder = self.folder / "failed" / f"step-{step:08d}"
        weights = self.state.collected(WEIGHT, self.accelerator.is_main_process)
        if self.accelerator.is_main_process:
            save_tensors(weights, folder / "weights.safetensors")
            keys = [key for loss in losses for key in loss.keys]
            record = {
                "phase": self.log.name,
                "step": step,
                "micro": micro,
                "processes": self.accelerator.num_processes,
                "fault": fault,
                "keys": keys,
            }
            write_json(folder / "failure.json", record)
        self.accelerator.wait_for_everyone()
        return TrainingFailed(
            f"{self.log.name}, step {step}: {fault or 'another process met a loss that is not finite'}. To see which "
            f"sample it is: repeat the command with --replay {folder}. Then remove the sample, lower the learning "
            "rate, or allow some with engine.skip_budget; the same command goes on from the last checkpoint"
        )

    def _note_spike(self, step: int, losses: list[StepLoss]) -> None:
        loss = self.log.latest_loss
        if len(self.recent) == RECENT and loss > SPIKE * statistics.median(self.recent):
            keys = [key for each in losses for key in each.keys]
            self._event(step, "spike", loss=loss, median=statistics.median(self.recent), keys=keys)
        self.recent.append(loss)

    def _note_faults(self, step: int, faults: list[str]) -> None:
        """Every process tells of its own data: each fault in its events, the first ones and every hundredth aloud."""
        for fault in faults:
            self.faults += 1
            self._event(step, "data_fault", message=fault, count=self.faults)
            if self.faults <= FAULTS_SAID or self.faults % 100 == 0:
                logger.warning("%s, step %d: %s (fault %d of the data)", self.log.name, step, fault, self.faults)

    def _event(self, step: int, kind: str, **facts: Any) -> None:
        """A line in `events-RANK.jsonl`: every process has its own samples to tell of."""
        append_line(self.events, {"step": step, "event": kind, **facts})

    def _finish_step(self, step: int, is_stopping: bool) -> None:
        settings = self.settings
        is_last = step == settings.steps
        if step % settings.log_every == 0 or is_last:
            self.log.flush(step)
        if step % settings.checkpoint_every == 0 or is_last or is_stopping:
            self.checkpoints.save(self.accelerator, step, self.state)
        if self.preview is not None and settings.preview_every and step % settings.preview_every == 0:
            is_main = self.accelerator.is_main_process
            result = self.state.result(keeps=is_main)
            preview = self.preview
            # The others wait outside of a collective of the training's: one of NCCL's would give up, and spin.
            main_only(lambda: preview(step, self.log, result))
        if is_stopping and not is_last:
            raise Interrupted(f"stopped at step {step} of {settings.steps}; the same command resumes")


def frozen_hash(module: nn.Module) -> str:
    """SHA-256 of what a module holds and does not learn: frozen parameters and buffers, in the order of their names."""
    learned = {name for name, parameter in module.named_parameters() if parameter.requires_grad}
    return hash_tensors({name: value for name, value in module.state_dict().items() if name not in learned})


class _Stop:
    requested = False


@contextmanager
def stop_on_signals() -> Iterator[_Stop]:
    """Within the block SIGINT and SIGTERM ask for a clean stop; a second SIGINT interrupts at once."""
    stop = _Stop()

    def ask(number: int) -> None:
        if stop.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.requested = True

    with on_stop(ask):
        yield stop


@contextmanager
def _bar(log: RunLog, total: int, first: int) -> Iterator[OnStep]:
    """The progress bar, in the main process only."""
    if not log.is_main:
        yield lambda step, loss, data_share=None: None
        return
    with step_bar(log.name, total, log.console, first) as on_step:
        yield on_step
