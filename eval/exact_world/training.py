"""Training in the exact world: rows that learn from the same draws and the same window ends, all seeds side by side.

The steps are those of student/distillation.py and student/trajectory.py, with three numbers in place of clips. What
rows have in common, draws and the teacher's answers, is made once for all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from fada.diffusion.forms import lambda_eta, student_point, window_target
from fada.diffusion.matched import window_predictor
from fada.diffusion.solvers import solve
from fada.diffusion.spacing import Spacing, spaced_windows
from fada.diffusion.trajectory import jump
from fada.diffusion.windows import Windows
from fada.eval.exact_world.students import BRANCHES, Asked, Students
from fada.eval.exact_world.world import ExactTeacher, Quality, World, draw_clips
from fada.student.guidance import GuidanceMode
from fada.student.mixed_loss import MixedLossConfig, mixed_loss, squared_error

AVERAGE = 0.99
"""Decay of the moving average of the weights, which is what is measured."""
AUDIO, REFERENCE = (1.0, 9.0), (1.0, 4.0)
"""Scales that students with CFG layers learn: the paper's."""
Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Course:
    """What rows may have in common: whose clips, which guidance, which windows.

    method, guidance, windows, times, spacing: as in a recipe; solver_steps: of DDIM in a window.
    """

    quality: Quality
    guidance: Literal["sync", "distill"] = "sync"
    method: Literal["perflow", "tcd"] = "perflow"
    windows: int = 4
    times: Literal["uniform", "starts"] = "uniform"
    solver_steps: int = 8
    spacing: Spacing = "time"


@dataclass(frozen=True)
class Student:
    """One row's training: its course, and what is its own."""

    name: str
    course: Course
    loss: MixedLossConfig = field(default_factory=lambda: MixedLossConfig(weighting="fixed", base=0.0))
    mode: GuidanceMode = "none"
    is_matched: bool = False


@dataclass(frozen=True)
class Plan:
    """seeds: of draws and of new layers; steps, batch, lr: of every training; copy_steps, copy_batch, copy_lr: of the
    teacher's copy, from which all of them start."""

    seeds: tuple[int, ...]
    steps: int = 500
    batch: int = 32
    lr: float = 1e-3
    copy_steps: int = 4000
    copy_batch: int = 512
    copy_lr: float = 5e-3


@dataclass
class Trained:
    """weights: averaged, (seeds, ...); weight_mean, dead_share, ratio_median: over the second half of the steps."""

    students: Students
    weight_mean: float
    dead_share: float
    ratio_median: float


@dataclass(frozen=True)
class _Batch:
    """A step's draws and window ends, all seeds' one after the other."""

    asked: Asked
    scales: Tensor
    t: Tensor
    bounds: tuple[Tensor, Tensor]
    z_start: Tensor
    z_end: Tensor
    true_end: Tensor
    goal: Tensor


def train_copy(world: World, plan: Plan) -> Weights:
    """The network that answers as the teacher does, on the noise path of A's clips: where every student starts.

    Returns:
        Weights with a first dimension of one, whatever the seeds.
    """
    plan = replace(plan, seeds=(0,), batch=plan.copy_batch)
    students = Students(world.path, "none", [0])
    teacher, optimiser = ExactTeacher(world), _Optimiser(students.weights, plan.copy_steps, plan.copy_lr)
    source = _Source(world, Course("A"), plan, "copy")
    for step in range(plan.copy_steps):
        clean, noise, asked, t, _, _ = source.draws(step)
        z = world.path.add_noise(clean, noise, t)
        target = teacher.at_branch(asked.person, asked.heard, asked.branch)(z, t)
        optimiser.step(squared_error(students(z, t, asked), target).mean())
    return optimiser.averages


def train(
    world: World,
    course: Course,
    rows: Sequence[Student],
    copy: Weights,
    plan: Plan,
    on_step: Callable[[int], None] = lambda step: None,
) -> dict[str, Trained]:
    """Every row of one course, on the same draws."""
    source, teacher = _Source(world, course, plan, "rows"), ExactTeacher(world)
    learners = [_Learner(world, row, copy, plan) for row in rows]
    for step in range(plan.steps):
        batch = source.batch(step, teacher)
        for learner in learners:
            learner.step(batch)
        on_step(step + 1)
    return {learner.row.name: learner.finished() for learner in learners}


