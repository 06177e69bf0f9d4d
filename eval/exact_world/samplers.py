"""Ways from noise to a picture in the exact world: the teacher's, its best undistilled shortcuts, and the students'."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from fada.diffusion.sampling import sample_student
from fada.diffusion.solvers import Predict, Solver, solve
from fada.diffusion.spacing import Spacing
from fada.diffusion.trajectory import sample_trajectory
from fada.diffusion.windows import Windows
from fada.eval.exact_world.measures import Sample
from fada.eval.exact_world.students import Asked, Students
from fada.eval.exact_world.world import ExactTeacher, World

Call = Literal["guided", "conditional", "inside"]
"""How a network is called: three branches combined, all conditions once, or once with the scales inside."""
STEPS, TEACHER_STEPS = 6, 25
GAMMA = 0.3


Network = Callable[["Call"], Callable[[Asked, Tensor], Predict]]
"""``network(call)(asked, scales)``: a predictor for what is asked, of the teacher or of students."""


@dataclass(frozen=True)
class Undistilled:
    """A network with a solver; cost: evaluations of it."""

    steps: int
    call: Call = "guided"
    solver: Solver = "ddim"
    spacing: Spacing = "time"

    @property
    def cost(self) -> int:
        return self.steps * (3 if self.call == "guided" else 1)

    def sample(self, world: World, network: Network) -> Sample:
        """The way it samples."""
        make = network(self.call)

        def walk(predict: Predict, z: Tensor) -> Tensor:
            one = torch.ones(len(z), dtype=torch.float64)
            return solve(predict, world.path, z, one, 0 * one, self.steps, self.solver, spacing=self.spacing)

        return lambda asked, z, scales: walk(make(asked, scales), z)


def of_teacher(teacher: ExactTeacher) -> Network:
    """The teacher; without guidance its scales are one."""

    def called(call: Call) -> Callable[[Asked, Tensor], Predict]:
        return lambda asked, scales: teacher.guided(
            asked.person, asked.heard, scales if call == "guided" else torch.ones_like(scales)
        )

    return called


def of_students(students: Students) -> Network:
    """Students; with guidance outside, without any, or inside."""

    def called(call: Call) -> Callable[[Asked, Tensor], Predict]:
        if call == "guided":
            return students.guided
        return lambda asked, scales: students.once(asked, scales if call == "inside" else torch.ones_like(scales))

    return called


def by_windows(world: World, windows: Windows, make: Callable[[Asked, Tensor], Predict]) -> Sample:
    """A student's sampler of six steps, for students or for the untrained teacher."""
    return lambda asked, z, scales: sample_student(make(asked, scales), world.path, windows, z, STEPS)


def by_jumps(world: World, make: Callable[[Asked, Tensor], Predict]) -> Sample:
    """The sampler of trajectory consistency, six steps."""

    def sample(asked: Asked, z: Tensor, scales: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(1)
        return sample_trajectory(make(asked, scales), world.path, z, STEPS, GAMMA, generator)

    return sample
