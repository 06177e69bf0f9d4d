"""The distillation objective: PeRFlow targets of the guided teacher and ground truth, learned in one pass.

One step: draw windows and scales; the frozen teacher solves each sample's window; the student predicts at a point of
the teacher's chord and at one of the data's, in one forward pass over both; the mixed loss weighs them per sample.
Where no weight of data can be but zero (`base: 0`), the student is not asked about the data's chord.
Times and targets are those of method.md, sections 3 to 5. With a single window this is rectified flow (RFlow).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, SupportsFloat

import torch
from torch import Tensor, nn

from fada.data.sampling.dataset import Batch, BatchShape, ClipSampler
from fada.diffusion.forms import lambda_eta, student_point, window_target
from fada.diffusion.matched import window_predictor
from fada.diffusion.transfer import moved
from fada.engine.clock import Clock
from fada.engine.figures import finite_median, mean_where
from fada.engine.objective import StepLoss
from fada.student.copies import neutral_scales
from fada.student.mixed_loss import MixedLoss, distillation_loss, mixed_loss
from fada.student.solved_windows import DistillSettings, Draws, SolvedWindows
from fada.student.target_cache import TargetCache
from fada.teacher.denoiser import AvatarDenoiser
from fada.teacher.inputs import ClipInputs


class DistillObjective:
    """What `fit` trains in a distillation phase.

    Args:
        teacher: frozen, in whatever precision it runs in.
        student: starts as the teacher's copy; what prepares conditions is shared when it does not train.
        cache: window ends that were solved before; the teacher is asked for none, and may be let go.
        given: see `SolvedWindows`.
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
        given: Callable[[Any, Tensor], Any] = ClipInputs.of_batch,
    ) -> None:
        self.module, self.sampler, self.settings = student, sampler, settings
        self.solved = SolvedWindows(teacher, student, sampler, settings, shape, cache, given)
        self.trains_reference = trains_reference
        train_student(student, trains_reference)

    @property
    def shape(self) -> BatchShape:
        """Of a micro-batch."""
        return self.solved.shape

    @shape.setter
    def shape(self, shape: BatchShape) -> None:
        self.solved.shape = shape

    def loss(self, model: nn.Module, step: int, micro: int) -> StepLoss:
        """The mixed loss of one micro-batch."""
        device = device_of(self.module)
        clock = Clock(device)
        found = self.solved.solved(step, micro, device, clock)
        batch, draws, z_start, z_end = found.batch, found.draws, found.z_start, found.z_end
        path = self.solved.path
        window = (draws.t_start, draws.t_end)
        ends = [z_end]
        if self.settings.loss.uses_ground_truth:
            ends.append(path.add_noise(batch.latents, draws.noise, draws.t_end))
        latents = torch.cat([student_point(z_start, end, draws.t, *window) for end in ends])
        predict = partial(
            model,
            found.inputs,
            branch=draws.branch.repeat(len(ends)) if self.settings.guidance == "sync" else None,
            scales=self._student_scales(draws.scales, device),
            features=None if self.trains_reference else found.features,
        )
        predictor = window_predictor(predict, path, self.solved.windows)
        predictions = predictor(latents, draws.t.repeat(len(ends))).float().chunk(len(ends))
        targets = [window_target(path, z_start, end, *window) for end in ends]
        told = (self.settings.loss, lambda_eta(path, *window)[1], batch.keys)
        if len(ends) == 1:
            result = distillation_loss(predictions[0], targets[0], *told)
        else:
            result = mixed_loss(predictions[0], targets[0], predictions[1], targets[1], *told)
        clock.lap("seconds_forward")
        scalars: dict[str, SupportsFloat] = {**self._scalars(result, draws, batch), **clock.laps}
        return StepLoss(result.total, scalars, _histograms(result), batch.keys, batch.faults)

    def _student_scales(self, scales: Tensor, device: torch.device) -> Tensor | None:
        """Scales of both halves of the batch, or of the one; data are the target of plain conditional prediction."""
        if self.settings.guidance == "sync":
            return None
        if self.settings.loss.uses_ground_truth:
            is_neutral = self.settings.gt_guidance == "neutral"
            scales = torch.cat([scales, neutral_scales(*scales.shape) if is_neutral else scales])
        return moved(scales, device)

    def _scalars(self, result: MixedLoss, draws: Draws, batch: Batch) -> dict[str, SupportsFloat]:
        # Nothing here asks the device for a value: `if` and masks of its values would wait for it in every step.
        scalars: dict[str, SupportsFloat] = {
            "loss_distill": result.distill.mean(),
            "loss_ground_truth": result.ground_truth.mean(),
            "ratio_median": finite_median(result.ratio),
            "weight_mean": result.weight.mean(),
            "dead_share": (result.weight == 0).float().mean(),
        }
        for start in draws.t_start.unique().tolist():
            scalars[f"loss_distill_from_{start:g}"] = mean_where(result.distill, draws.t_start == start)
        for quality in set(batch.qualities):
            chosen = torch.tensor([each == quality for each in batch.qualities])
            scalars[f"ratio_{quality}"] = finite_median(result.ratio, chosen)
        return scalars


def _histograms(result: MixedLoss) -> dict[str, Tensor]:
    """Ratio and weight; the ratio on a decimal scale, where its spread is seen. Logs leave out what is not finite."""
    return {"log10_ratio": result.ratio.clamp(min=1e-6).log10(), "weight": result.weight}


def train_student(student: AvatarDenoiser, trains_reference: bool) -> None:
    """Let the student learn, all of it but what stands in front of the denoising net, unless that learns too."""
    student.requires_grad_(True)
    for name in student.encoders:
        student.get_submodule(name).requires_grad_(trains_reference)


def device_of(module: nn.Module) -> torch.device:
    """Where a module's parameters lie."""
    return next(module.parameters()).device
