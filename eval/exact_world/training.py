"""Training in the exact world: rows that learn from the same draws and the same window ends, all seeds side by side.

The steps are those of student/distillation.py and student/trajectory.py, with three numbers in place of clips.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fada.diffusion.trajectory import jump
from fada.eval.exact_world.courses import Course, Plan, Student
from fada.eval.exact_world.optimiser import Optimiser
from fada.eval.exact_world.solved_batches import SolvedBatch, Source
from fada.eval.exact_world.stacked import Weights
from fada.eval.exact_world.students import Students
from fada.eval.exact_world.world import ExactTeacher, World
from fada.student.mixed_loss import mixed_loss, squared_error


@dataclass
class Trained:
    """students: with averaged weights; weight_mean, dead_share, ratio_median: over the second half of the steps."""

    students: Students
    weight_mean: float
    dead_share: float
    ratio_median: float


def train(
    world: World,
    course: Course,
    rows: Sequence[Student],
    copy: Weights,
    plan: Plan,
    on_step: Callable[[int], None] = lambda step: None,
) -> dict[str, Trained]:
    """Every row of one course, on the same draws."""
    source, teacher = Source(world, course, plan, "rows"), ExactTeacher(world)
    learners = [_Learner(world, row, copy, plan) for row in rows]
    for step in range(plan.steps):
        batch = source.batch(step, teacher)
        for learner in learners:
            learner.step(batch)
        on_step(step + 1)
    return {learner.row.name: learner.finished() for learner in learners}


class _Learner:
    """A row in training."""

    def __init__(self, world: World, row: Student, copy: Weights, plan: Plan) -> None:
        self.row, self.path, self.half = row, world.path, plan.steps // 2
        self.students = Students(world.path, row.mode, [seed + 1 for seed in plan.seeds]).start_from(copy)
        self.optimiser = Optimiser(self.students.weights, plan.steps, plan.lr)
        self.keys = [f"{seed}-{sample}" for seed in plan.seeds for sample in range(plan.batch)]
        self.seen: list[Tensor] = []
        self.steps = 0

    def step(self, batch: SolvedBatch) -> None:
        """One step of the optimiser."""
        loss = self._trajectory_loss(batch) if self.row.course.method == "tcd" else self._window_loss(batch)
        self.optimiser.step(loss * self.students.count)
        self.steps += 1

    def _window_loss(self, batch: SolvedBatch) -> Tensor:
        seen, targets = batch.seen(self.row.is_matched), batch.targets
        answers = self.students.evaluate(seen.points, seen.features, batch.paired_scales)
        found = seen.predictions(answers).view(self.students.count, 2, -1, answers.shape[-1])
        result = mixed_loss(
            found[:, 0].flatten(0, 1),
            targets[0],
            found[:, 1].flatten(0, 1),
            targets[1],
            self.row.loss,
            eta=batch.eta,
            keys=self.keys,
        )
        if self.steps >= self.half:
            dead = (result.weight == 0).float().mean()
            self.seen.append(torch.stack([result.weight.mean(), dead, result.ratio.median()]))
        return result.total

    def _trajectory_loss(self, batch: SolvedBatch) -> Tensor:
        path, (start, end), asked = self.path, batch.bounds, batch.asked
        whole = torch.round(end * path.num_train_timesteps)
        goal = torch.floor(batch.goal.double() * (whole + 1)) / path.num_train_timesteps
        with torch.no_grad():
            seen = self.students(batch.z_end, end, asked, weights=self.optimiser.averages)
            target = jump(path, batch.z_end, seen, end, goal)
        landing = jump(path, batch.z_start, self.students(batch.z_start, start, asked), start, goal)
        return squared_error(landing, target).mean()

    def finished(self) -> Trained:
        """The averaged students, and what training saw."""
        self.students.weights = self.optimiser.averages
        means = torch.stack(self.seen).mean(dim=0).tolist() if self.seen else [math.nan] * 3
        return Trained(self.students, *means)
