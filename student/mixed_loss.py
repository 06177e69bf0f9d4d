"""The mixed loss: learn from the teacher, and from data as far as the teacher still teaches.

Per sample, ``L_distill + W(L_gt / L_distill) L_gt``; no gradient passes through W. Source: FADA eq. 5 to 8.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import torch
from jaxtyping import Float
from torch import Tensor

from fada.diffusion.shapes import PerSample
from fada.recipe.sections.distill import Loss, LossSpace, Weighting

UNSAID = Loss()
"""What holds where a recipe says nothing: the defaults of the settings below."""


class NonFiniteLoss(FloatingPointError):
    """A loss is NaN or infinite; the message names the samples."""


@dataclass(frozen=True)
class MixedLossConfig:
    """How the two losses are weighed; defaults are a recipe's, which are the paper's.

    Raises:
        ValueError: an unknown choice, a negative number, or a dead threshold not above the peak.
    """

    weighting: Weighting = UNSAID.weighting
    """``adaptive``: rises up to ``peak``, falls to zero at ``dead``; ``adaptive_unlimited``: rises on; ``fixed``."""
    slope: float = UNSAID.slope
    """Exponent s of the ratio."""
    base: float = UNSAID.base
    """W0: the weight at ratio one, and the fixed weight."""
    peak: float = UNSAID.peak
    """Ratio of the greatest weight."""
    dead: float = UNSAID.dead
    """Ratio from which on data does not count: its clip is taken for flawed."""
    loss_space: LossSpace = UNSAID.loss_space
    """``endpoint`` multiplies both losses with eta squared, so that they measure errors of the window's end."""

    def __post_init__(self) -> None:
        for name, choices in (("weighting", get_args(Weighting)), ("loss_space", get_args(LossSpace))):
            value = getattr(self, name)
            if value not in choices:
                raise ValueError(f"mixed loss: {name}: got {value!r}; choose from {', '.join(choices)}")
        for name in ("slope", "base", "peak"):
            if getattr(self, name) < 0:
                raise ValueError(f"mixed loss: {name} must not be negative, got {getattr(self, name)}")
        if self.dead <= self.peak:
            raise ValueError(f"mixed loss: dead must be above peak = {self.peak}, got {self.dead}")

    @property
    def uses_ground_truth(self) -> bool:
        """Whether data may count at all: every weight is a multiple of ``base``."""
        return self.base > 0


@dataclass
class MixedLoss:
    """The loss of one batch and what it consists of. All but ``total`` are per sample (B,) and detached."""

    total: Float[Tensor, ""]
    """Mean over the batch of ``distill + weight * ground_truth``, a scalar with gradient."""
    distill: PerSample
    ground_truth: PerSample
    """NaN where the student was not asked."""
    ratio: PerSample
    """``ground_truth / distill``; infinite where only ``distill`` is zero, zero where both are."""
    weight: PerSample


def adaptive_weight(ratio: PerSample, config: MixedLossConfig) -> PerSample:
    """Weight of the ground-truth loss, detached, at ratio ``L_gt / L_distill``.

    ``W0 R^s`` below the peak, then linearly down to zero at the dead threshold. An infinite ratio (nothing left to
    distill) weighs zero. ``fixed`` weighs W0 everywhere.

    Source: FADA eq. 8.
    """
    ratio = ratio.detach()
    if config.weighting == "fixed":
        return torch.full_like(ratio, config.base)
    rising = config.base * ratio**config.slope
    if config.weighting == "adaptive_unlimited":
        return torch.where(torch.isinf(ratio), torch.zeros_like(ratio), rising)
    top = config.base * config.peak**config.slope
    falling = top * (config.dead - ratio) / (config.dead - config.peak)
    limited = torch.where(ratio < config.peak, rising, falling)
    return torch.where(ratio < config.dead, limited, torch.zeros_like(ratio))