class _Source:
    """Draws of every step; those of a seed follow from it and the step alone, whatever other seeds there are."""

    AT_ONCE = 50
    """Steps that are drawn at once: generators cost more than numbers."""

    def __init__(self, world: World, course: Course, plan: Plan, purpose: str) -> None:
        self.world, self.course, self.plan = world, course, plan
        self.windows = windows_of(world, course, is_matched=False)
        self.generators = [torch.Generator().manual_seed(10_000 * seed + len(purpose)) for seed in plan.seeds]
        self.drawn: list[Tensor] = []

    def draws(self, step: int) -> tuple[Tensor, Tensor, Asked, Tensor, Tensor, Tensor]:
        """Latents, noise, conditions, times, scales and shares of goals of a step; (seeds * batch, ...)."""
        place, batch = step % self.AT_ONCE, self.plan.batch
        if place == 0:
            self.drawn = [torch.stack(each) for each in zip(*map(self._draw, self.generators), strict=True)]
        rows = [each[:, place * batch : (place + 1) * batch].flatten(0, 1) for each in self.drawn]
        clean, noise, person, heard, branch, share, uniform, goal = rows
        total = self.world.path.num_train_timesteps
        # Each sample in its own share of the windows, as in student/solved_windows.py.
        order = torch.arange(batch).repeat(len(self.plan.seeds))
        place_of = torch.ceil((order + share.double()) / batch * total - 1e-6).clamp(min=1.0) / total
        t = torch.ceil(self.windows.at_share(place_of) * total - 1e-6) / total
        low, high = (torch.tensor([REFERENCE[end], AUDIO[end]]) for end in (0, 1))
        return clean, noise, Asked(person, heard, branch), t, low + uniform * (high - low), goal

    def _draw(self, generator: torch.Generator) -> tuple[Tensor, ...]:
        count = self.AT_ONCE * self.plan.batch
        clips = draw_clips(self.world, count, self.course.quality, generator)
        noise = torch.randn(count, clips.latents.shape[1], generator=generator)
        branch = torch.randint(BRANCHES, (count,), generator=generator)
        share, uniform = torch.rand(count, generator=generator), torch.rand(count, 2, generator=generator)
        goal = torch.rand(count, generator=generator)
        return clips.latents, noise, clips.person, clips.heard, branch, share, uniform, goal

    @torch.no_grad()
    def batch(self, step: int, teacher: ExactTeacher) -> _Batch:
        """A step's draws with the teacher's window ends."""
        clean, noise, asked, t, scales, goal = self.draws(step)
        path, course = self.world.path, self.course
        bounds = self.windows.look_up(t)
        if course.times == "starts":
            t = bounds[0]
        if course.guidance == "sync":
            predict = teacher.at_branch(asked.person, asked.heard, asked.branch)
        else:
            predict = teacher.guided(asked.person, asked.heard, scales)
        z_start, true_end = (path.add_noise(clean, noise, bound) for bound in bounds)
        z_end = solve(predict, path, z_start, *bounds, course.solver_steps)
        return _Batch(asked, scales, t, bounds, z_start, z_end, true_end, goal)


