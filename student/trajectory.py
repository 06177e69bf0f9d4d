"""The trajectory-consistency objective (TCD): jumps from two neighbouring points of the teacher's way must meet.

One step: noise the data to t_n; the frozen, guided teacher takes one DDIM step to t_m; the student jumps from z_n to a
random s <= t_m, its moving average from z_m; the distance of the two landings is the loss. There is no ground truth.
Source: TCD (arXiv 2402.19159), algorithm 1, with the first-order jump: the network is not told s.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, SupportsFloat

import torch
from torch import Tensor, nn
from torch.func import functional_call

from fada.data.sampling.dataset import BatchShape, ClipSampler
from fada.data.sampling.seeds import sample_generator
from fada.diffusion.trajectory import jump
from fada.diffusion.transfer import moved
from fada.engine.clock import Clock
from fada.engine.objective import StepLoss
from fada.student.distillation import device_of, train_student
from fada.student.mixed_loss import squared_error
from fada.student.solved_windows import DistillSettings, SolvedWindows
from fada.student.target_cache import TargetCache
from fada.teacher.denoiser import AvatarDenoiser


class TrajectoryObjective:
    """What `fit` trains in a phase of `method: tcd`.

    Args:
        teacher: frozen, in whatever precision it runs in.
        student: starts as the teacher's copy.
        settings: its windows are the way's steps, of which the teacher takes one (`solver_steps` 1) from its start.
        cache: teacher's steps that were taken before.

    Raises:
        ValueError: the settings ask for points within a step, or several solver steps of one.
    """

    def __init__(
        self,
        teacher: AvatarDenoiser,
        student: AvatarDenoiser,
        sampler: ClipSampler,
        settings: DistillSettings,
        shape: BatchShape,
        *,
        trains_reference: bool = False,
        cache: TargetCache | None = None,
    ) -> None:
        if settings.times != "starts" or settings.solver_steps != 1:
            raise ValueError(
                "trajectory consistency: the teacher takes one step from each window's start: give times 'starts' and "
                f"solver_steps 1, got {settings.times!r} and {settings.solver_steps}"
            )
        self.module, self.sampler, self.settings = student, sampler, settings
        self.solved = SolvedWindows(teacher, student, sampler, settings, shape, cache)
        self.trains_reference = trains_reference
        self._averages: Callable[[], dict[str, Tensor]] | None = None
        train_student(student, trains_reference)

    @property
    def shape(self) -> BatchShape:
        """Of a micro-batch."""
        return self.solved.shape

    @shape.setter
    def shape(self, shape: BatchShape) -> None:
        self.solved.shape = shape

    def follow(self, averages: Callable[[], dict[str, Tensor]]) -> None:
        """Take the target network's weights from here: the loop's moving average, which it saves and resumes."""
        self._averages = averages

    def loss(self, model: nn.Module, step: int, micro: int) -> StepLoss:
        """Distance of the student's and its average's landings of one micro-batch."""
        device = device_of(self.module)
        clock = Clock(device)
        found = self.solved.solved(step, micro, device, clock)
        draws, path = found.draws, self.solved.path
        goal = self._goals(draws.t_end, step, micro)
        options: dict[str, Any] = {
            "branch": draws.branch if self.settings.guidance == "sync" else None,
            "scales": moved(draws.scales, device) if self.settings.guidance == "distill" else None,
            "features": None if self.trains_reference else found.features,
        }
        with torch.no_grad():
            seen = self._target_network(found.inputs, found.z_end, draws.t_end, options)
            target = jump(path, found.z_end, seen.float(), draws.t_end, goal)
        prediction = model(found.inputs, found.z_start, draws.t_start, **options)
        landing = jump(path, found.z_start, prediction.float(), draws.t_start, goal)
        error = squared_error(landing, target)
        clock.lap("seconds_forward")
        scalars: dict[str, SupportsFloat] = {
            "loss_distill": error.detach().mean(),
            "jump_length": (draws.t_start - goal).mean(),
            **clock.laps,
        }
        return StepLoss(error.mean(), scalars, keys=found.batch.keys, faults=found.batch.faults)

    def _target_network(self, inputs: Any, latents: Tensor, t: Tensor, options: dict[str, Any]) -> Tensor:
        """What the moving average predicts; before a loop has one, the student itself."""
        weights = {} if self._averages is None else self._averages()
        return functional_call(self.module, weights, (inputs, latents, t), options)

    def _goals(self, latest: Tensor, step: int, micro: int) -> Tensor:
        """Times s (B,), uniform on the grid from 0 to each sample's `latest`."""
        steps = self.solved.path.num_train_timesteps
        generators = [sample_generator(self.settings.seed, step, each, "goal") for each in self.shape.samples(micro)]
        share = torch.stack([torch.rand((), generator=generator).double() for generator in generators])
        whole = torch.round(latest * steps)
        return torch.floor(share * (whole + 1)) / steps