def mixed_loss(
    prediction_distill: Tensor,
    target_distill: Tensor,
    prediction_gt: Tensor,
    target_gt: Tensor,
    config: MixedLossConfig,
    eta: PerSample | None,
    keys: Sequence[str],
) -> MixedLoss:
    """The loss of one batch, in float32 or better.

    Args:
        prediction_distill, target_distill: (B, ...), the student on the teacher's chord and its target.
        prediction_gt, target_gt: (B, ...), the same on the chord of data and noise.
        eta: (B,) of each sample's window; needed for ``loss_space: endpoint`` only.
        keys: names of the B samples, for errors.

    Raises:
        NonFiniteLoss: some sample's loss is NaN or infinite; the message names it.
        ValueError: the number of keys is not B, or endpoint space without eta.
    """
    distill = _error(prediction_distill, target_distill, config, eta, keys)
    ground_truth = _error(prediction_gt, target_gt, config, eta, keys)
    _refuse_non_finite(distill.detach(), ground_truth.detach(), keys)
    ratio = _ratio(ground_truth.detach(), distill.detach())
    weight = adaptive_weight(ratio, config)
    total = (distill + weight * ground_truth).mean()
    return MixedLoss(total, distill.detach(), ground_truth.detach(), ratio, weight)


def distillation_loss(
    prediction: Tensor, target: Tensor, config: MixedLossConfig, eta: PerSample | None, keys: Sequence[str]
) -> MixedLoss:
    """The mixed loss of a config that does not use ground truth, and needs no prediction of it.

    Raises:
        NonFiniteLoss, ValueError: as ``mixed_loss``.
    """
    distill = _error(prediction, target, config, eta, keys)
    known, none = distill.detach(), torch.zeros_like(distill)
    _refuse_non_finite(known, none, keys)
    unknown = torch.full_like(known, torch.nan)
    return MixedLoss(distill.mean(), known, unknown, unknown, none)


def _error(
    prediction: Tensor, target: Tensor, config: MixedLossConfig, eta: PerSample | None, keys: Sequence[str]
) -> PerSample:
    """Squared error per sample (B,) in the config's loss space."""
    if len(keys) != len(prediction):
        raise ValueError(f"mixed loss: {len(prediction)} samples need as many keys, got {len(keys)}")
    error = squared_error(prediction, target)
    if config.loss_space == "prediction":
        return error
    if eta is None:
        raise ValueError("mixed loss: loss_space endpoint needs eta of each sample's window, got None")
    return error * eta.to(error) ** 2


def squared_error(prediction: Tensor, target: Tensor) -> PerSample:
    """Mean squared error per sample (B,), float32 or better; no gradient into the target."""
    if prediction.shape != target.shape:
        raise ValueError(
            f"mixed loss: prediction {tuple(prediction.shape)} and target {tuple(target.shape)} differ in shape"
        )
    dtype = torch.promote_types(prediction.dtype, torch.float32)
    return (prediction.to(dtype) - target.detach().to(dtype)).square().flatten(1).mean(dim=1)


def _ratio(ground_truth: PerSample, distill: PerSample) -> PerSample:
    ratio = ground_truth / distill
    return torch.where((ground_truth == 0) & (distill == 0), torch.zeros_like(ratio), ratio)


def _refuse_non_finite(distill: PerSample, ground_truth: PerSample, keys: Sequence[str]) -> None:
    is_bad = ~(torch.isfinite(distill) & torch.isfinite(ground_truth))
    if not bool(is_bad.any()):
        return
    names = [
        f"{keys[index]} (distill {distill[index].item():g}, ground truth {ground_truth[index].item():g})"
        for index in is_bad.nonzero().flatten().tolist()
    ]
    raise NonFiniteLoss(
        f"mixed loss: not finite for {', '.join(names)}; look at these samples' latents, lower the learning rate, "
        "or keep the networks' outputs in bfloat16 instead of float16"
    )
