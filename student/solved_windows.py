"""Windows of training samples as the frozen teacher solves them: draws, inputs, noisy start, the teacher's end.

Solved anew in every step, or read from a cache. What a student makes of them is its objective's business
(distillation.py, trajectory.py). Times and draws are those of method.md, section 3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from fada.data.sampling.dataset import Asked, Batch, BatchShape, ClipSampler
from fada.data.sampling.seeds import sample_generator
from fada.diffusion.solvers import Solver, solve
from fada.diffusion.spacing import Spacing, spaced_windows
from fada.diffusion.transfer import moved
from fada.engine.clock import Clock
from fada.student.mixed_loss import MixedLossConfig
from fada.student.target_cache import TargetCache
from fada.teacher.denoiser import AvatarDenoiser
from fada.teacher.guidance import at_branch, guided
from fada.teacher.inputs import ClipInputs

GuidanceTarget = Literal["sync", "distill"]


@dataclass(frozen=True)
class DistillSettings:
    """What a phase learns; the fields are those of the recipe's `distill.phases` entries.

    scales: lowest and highest that are drawn, for every branch of the guidance but the first, in their order.
    """

    guidance: GuidanceTarget
    windows: int
    times: Literal["uniform", "starts"]
    solver: Solver
    solver_steps: int
    scales: tuple[tuple[float, float], ...]
    motion_drop: float
    loss: MixedLossConfig
    gt_guidance: Literal["neutral", "sampled"]
    seed: int
    matched: bool = False
    spacing: Spacing = "time"
    solver_spacing: Spacing = "time"


@dataclass(frozen=True)
class Draws:
    """Random numbers of a batch.

    t, t_start, t_end: (B,) float64; noise (B, ...), as latents are; branch (B,); scales (B, branches - 1), in order;
    keeps_motion (B,) booleans. Noise and keeps_motion lie where the batch does. What decides about the computation
    (times, branches, scales) stays on the CPU, where it is drawn: asking a device for it would wait for the device.
    """

    t: Tensor
    t_start: Tensor
    t_end: Tensor
    noise: Tensor
    branch: Tensor
    scales: Tensor
    keeps_motion: Tensor


@dataclass(frozen=True)
class Solved:
    """Windows of a micro-batch.

    z_start, z_end: (B, ...), on the noise path and at the teacher's end; inputs: what the family's networks
    take; features: of the reference, None where they are not at hand.
    """

    batch: Batch
    draws: Draws
    inputs: Any
    z_start: Tensor
    z_end: Tensor
    features: Any


class SolvedWindows:
    """What the teacher answers to the samples of every step.

    Args:
        teacher: frozen, in whatever precision it runs in.
        student: says what inputs its family takes.
        shape: of a micro-batch; its owner may change it.
        cache: window ends that were solved before; the teacher is asked for none, and may be let go.
        given: what the student's `inputs_of` takes, of a batch and of where its motion frames are kept (B,).
    """

    def __init__(
        self,
        teacher: AvatarDenoiser,
        student: AvatarDenoiser,
        sampler: ClipSampler,
        settings: DistillSettings,
        shape: BatchShape,
        cache: TargetCache | None = None,
        given: Callable[[Any, Tensor], Any] = ClipInputs.of_batch,
    ) -> None:
        # A family's inputs, features and conditions are its own: nothing here looks into them.
        self.teacher: Any = teacher
        self.student, self.sampler, self.settings, self.shape, self.cache = student, sampler, settings, shape, cache
        self.given = given
        self.path = teacher.path
        self.windows = spaced_windows(self.path, settings.windows, settings.spacing, is_matched=settings.matched)
        teacher.requires_grad_(False)
        teacher.eval()

    def solved(self, step: int, micro: int, device: torch.device, clock: Clock) -> Solved:
        """The windows of one micro-batch; the clock is told of the data's and the teacher's time."""
        if self.cache is None:
            batch = self.sampler.batch(step, self.shape, micro).to(device)
            clock.lap("seconds_data")
            draws = self.draw(batch, [(step, sample) for sample in self.shape.samples(micro)])
            inputs = self._inputs(batch, draws)
            z_start, z_end, features = self._teacher_window(batch, draws, inputs)
            clock.lap("seconds_teacher")
            return Solved(batch, draws, inputs, z_start, z_end, features)
        numbers = self._cached_numbers(step, micro)
        upcoming = (self._cached_numbers(*place) for place in self.shape.following(step, micro))
        batch, draws = self.cached_inputs(numbers, device, upcoming)
        draws = self.redraw_times(draws, step, micro)
        z_start = self.path.add_noise(batch.latents, draws.noise, draws.t_start)
        z_end = moved(self.cache.read(numbers), z_start.device).to(z_start.dtype)
        clock.lap("seconds_data")
        return Solved(batch, draws, self._inputs(batch, draws), z_start, z_end, None)

    def let_teacher_go(self) -> None:
        """Forget the teacher's weights: with a full cache nothing asks for them."""
        if self.cache is None or self.cache.missing():
            raise ValueError("the teacher is needed as long as window ends are missing")
        del self.teacher

    def window_ends(self, numbers: Sequence[int], device: torch.device) -> Tensor:
        """The teacher's ends (n, ...) of the windows that the cache counts under these numbers."""
        batch, draws = self.cached_inputs(numbers, device)
        return self._teacher_window(batch, draws, self._inputs(batch, draws))[1]

    def cached_inputs(
        self, numbers: Sequence[int], device: torch.device, upcoming: Iterable[Sequence[int]] = ()
    ) -> tuple[Batch, Draws]:
        """Clips and draws of cached samples: they follow from a sample's number alone, whatever step uses it.

        Args:
            upcoming: numbers of the next batches, for whoever reads ahead.
        """
        assert self.cache is not None
        count = self.cache.count

        def asked(numbers: Sequence[int]) -> Asked:
            return tuple((0, number, count) for number in numbers)

        batch = self.sampler.fetch(asked(numbers), map(asked, upcoming)).to(device)
        return batch, self.draw(batch, [(0, number) for number in numbers])

    def _cached_numbers(self, step: int, micro: int) -> list[int]:
        """Cached samples of a micro-batch of this process."""
        assert self.cache is not None
        first = step * self.shape.per_step
        return [self.cache.number(first + sample) for sample in self.shape.samples(micro)]

    def redraw_times(self, draws: Draws, step: int, micro: int) -> Draws:
        """The same windows at times of this step, so that an endpoint teaches another point in every epoch."""
        if self.settings.times == "starts":
            return draws
        steps = self.path.num_train_timesteps
        generators = [sample_generator(self.settings.seed, step, each, "time") for each in self.shape.samples(micro)]
        share = torch.stack([torch.rand((), generator=generator).double() for generator in generators])
        lengths = draws.t_start - draws.t_end
        # (0, 1] of the window, on the grid: its end belongs to the next one.
        return replace(draws, t=torch.ceil((draws.t_end + (1 - share) * lengths) * steps - 1e-6) / steps)

    @torch.no_grad()
    def _teacher_window(self, batch: Batch, draws: Draws, inputs: Any) -> tuple[Tensor, Tensor, Any]:
        """Noisy start of each window, the teacher's end of it, and the reference features both networks share."""
        z_start = self.path.add_noise(batch.latents, draws.noise, draws.t_start)
        features = self.teacher.features(inputs)
        conditions = self.teacher.prepare(inputs, features)
        if self.settings.guidance == "sync":
            predict = at_branch(self.teacher, conditions, draws.branch)
        else:
            predict = guided(self.teacher, conditions, draws.scales)
        settings = self.settings
        z_end = solve(
            predict,
            self.path,
            z_start,
            draws.t_start,
            draws.t_end,
            settings.solver_steps,
            settings.solver,
            spacing=settings.solver_spacing,
        )
        return z_start, z_end, features

    def draw(self, batch: Batch, samples: Sequence[tuple[int, int]]) -> Draws:
        """Random numbers of samples that are known by (step, sample)."""
        rows = [self._draw_one(batch.latents[0], *sample) for sample in samples]
        t, noise, branch, scales, keeps_motion = (torch.stack(column) for column in zip(*rows, strict=True))
        t_start, t_end = self.windows.look_up(t)
        if self.settings.times == "starts":
            t = t_start
        noise, keeps_motion = (moved(each, batch.latents.device) for each in (noise, keeps_motion))
        return Draws(t, t_start, t_end, noise, branch, scales, keeps_motion)

    def _draw_one(self, latents: Tensor, step: int, sample: int) -> tuple[Tensor, ...]:
        generator = sample_generator(self.settings.seed, step, sample, "distill")
        steps = self.path.num_train_timesteps
        t = self._spread(self.windows.draw_times(1, generator, steps, torch.device("cpu"))[0], sample)
        noise = torch.randn(latents.shape, generator=generator)
        branch = torch.randint(len(self.student.branches), (), generator=generator)
        low, high = torch.tensor(self.settings.scales).reshape(-1, 2).T
        uniform = torch.rand(len(low), generator=generator)
        keeps_motion = torch.rand((), generator=generator) >= self.settings.motion_drop
        return t, noise, branch, low + uniform * (high - low), keeps_motion

    def _spread(self, t: Tensor, sample: int) -> Tensor:
        """The time moved into the sample's share of all windows, which count alike whatever their length; on the grid.

        A micro-batch of all processes then covers the windows evenly instead of by chance, and no gradient lacks
        the last one, which decides most about the result. Over many steps times are as uniform as before.
        """
        steps = self.path.num_train_timesteps
        share = torch.ceil((sample % self.shares + t) / self.shares * steps - 1e-6) / steps
        return torch.ceil(self.windows.at_share(share) * steps - 1e-6) / steps

    @property
    def shares(self) -> int:
        """Into how many parts a micro-batch of all processes divides the time: one for each of its samples.

        A cache has no batches; there, samples take turns at the windows.
        """
        return self.windows.count if self.cache is not None else self.shape.size * self.shape.world

    def _inputs(self, batch: Batch, draws: Draws) -> Any:
        """What the family's networks take; student and teacher the same."""
        return self.student.inputs_of(self.given(batch, draws.keeps_motion))
