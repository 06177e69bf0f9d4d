"""Ways from noise to a picture in the exact world: the teacher's, its best undistilled shortcuts, and the students'."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from fada.diffusion.ladder import combine
from fada.diffusion.sampling import sample_student
from fada.diffusion.solvers import Predict, Solver, solve
from fada.diffusion.spacing import Spacing
from fada.diffusion.trajectory import sample_trajectory
from fada.diffusion.windows import Windows
from fada.eval.exact_world.measures import Questions, Sample, measure
from fada.eval.exact_world.students import BRANCHES, Asked, Students
from fada.eval.exact_world.world import ExactTeacher, World
from fada.eval.undistilled import SAMPLERS, least

Call = Literal["guided", "conditional", "inside"]
"""How a network is called: three branches combined, all conditions once, or once with the scales inside."""
STEPS, TEACHER_STEPS = 6, 25
GAMMA = 0.3


@dataclass(frozen=True)
class Undistilled:
    """The teacher with a solver; cost: evaluations of the network."""

    steps: int
    call: Call = "guided"
    solver: Solver = "ddim"
    spacing: Spacing = "time"

    @property
    def cost(self) -> int:
        return self.steps * (3 if self.call == "guided" else 1)

    def sample(self, world: World, teacher: ExactTeacher) -> Sample:
        """The way it samples."""

        def walk(predict: Predict, z: Tensor) -> Tensor:
            one = torch.ones(len(z), dtype=torch.float64)
            return solve(predict, world.path, z, one, 0 * one, self.steps, self.solver, spacing=self.spacing)

        return lambda asked, z, scales: walk(of_teacher(teacher, self.call)(asked, scales), z)


def of_teacher(teacher: ExactTeacher, call: Call) -> Callable[[Asked, Tensor], Predict]:
    """The teacher's predictor for what is asked, at scales; without guidance these are one."""

    def make(asked: Asked, scales: Tensor) -> Predict:
        return teacher.guided(asked.person, asked.heard, scales if call == "guided" else torch.ones_like(scales))

    return make


def of_students(students: Students, call: Call) -> Callable[[Asked, Tensor], Predict]:
    """The students' predictor for what is asked, at scales."""

    def make(asked: Asked, scales: Tensor) -> Predict:
        if call == "guided":
            return students.guided(asked, scales)
        return students.once(asked, scales if call == "inside" else torch.ones_like(scales))

    return make


def by_windows(world: World, windows: Windows, make: Callable[[Asked, Tensor], Predict]) -> Sample:
    """A student's sampler of six steps, for students or for the untrained teacher."""
    return lambda asked, z, scales: sample_student(make(asked, scales), world.path, windows, z, STEPS)


def by_perfect_windows(world: World, windows: Windows, teacher: ExactTeacher, fine_steps: int = 16) -> Sample:
    """What a balanced student without any error does, a step per window: each branch's true window end, combined."""

    def sample(asked: Asked, z: Tensor, scales: Tensor) -> Tensor:
        for place in range(windows.count, 0, -1):
            end, start = (torch.full((len(z),), bound).double() for bound in windows.bounds[place - 1 : place + 1])
            branches = [teacher.at_branch(asked.person, asked.heard, asked.at(each).branch) for each in range(BRANCHES)]
            z = combine([solve(each, world.path, z, start, end, fine_steps) for each in branches], scales)
        return z

    return sample


def by_jumps(world: World, make: Callable[[Asked, Tensor], Predict]) -> Sample:
    """The sampler of trajectory consistency, six steps."""

    def sample(asked: Asked, z: Tensor, scales: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(1)
        return sample_trajectory(make(asked, scales), world.path, z, STEPS, GAMMA, generator)

    return sample


def best_undistilled(
    world: World, steps: int, call: Call, scales: tuple[float, float], measure_name: str, spare: Questions
) -> Undistilled:
    """The solver and nodes with the smallest error on spare draws, among SAMPLERS."""
    teacher, none = ExactTeacher(world), torch.zeros_like(spare.noise)

    def error(way: Undistilled) -> float:
        found = measure(world, spare, way.sample(world, teacher), scales, none)[measure_name]
        return sum(found) / len(found)

    return least((Undistilled(steps, call, *each) for each in SAMPLERS), error)
