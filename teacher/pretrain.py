"""Training a teacher: the denoising objective of one stage, with conditions dropped at random."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import SupportsFloat

import torch
from torch import Tensor, nn

from fada.data.sampling.dataset import BatchShape, ClipSampler
from fada.data.sampling.seeds import sample_generator
from fada.diffusion.transfer import moved
from fada.diffusion.windows import Windows
from fada.engine.clock import Clock
from fada.engine.figures import mean_where
from fada.engine.objective import StepLoss
from fada.teacher.denoiser import AvatarDenoiser
from fada.teacher.frame_dropout import FrameDropout, draw_kept_frames
from fada.teacher.inputs import ClipInputs
from fada.teacher.loss_weights import lip_weights, offset_noise
from fada.teacher.rows import scale_rows


@dataclass(frozen=True)
class DropRates:
    """Shares of samples whose conditions are replaced by their null.

    conditions: by name of the branch that a condition makes. A sample has one draw for all: with a condition it loses
    those of the branches above it, and shares add up. motion: of motion frames, drawn by themselves. reference: of
    portraits, where a family's branches all know it, likewise.

    Raises:
        ValueError: the shares of all conditions are more than 1.
    """

    conditions: Mapping[str, float]
    motion: float
    reference: float = 0.0

    def __post_init__(self) -> None:
        if sum(self.conditions.values()) > 1.0 + 1e-9:
            raise ValueError(f"conditions are dropped in more than all samples: {dict(self.conditions)} add up over 1")


class PretrainObjective:
    """DDPM loss of a stage (FADA eq. 1, in the teacher's prediction type).

    Args:
        trains: parts that learn (`AvatarDenoiser.part`); all others are frozen.
        is_image_stage: train on single frames, without temporal layers and motion frames.
        min_snr_gamma: Min-SNR weighting (Hang et al. 2023, arXiv:2303.09556), None for none.
        frame_drop: shares of frames without their strong conditions.
        lip_weight: of the squared error around the lips; offset_noise: strength of the noise's offset.
        velocity_weight: of the squared error of differences between neighbouring frames (FLOAT's eq. 12).
        motion_weight: of the squared error of motion frames, which are to be answered as they are (FLOAT's eq. 11).

    Raises:
        ValueError: a condition is dropped that the model has no branch of.
    """

    def __init__(
        self,
        module: AvatarDenoiser,
        sampler: ClipSampler,
        shape: BatchShape,
        trains: Sequence[str],
        drop: DropRates,
        seed: int,
        *,
        is_image_stage: bool = False,
        min_snr_gamma: float | None = None,
        frame_drop: FrameDropout = FrameDropout(),  # noqa: B008 - frozen
        lip_weight: float = 1.0,
        offset_noise: float = 0.0,
        velocity_weight: float = 0.0,
        motion_weight: float = 0.0,
    ) -> None:
        self.module, self.sampler, self.shape, self.drop, self.seed = module, sampler, shape, drop, seed
        self.is_image_stage, self.min_snr_gamma = is_image_stage, min_snr_gamma
        self.frame_drop, self.lip_weight, self.offset_noise = frame_drop, lip_weight, offset_noise
        self.velocity_weight, self.motion_weight = velocity_weight, motion_weight
        self.names = module.branches
        unknown = set(drop.conditions) - set(self.names[1:])
        if unknown:
            raise ValueError(f"nothing to drop named {', '.join(sorted(unknown))}; choose from {self.names[1:]}")
        # The sound is left out until what hears it is trained: as long as it is random it would only be in the way.
        is_heard = "audio" not in self.names or "audio" in trains
        self.highest = len(self.names) - 1 if is_heard else list(self.names).index("audio") - 1
        module.requires_grad_(False)
        for part in trains:
            for parameter in module.part(part):
                parameter.requires_grad_(True)

    def loss(self, model: nn.Module, step: int, micro: int) -> StepLoss:
        """Mean squared error of the prediction at random times."""
        device = next(self.module.parameters()).device
        clock = Clock(device)
        batch = self.sampler.batch(step, self.shape, micro).to(device)
        clock.lap("seconds_data")
        draws = [self._draw(batch.latents[0], step, sample) for sample in self.shape.samples(micro)]
        t, branch, keeps_motion, noise = (torch.stack(column) for column in zip(*draws, strict=True))
        # Times and branches decide about the computation: they stay where nothing waits for a device to learn them.
        keeps_motion, noise = (moved(each, device) for each in (keeps_motion, noise))
        path = self.module.path
        noisy = path.add_noise(batch.latents, noise, t)
        inputs = ClipInputs.of_batch(batch, keeps_motion)
        if self.is_image_stage:
            inputs = inputs.without_motion()
        if self.drop.reference > 0:
            keeps = torch.tensor([self._keeps_reference(step, sample) for sample in self.shape.samples(micro)])
            inputs = replace(inputs, reference=scale_rows(inputs.reference, moved(keeps, device)))
        if self.frame_drop != FrameDropout():
            frames, samples = batch.latents.shape[1], self.shape.samples(micro)
            kept = draw_kept_frames(self.frame_drop, frames, self.seed, step, samples)
            inputs = replace(inputs, kept=kept.to(device))
        options = {"shows_motion": True} if self.motion_weight else {}
        prediction = model(
            self.module.inputs_of(inputs), noisy, t, branch, use_temporal=not self.is_image_stage, **options
        ).float()
        before, prediction = prediction.split([prediction.shape[1] - noisy.shape[1], noisy.shape[1]], dim=1)
        target = path.training_target(batch.latents, noise, t)
        squares = (prediction - target).square()
        if self.lip_weight != 1.0:
            assert batch.keypoints is not None
            squares = squares * lip_weights(
                batch.keypoints.lip_box, squares.shape[-2], squares.shape[-1], self.lip_weight
            )
        errors = squares.flatten(1).mean(dim=1)
        terms = self._terms(prediction - target, before, inputs)
        weights = moved(self._weights(t), device)
        scalars: dict[str, SupportsFloat] = {
            f"loss_{name}": mean_where(errors, branch == number) for number, name in enumerate(self.names)
        }
        clock.lap("seconds_forward")
        scalars |= {name: term.detach().mean() for name, (_, term) in terms.items()}
        scalars |= {**self._per_window(errors, t), **clock.laps}
        for weight, term in terms.values():
            errors = errors + weight * term
        return StepLoss((weights * errors).mean(), scalars, keys=batch.keys, faults=batch.faults)

    def _terms(self, errors: Tensor, answers: Tensor, inputs: ClipInputs) -> dict[str, tuple[float, Tensor]]:
        """Added to the squared errors, by name, a weight and (B,): of changes between frames, of motion frames."""
        terms = {}
        if self.velocity_weight and errors.shape[1] > 1:
            terms["loss_velocity"] = self.velocity_weight, errors.diff(dim=1).square().flatten(1).mean(dim=1)
        if self.motion_weight and inputs.motion is not None and answers.shape[1]:
            squares = (answers - inputs.motion.float()).square().flatten(1).mean(dim=1)
            there = 1.0 if inputs.has_motion is None else inputs.has_motion.to(squares)
            terms["loss_motion"] = self.motion_weight, squares * there
        return terms

    def _keeps_reference(self, step: int, sample: int) -> bool:
        draw = torch.rand((), generator=sample_generator(self.seed, step, sample, "portrait"))
        return float(draw) >= self.drop.reference

    def _draw(self, latents: Tensor, step: int, sample: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        generator = sample_generator(self.seed, step, sample, "teacher")
        steps = self.module.path.num_train_timesteps
        t = (torch.randint(steps, (), generator=generator) + 1).double() / steps
        dropped, keeps_motion = torch.rand(2, generator=generator).tolist()
        noise = offset_noise(torch.randn(latents.shape, generator=generator), self.offset_noise, generator)
        return t, torch.tensor(self._branch(dropped)), torch.tensor(keeps_motion >= self.drop.motion), noise

    def _branch(self, draw: float) -> int:
        """The branch of a sample that drew a number from [0, 1): below that of the condition whose share it fell in."""
        limit = 0.0
        for below, name in enumerate(self.names[1:]):
            limit += self.drop.conditions.get(name, 0.0)
            if draw < limit:
                return min(below, self.highest)
        return self.highest

    def _weights(self, t: Tensor) -> Tensor:
        if self.min_snr_gamma is None:
            return torch.ones(len(t))
        path = self.module.path
        if path.is_flow:
            signal, noise = path.signal_noise(t)
            # Of a flow x0's error is t times the prediction's: the plain loss already weighs it by 1 / t^2.
            snr, divisor = (signal / noise) ** 2, noise**-2
        else:
            alpha_bar = path.alpha_bar(t)
            snr = alpha_bar / (1 - alpha_bar)
            # For v the plain loss already weighs x0 by snr + 1, for eps by snr, for x0 itself by one.
            divisor = {"v_prediction": snr + 1, "sample": torch.ones_like(snr)}.get(path.prediction_type, snr)
        clipped = snr.clamp(max=self.min_snr_gamma)
        return (clipped / divisor.clamp(min=1e-8)).float()

    def _per_window(self, errors: Tensor, t: Tensor) -> dict[str, Tensor]:
        starts = Windows(4).look_up(t)[0]
        return {f"loss_from_{start:g}": mean_where(errors, starts == start) for start in (0.25, 0.5, 0.75, 1.0)}