class _Learner:
    """A row in training."""

    def __init__(self, world: World, row: Student, copy: Weights, plan: Plan) -> None:
        self.row, self.path, self.half = row, world.path, plan.steps // 2
        self.students = Students(world.path, row.mode, [seed + 1 for seed in plan.seeds]).start_from(copy)
        self.windows = windows_of(world, row.course, row.is_matched)
        self.optimiser = _Optimiser(self.students.weights, plan.steps, plan.lr)
        self.keys = [f"{seed}-{sample}" for seed in plan.seeds for sample in range(plan.batch)]
        self.seen: list[Tensor] = []
        self.steps = 0

    def step(self, batch: _Batch) -> None:
        """One step of the optimiser."""
        loss = self._trajectory_loss(batch) if self.row.course.method == "tcd" else self._window_loss(batch)
        self.optimiser.step(loss * self.students.count)
        self.steps += 1

    def _window_loss(self, batch: _Batch) -> Tensor:
        path, is_guided = self.path, self.row.course.guidance == "distill"
        starts, t = batch.z_start, batch.t
        points = (student_point(starts, end, t, *batch.bounds) for end in (batch.z_end, batch.true_end))
        # Each seed's batch holds both branches, so that one pass serves both.
        z, asked = self._paired(*points), self._asked(batch.asked, is_guided)
        scales = self._paired(batch.scales, torch.ones_like(batch.scales)) if is_guided else None
        predict = window_predictor(lambda x, when: self.students(x, when, asked, scales), path, self.windows)
        found = predict(z, self._paired(t, t)).view(self.students.count, 2, -1, z.shape[-1])
        result = mixed_loss(
            found[:, 0].flatten(0, 1),
            window_target(path, starts, batch.z_end, *batch.bounds),
            found[:, 1].flatten(0, 1),
            window_target(path, starts, batch.true_end, *batch.bounds),
            self.row.loss,
            eta=lambda_eta(path, *batch.bounds)[1],
            keys=self.keys,
        )
        if self.steps >= self.half:
            dead = (result.weight == 0).float().mean()
            self.seen.append(torch.stack([result.weight.mean(), dead, result.ratio.median()]))
        return result.total

    def _trajectory_loss(self, batch: _Batch) -> Tensor:
        path, (start, end), asked = self.path, batch.bounds, batch.asked
        whole = torch.round(end * path.num_train_timesteps)
        goal = torch.floor(batch.goal.double() * (whole + 1)) / path.num_train_timesteps
        with torch.no_grad():
            seen = self.students(batch.z_end, end, asked, weights=self.optimiser.averages)
            target = jump(path, batch.z_end, seen, end, goal)
        landing = jump(path, batch.z_start, self.students(batch.z_start, start, asked), start, goal)
        return squared_error(landing, target).mean()

    def _paired(self, first: Tensor, second: Tensor) -> Tensor:
        """Two batches (seeds * n, ...) as one (seeds * 2 n, ...), seed by seed."""
        count = self.students.count
        both = torch.stack([each.view(count, -1, *each.shape[1:]) for each in (first, second)], dim=1)
        return both.flatten(0, 2)

    def _asked(self, asked: Asked, is_guided: bool) -> Asked:
        branch = torch.full_like(asked.branch, BRANCHES - 1) if is_guided else asked.branch
        return Asked(*(self._paired(each, each) for each in (asked.person, asked.heard, branch)))

    def finished(self) -> Trained:
        """The averaged students, and what training saw."""
        self.students.weights = self.optimiser.averages
        means = torch.stack(self.seen).mean(dim=0).tolist() if self.seen else [math.nan] * 3
        return Trained(self.students, *means)


class _Optimiser:
    """Adam with a warm-up and a cosine, and the moving average of the weights."""

    def __init__(self, weights: Weights, steps: int, lr: float) -> None:
        self.weights, self.steps, self.lr, self.done = weights, steps, lr, 0
        self.adam = torch.optim.Adam(list(weights.values()), lr=lr)
        self.averages = {name: value.detach().clone() for name, value in weights.items()}

    def step(self, loss: Tensor) -> None:
        """One step down; the loss is the sum of the seeds' own."""
        rate = self.lr * min(1.0, (self.done + 1) / 20) * 0.5 * (1.0 + math.cos(math.pi * self.done / self.steps))
        for group in self.adam.param_groups:
            group["lr"] = rate
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
        self.done += 1
        # Young averages forget their start sooner.
        decay = min(AVERAGE, self.done / (self.done + 10))
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.averages.values()), [value.detach() for value in self.weights.values()], 1.0 - decay
            )


def windows_of(world: World, course: Course, is_matched: bool) -> Windows:
    """The windows of a course; those of its steps for trajectory consistency."""
    return spaced_windows(world.path, course.windows, course.spacing, is_matched=is_matched)
