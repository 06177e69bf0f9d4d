"""Networks that are formulas: what teachers and students are made of, answering for Gaussian data, noting every call.

They stand in the places of a dual UNet's networks; everything around them (branches, scales, times, samplers) is
fada's. A clip's mean per frame is a number of what the networks are given, another one at every branch: a condition
that is dropped, swapped, scaled or taken from another frame shows in the latents. Nothing is fada's that is a formula.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from gaussian_formulas import Formulas, combined
from torch import Tensor, nn

from fada.diffusion.paths import NoisePath
from fada.student.guidance import GuidanceLayers
from fada.teacher.dual_unet.audio_projection import AudioProjection
from fada.teacher.dual_unet.model import DualUNet
from fada.teacher.dual_unet.unets import DenoisingUNet, ReferenceUNet

NOTHING_MEAN = 0.3
MOTION_WEIGHTS = (0.05, 0.2)
AUDIO_WEIGHTS = (0.1, -0.2, 0.5, 0.3, -0.15)
SHAPE = {"channels": (8, 16), "layers_per_block": 1, "heads": 2, "norm_groups": 4,
         "attention_levels": (False, True), "temporal_levels": (True, True)}  # fmt: skip


@dataclass(frozen=True)
class Call:
    """One pass of the denoising net: latents as given, times by the timesteps, which rows, what they are told."""

    latents: Tensor
    t: Tensor
    clips: list[int]
    branches: list[int]
    scales: Tensor | None
    means: Tensor
    use_temporal: bool


@dataclass(frozen=True)
class GaussianConditions:
    """Means (B, F, 3) of clips at every branch; behind `expand` of rows, with the clip and the branch of each."""

    means_of_branches: Tensor
    clips: list[int]
    branches: list[int]
    time: Tensor | None = None

    def expand(self, clips: Tensor, branches: Tensor) -> GaussianConditions:
        """Rows of clips at branches."""
        return replace(
            self, means_of_branches=self.means_of_branches[clips], clips=clips.tolist(), branches=branches.tolist()
        )

    def means(self) -> Tensor:
        """Of rows (rows, F): at their branch, or combined by the scales that they are told."""
        if self.time is not None:
            assert set(self.branches) == {2}
            return combined(self.means_of_branches, self.time.double())
        return torch.stack([row[:, branch] for row, branch in zip(self.means_of_branches, self.branches, strict=True)])


def branch_means(
    reference: Tensor, audio: Tensor, motion: Tensor | None = None, has_motion: Tensor | None = None
) -> Tensor:
    """Means (B, F, 3) of reference latents (B, C, h, w), audio windows (B, F, 5, layers, dim) and motion frames
    (B, 2, C, h, w): motion belongs to every branch."""
    nothing = torch.full(audio.shape[:2], NOTHING_MEAN, dtype=torch.float64)
    if motion is not None:
        moved = motion.double().mean((2, 3, 4)) @ torch.tensor(MOTION_WEIGHTS[-motion.shape[1] :]).double()
        nothing = nothing + (moved if has_motion is None else moved * has_motion)[:, None]
    seen = nothing + reference.double().mean((1, 2, 3))[:, None]
    heard = seen + audio.double().mean((3, 4)) @ torch.tensor(AUDIO_WEIGHTS).double()
    return torch.stack([nothing, seen, heard], dim=-1)


class GaussianReference(ReferenceUNet):
    """Hands on what it is given, and notes it."""

    def forward(self, reference: Tensor, motion: Tensor | None) -> Any:
        self.__dict__.setdefault("calls", []).append((reference, motion))
        return reference, motion


class GaussianAudio(AudioProjection):
    """Hands on the windows, and notes them."""

    def forward(self, windows: Tensor) -> Tensor:
        self.__dict__.setdefault("calls", []).append(windows)
        return windows


class GaussianUNet(DenoisingUNet):
    """A teacher's or a student's denoising net.

    formulas: of its form; windows: how many a perfect student has, None is a predictor on the noise path; gain: what
    every answer is multiplied by, a weight.
    """

    def set_up(self, formulas: Formulas, windows: int | None) -> None:
        self.formulas, self.windows = formulas, windows
        self.calls: list[Call] = []
        self.told_motion: list[tuple[Tensor | None, Tensor | None]] = []
        self.gain = nn.Parameter(torch.ones((), dtype=torch.float64))

    def contexts(self, features: Any, audio_tokens: Tensor, has_motion: Tensor | None) -> GaussianConditions:
        reference, motion = features
        self.told_motion.append((motion, has_motion))
        means_of_branches = branch_means(reference, audio_tokens, motion, has_motion)
        count = len(means_of_branches)
        return GaussianConditions(means_of_branches, list(range(count)), [2] * count)

    def forward(
        self, latents: Tensor, timestep: Tensor, conditions: GaussianConditions, use_temporal: bool = True
    ) -> Tensor:
        means, t = conditions.means(), (timestep.double() + 1) / 1000
        self.calls.append(
            Call(
                latents.detach().clone(), t, conditions.clips, conditions.branches, conditions.time, means, use_temporal
            )
        )
        if self.windows is None:
            return self.gain * self.formulas.perfect(latents, t, means)
        start, end = self.formulas.window(t, self.windows)
        return self.gain * self.formulas.perfect_student(latents, t, start, end, means)


def path_of(formulas: Formulas) -> NoisePath:
    """The noise path whose formulas these are."""
    if formulas.form == "v_prediction":
        return NoisePath("v_prediction", beta_schedule="linear", rescale_betas_zero_snr=True)
    return NoisePath(formulas.form)  # type: ignore[arg-type]


def gaussian_teacher(formulas: Formulas, width: int = 6) -> DualUNet:
    """A teacher whose denoising net is the perfect predictor; width: of an audio state."""
    net = GaussianUNet(**SHAPE, audio_dim=8, max_frames=16)
    net.set_up(formulas, None)
    parts = GaussianReference(**SHAPE), net, GaussianAudio(5, 1, width, 16, 2, 8)
    return DualUNet(*parts, path_of(formulas)).double()


def gaussian_student(
    teacher: DualUNet, windows: int | None = None, is_told: bool = False, gain: float = 1.0
) -> DualUNet:
    """A student: perfect in its windows, or a copy of the teacher; told its scales or not.

    What is told enters where scales are added to the time embedding: they come as they are.
    """
    net = GaussianUNet(**SHAPE, audio_dim=8, max_frames=16).double()
    net.set_up(teacher.denoising_unet.formulas, windows)  # type: ignore[attr-defined]
    net.gain.data.fill_(gain)
    layers = None
    if is_told:
        layers = GuidanceLayers("time_embed").double()
        layers.time_guidance = nn.Identity()  # type: ignore[assignment]
        # A pipeline asks every network where it lies.
        layers.register_buffer("place", torch.zeros(()), persistent=False)
    return DualUNet(teacher.reference_unet, net, teacher.audio_projection, teacher.path, layers)


def calls_of(model: nn.Module) -> list[Call]:
    """What a model's denoising net was asked."""
    return model.denoising_unet.calls  # type: ignore[no-any-return, union-attr]
