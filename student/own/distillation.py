"""Distilling any denoiser: the objective, the loop and the windows of recipes, on models and data of your own."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from accelerate import Accelerator
from rich.console import Console
from torch import Tensor, nn

from fada.data.sampling.dataset import BatchShape
from fada.data.sampling.seeds import seeded
from fada.diffusion.solvers import Solver
from fada.diffusion.spacing import Spacing
from fada.engine.loop import LoopSettings, fit
from fada.engine.parallel import ParallelSettings, Precision, main_only, new_accelerator
from fada.engine.run_log import RunLog
from fada.engine.tensor_files import hash_tensors
from fada.files.folders import check_folder, inside, take_folder
from fada.files.locks import locked
from fada.pretrained.ranges import SHARE, STEPS, Range
from fada.student.distillation import DistillObjective
from fada.student.mixed_loss import MixedLossConfig
from fada.student.own.model import Given, Kind, OwnModel, student_of_own
from fada.student.own.samples import Data, OwnBatch, OwnSampler
from fada.student.own.student import KIND, TOKENS, Sampler, Student, in_order
from fada.student.solved_windows import DistillSettings

Scale = float | tuple[float, float]
"""A guidance scale, or the least and the greatest that a student learns."""
DEFAULT_RANGE = (1.0, 8.0)
"""Of a branch that nothing is said of."""
NUMBERS = {
    **dict.fromkeys(("steps", "batch", "checkpoint_every", "log_every"), Range(1, 10**9, is_whole=True)),
    "solver_steps": STEPS,
    "tokens": TOKENS,
    "warmup": Range(0, 10**9, is_whole=True),
    "lr": Range(0, 1000),
    "data_weight": Range(0, 1000),
    "ema": SHARE,
}
"""What numbers a distillation takes."""


@dataclass(frozen=True)
class Distillation:
    """How a model is distilled; `fada.distill` documents every field, and has the defaults."""

    kind: Kind
    scales: Mapping[str, Scale]
    windows: int
    spacing: Spacing
    matched: bool
    solver: Solver
    solver_steps: int
    data_weight: float
    tokens: int
    steps: int
    batch: int
    lr: float
    warmup: int
    schedule: Literal["constant", "cosine"]
    ema: float
    precision: Precision
    seed: int
    checkpoint_every: int
    log_every: int
    progress: bool

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"kind: got {self.kind!r}; choose from {', '.join(get_args(Kind))}")
        for name, allowed in NUMBERS.items():
            allowed.check(name, getattr(self, name))


FREE = ("checkpoint_every", "log_every", "progress", "batch")
"""What may change between two starts; of the batch only the samples of a step count, over all processes."""


def distill_own(model: nn.Module, data: Data, folder: Path | None, settings: Distillation) -> Student:
    """See `fada.distill`."""
    with ExitStack() as held:
        sampler = OwnSampler(data, settings.seed)
        teacher = OwnModel(held.enter_context(_frozen(model)), layout=sampler.layout)
        ranges = [_range(name, each) for name, each in _by_name(teacher, settings.scales).items()]
        with seeded(settings.seed, "guidance layers"):
            student = student_of_own(teacher, settings.kind, settings.tokens)
        prepared = new_accelerator(ParallelSettings(precision=settings.precision), settings.batch)
        place = Path(held.enter_context(tempfile.TemporaryDirectory())) if folder is None else folder
        if folder is not None:
            main_only(lambda: held.enter_context(_taken(folder)))
        teacher.to(prepared.device)
        objective = _objective(teacher, student, sampler, settings, ranges, prepared)
        _train(objective, settings, _facts(teacher, sampler, settings, objective.shape), prepared, place)
        made = Student(student.requires_grad_(False), _sampler(teacher, settings, ranges))
        if folder is not None:
            main_only(lambda: made.save(folder))
    return made


def _objective(
    teacher: OwnModel,
    student: OwnModel,
    sampler: OwnSampler,
    settings: Distillation,
    ranges: Sequence[tuple[float, float]],
    prepared: Accelerator,
) -> DistillObjective:
    own: dict[str, Any] = {"teacher": teacher, "student": student, "sampler": sampler}
    shape = BatchShape(settings.batch, prepared.process_index, prepared.num_processes)
    learned = DistillSettings(
        guidance="distill" if settings.kind == "fast" else "sync",
        windows=settings.windows,
        times="uniform",
        solver=settings.solver,
        solver_steps=settings.solver_steps,
        motion_drop=0.0,
        loss=MixedLossConfig(base=settings.data_weight),
        gt_guidance="neutral",
        seed=settings.seed,
        matched=settings.matched,
        spacing=settings.spacing,
        solver_spacing=settings.spacing,
        scales=tuple(ranges),
    )
    return DistillObjective(**own, settings=learned, shape=shape, given=_given)


def _given(batch: OwnBatch, keeps_motion: Tensor) -> Given:
    return Given(len(batch.latents), batch.conditions)


def _train(
    objective: DistillObjective, settings: Distillation, facts: Mapping[str, Any], prepared: Accelerator, folder: Path
) -> None:
    """Train the objective's module; the averaged weights are left in it."""
    loop = LoopSettings(
        steps=settings.steps,
        lr=settings.lr,
        warmup=min(settings.warmup, max(1, settings.steps // 4)),
        schedule=settings.schedule,
        ema=settings.ema,
        checkpoint_every=settings.checkpoint_every,
        log_every=settings.log_every,
        preview_every=0,
        seed=settings.seed,
        facts=facts,
    )
    console = None if settings.progress else Console(quiet=True)
    log = RunLog(inside(folder, "work"), "distill", console, prepared.is_main_process)
    try:
        weights = fit(objective, loop, prepared, inside(folder, "work"), log)
    finally:
        log.close()
    objective.module.load_state_dict(weights, strict=False)


def _facts(teacher: OwnModel, sampler: OwnSampler, settings: Distillation, shape: BatchShape) -> dict[str, Any]:
    """What the training follows from: a checkpoint of others is refused."""
    latents, conditions = sampler.first
    data = {"samples": sampler.length, "first": hash_tensors(dict(_tensors({"latents": latents, "of": conditions})))}
    fixed = {name: value for name, value in asdict(settings).items() if name not in FREE}
    made_of = {"samples_per_step": shape.per_step, "teacher": hash_tensors(dict(teacher.state_dict())), "data": data}
    return made_of | _plain(fixed)


def _plain(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The same as JSON has it."""
    return dict(json.loads(json.dumps(facts)))


def _tensors(tree: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    if isinstance(tree, Tensor):
        yield name, tree
    elif isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _tensors(value, f"{name}.{key}")
    elif isinstance(tree, tuple | list):
        for number, value in enumerate(tree):
            yield from _tensors(value, f"{name}.{number}")


def _sampler(teacher: OwnModel, settings: Distillation, ranges: Sequence[tuple[float, float]]) -> Sampler:
    """Defaults of a call: one and a half steps per window, as the paper's 6 over 4, and the middle of each range."""
    scales = {name: (low + high) / 2 for name, (low, high) in zip(teacher.branches[1:], ranges, strict=True)}
    steps = math.ceil(1.5 * settings.windows)
    return Sampler(settings.kind, settings.windows, steps, scales, settings.spacing, settings.matched,
                   tokens=settings.tokens)  # fmt: skip


def _by_name(teacher: OwnModel, scales: Mapping[str, Scale]) -> dict[str, Scale]:
    names = teacher.branches[1:]
    return dict(zip(names, in_order(names, scales, DEFAULT_RANGE), strict=True))


def _range(name: str, scale: Scale) -> tuple[float, float]:
    low, high = (scale, scale) if isinstance(scale, int | float) else scale
    if not 0 <= low <= high < math.inf:
        raise ValueError(f"scales: {name}: must be a number from 0 up, or the least and the greatest, got {scale}")
    return float(low), float(high)


@contextmanager
def _taken(folder: Path) -> Iterator[None]:
    """The folder as ours, held for this process while the block runs."""
    check_folder(folder, KIND)
    with locked(folder, "distilling"):
        take_folder(folder, KIND)
        yield


@contextmanager
def _frozen(model: nn.Module) -> Iterator[nn.Module]:
    """The model as it is sampled and without gradients while the block runs; afterwards as it was."""
    if not isinstance(model, nn.Module):
        yield model
        return
    modes = {module: module.training for module in model.modules()}
    learns = {parameter: parameter.requires_grad for parameter in model.parameters()}
    model.eval()
    try:
        yield model
    finally:
        for module, mode in modes.items():
            module.training = mode
        for parameter, is_learned in learns.items():
            parameter.requires_grad_(is_learned)
