"""Draws of every training step with the teacher's window ends, and what students see of them.

What rows have in common is made once for all of them: draws, the teacher's answers, points on chords, targets.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from fada.diffusion.forms import lambda_eta, student_point, window_target
from fada.diffusion.matched import MatchedPoints, matched_points, window_prediction
from fada.diffusion.paths import NoisePath, per_sample
from fada.diffusion.solvers import solve
from fada.eval.exact_world.copying import AUDIO, REFERENCE
from fada.eval.exact_world.courses import Course, Plan, windows_of
from fada.eval.exact_world.students import BRANCHES, Asked, features_of
from fada.eval.exact_world.world import ExactTeacher, World, draw_clips


@dataclass(frozen=True)
class Seen:
    """What networks see of a step: (seeds * 2 n, ...), each seed's teacher's chords before its data's.

    points, features: as `Students.evaluate` takes them; matched, start: how answers become windows' predictions.
    """

    path: NoisePath
    points: Tensor
    features: Tensor
    matched: MatchedPoints | None
    start: Tensor

    def predictions(self, answers: Tensor) -> Tensor:
        """What the networks' answers mean for the windows."""
        if self.matched is None:
            return answers
        return window_prediction(self.path, answers, self.points, self.matched, self.start)


@dataclass(frozen=True)
class SolvedBatch:
    """A step's draws and window ends, all seeds' one after the other.

    goal: share of the way to the end at which a jump of trajectory consistency lands.
    """

    path: NoisePath
    seeds: int
    is_guided: bool
    asked: Asked
    scales: Tensor
    t: Tensor
    bounds: tuple[Tensor, Tensor]
    z_start: Tensor
    z_end: Tensor
    true_end: Tensor
    goal: Tensor

    def seen(self, is_matched: bool) -> Seen:
        """Points on both chords, plain or matched in signal-to-noise ratio."""
        return self._matched if is_matched else self._plain

    @cached_property
    def targets(self) -> tuple[Tensor, Tensor]:
        """What is to be predicted on the teacher's chord, and on the data's."""
        first, second = (window_target(self.path, self.z_start, end, *self.bounds) for end in self._ends)
        return first, second

    @cached_property
    def eta(self) -> Tensor:
        """Of every sample's window."""
        return lambda_eta(self.path, *self.bounds)[1]

    @cached_property
    def paired_scales(self) -> Tensor | None:
        """The teacher's scales, and ones for data; None without guidance inside."""
        return self._paired(self.scales, torch.ones_like(self.scales)) if self.is_guided else None

    @property
    def _ends(self) -> tuple[Tensor, Tensor]:
        return self.z_end, self.true_end

    @cached_property
    def _asked(self) -> Asked:
        branch = torch.full_like(self.asked.branch, BRANCHES - 1) if self.is_guided else self.asked.branch
        return Asked(*(self._paired(each, each) for each in (self.asked.person, self.asked.heard, branch)))

    @cached_property
    def _points(self) -> Tensor:
        return self._paired(*(student_point(self.z_start, end, self.t, *self.bounds) for end in self._ends))

    @cached_property
    def _plain(self) -> Seen:
        start = self._paired(self.bounds[0], self.bounds[0])
        features = features_of(self.path, self._paired(self.t, self.t), self._asked)
        return Seen(self.path, self._points, features, None, start)

    @cached_property
    def _matched(self) -> Seen:
        start, end, t = (self._paired(each, each) for each in (*self.bounds, self.t))
        matched = matched_points(self.path, t, start, end)
        points = self._points / per_sample(matched.scale, self._points)
        return Seen(self.path, points, features_of(self.path, matched.t, self._asked), matched, start)

    def _paired(self, first: Tensor, second: Tensor) -> Tensor:
        """Two batches (seeds * n, ...) as one (seeds * 2 n, ...), seed by seed: one pass serves both."""
        both = torch.stack([each.view(self.seeds, -1, *each.shape[1:]) for each in (first, second)], dim=1)
        return both.flatten(0, 2)


class Source:
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
    def batch(self, step: int, teacher: ExactTeacher) -> SolvedBatch:
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
        return SolvedBatch(
            path,
            len(self.plan.seeds),
            course.guidance == "distill",
            asked,
            scales,
            t,
            bounds,
            z_start,
            z_end,
            true_end,
            goal,
        )
