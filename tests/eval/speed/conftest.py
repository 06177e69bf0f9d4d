"""A training that is small enough to be measured in a test: the tiny teacher, its student, random clips."""

from __future__ import annotations

import pytest
import torch

from fada.data.sampling.dataset import BatchShape, ClipSampler, LatentClip
from fada.eval.speed.steps import StepsSetting
from fada.student.copies import student_of
from fada.student.distillation import DistillSettings
from fada.student.mixed_loss import MixedLossConfig
from fada.teacher.denoiser import AvatarDenoiser
from fada.teacher.dual_unet.model import DualUNet


@pytest.fixture
def sampler() -> ClipSampler:
    """Two random clips, samples of three frames."""
    generator = torch.Generator().manual_seed(3)

    def randn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    clips = [LatentClip(f"clip-{index}", "A", randn(9, 4, 8, 8), randn(9, 1, 12)) for index in range(2)]
    return ClipSampler(clips, frames=3, motion_frames=2, context=2)


@pytest.fixture
def settings() -> DistillSettings:
    """Scales at which no branch falls away, and a solver of our own."""
    return DistillSettings(
        guidance="distill", windows=4, times="uniform", solver="dpmpp_2m_log_snr", solver_steps=4,
        scales=((2.0, 3.0), (4.0, 9.0)), motion_drop=0.3, loss=MixedLossConfig(),
        gt_guidance="neutral", seed=0,
    )  # fmt: skip


@pytest.fixture
def small_teacher(dual_unet: DualUNet) -> DualUNet:
    """The tiny teacher in float32, as training runs it."""
    return dual_unet.float()


@pytest.fixture
def student(small_teacher: DualUNet) -> AvatarDenoiser:
    """Its student, CFG layers shaken."""
    torch.manual_seed(0)
    made = student_of(small_teacher, "tokens", 2)
    for parameter in made.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.2)
    return made


@pytest.fixture
def setting(settings: DistillSettings) -> StepsSetting:
    """Two samples a step; a cached window for every fourth sample."""
    return StepsSetting(settings, BatchShape(2), torch.float32, cached_share=0.25, is_compiled=False)
