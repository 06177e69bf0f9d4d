"""The students: a teacher's copy of its own family, with CFG layers that carry the guidance scales."""

from __future__ import annotations

import copy
from typing import Any

import torch
from diffusers.configuration_utils import register_to_config
from diffusers.models.modeling_utils import ModelMixin  # noqa: F401  (DiffusionPipeline looks for it in this module)
from torch import Tensor, nn

from fada.student.guidance import GuidanceMode, ScalesInside
from fada.teacher.dual_unet.model import RUNGS, DualUNet
from fada.teacher.dual_unet.unets import EVERYWHERE, SD15_ATTENTION, SD15_CHANNELS, DenoisingUNet
from fada.teacher.hallo.model import Hallo
from fada.teacher.hallo.unets import HalloDenoisingUNet

CLIMBS = len(RUNGS) - 1


class StudentUNet(ScalesInside, DenoisingUNet):
    """A denoising net that is told the scales (method.md, section 5); with mode `none` it is the teacher's own."""

    @register_to_config
    def __init__(
        self,
        in_channels: int = 4,
        channels: tuple[int, ...] = SD15_CHANNELS,
        layers_per_block: int = 2,
        heads: int = 8,
        attention_levels: tuple[bool, ...] = SD15_ATTENTION,
        temporal_levels: tuple[bool, ...] = EVERYWHERE,
        norm_groups: int = 32,
        has_places: bool = False,
        audio_dim: int = 768,
        max_frames: int = 32,
        guidance_mode: GuidanceMode = "tokens",
        guidance_tokens: int = 4,
        num_windows: int = 4,
    ) -> None:
        super().__init__(
            in_channels=in_channels,
            channels=channels,
            layers_per_block=layers_per_block,
            heads=heads,
            attention_levels=attention_levels,
            temporal_levels=temporal_levels,
            norm_groups=norm_groups,
            has_places=has_places,
            audio_dim=audio_dim,
            max_frames=max_frames,
        )
        self.add_scales(guidance_mode, len(RUNGS), guidance_tokens, audio_dim, heads, 4 * channels[0])


class HalloStudentUNet(ScalesInside, HalloDenoisingUNet):
    """Hallo's denoising net that is told the scales: a CFG layer after the audio attentions of every audio module."""

    @register_to_config
    def __init__(
        self,
        in_channels: int = 4,
        channels: tuple[int, ...] = SD15_CHANNELS,
        layers_per_block: int = 2,
        heads: int = 8,
        attention_levels: tuple[bool, ...] = SD15_ATTENTION,
        norm_groups: int = 32,
        token_dim: int = 768,
        audio_dim: int = 768,
        max_frames: int = 32,
        guidance_mode: GuidanceMode = "tokens",
        guidance_tokens: int = 4,
        num_windows: int = 4,
    ) -> None:
        super().__init__(
            in_channels=in_channels,
            channels=channels,
            layers_per_block=layers_per_block,
            heads=heads,
            attention_levels=attention_levels,
            norm_groups=norm_groups,
            token_dim=token_dim,
            audio_dim=audio_dim,
            max_frames=max_frames,
        )
        self.add_scales(guidance_mode, len(RUNGS), guidance_tokens, audio_dim, heads, 4 * channels[0])


class TrainedAtOnce(nn.Module):
    """What makes a family's model a student: one call from raw inputs to a prediction; a base beside that model's."""

    def forward(
        self,
        inputs: Any,
        latents: Tensor,
        t: Tensor,
        rung: Tensor | None = None,
        scales: Tensor | None = None,
        features: Any = None,
    ) -> Tensor:
        """Prediction of a training batch, from the family's inputs: one call, so that wrappers see all of it.

        `latents` (n B, F, C, H, W) may hold the B clips of `inputs` n times over, each time at another point: their
        conditions are prepared once. `features` of a shared, frozen reference net save its pass. `rung` (n B,) drops
        conditions, `scales` (n B, 2) are (reference, audio).
        """
        model: Any = self
        rows, clips = len(latents), len(inputs.reference)
        rungs = torch.full((rows,), CLIMBS) if rung is None else rung
        conditions = model.at_rungs(model.prepare(inputs, features), torch.arange(clips).repeat(rows // clips), rungs)
        return model.evaluate(latents, t, model.denoising_unet.told(conditions, scales))


class Student(TrainedAtOnce, DualUNet):  # type: ignore[misc]  # its call is a student's
    """A dual UNet whose denoising net is a student; one pass predicts what the guided ladder would."""

    denoising_unet: StudentUNet


class HalloStudent(TrainedAtOnce, Hallo):
    """A Hallo whose denoising net is a student."""

    denoising_unet: HalloStudentUNet


AnyTeacher = DualUNet | Hallo
AnyStudent = Student | HalloStudent
STUDENTS: dict[type[nn.Module], tuple[type[AnyStudent], type[StudentUNet | HalloStudentUNet]]] = {
    DualUNet: (Student, StudentUNet),
    Student: (Student, StudentUNet),
    Hallo: (HalloStudent, HalloStudentUNet),
    HalloStudent: (HalloStudent, HalloStudentUNet),
}
"""Family → the classes of its students."""


def student_of(teacher: AnyTeacher, mode: GuidanceMode, tokens: int, num_windows: int) -> AnyStudent:
    """A student that starts as the teacher's copy, bit for bit the teacher's conditional prediction.

    The networks in front of the denoising net (`reference_side`) are the teacher's own objects: frozen, they
    are shared; copy them to train them.
    """
    student, network = STUDENTS[type(teacher)]
    config = {key: value for key, value in teacher.denoising_unet.config.items() if not key.startswith("_")}
    known = {"guidance_mode": mode, "guidance_tokens": tokens, "num_windows": num_windows}
    denoiser = network(**{**config, **known}).to(teacher.dtype)
    missing, unexpected = denoiser.load_state_dict(teacher.denoising_unet.state_dict(), strict=False)
    unexplained = [key for key in missing if not is_guidance_key(key)]
    if unexplained:
        raise ValueError(f"the student lacks weights for {', '.join(unexplained[:5])}")
    dropped = [key for key in unexpected if not is_guidance_key(key)]
    if dropped:
        raise ValueError(f"the student has no place for {', '.join(dropped[:5])}")
    own = {"denoising_unet": denoiser, "audio_projection": copy.deepcopy(teacher.audio_projection)}
    return student(**{**teacher.components(), **own}, path=teacher.path, **teacher.settings())


def is_guidance_key(key: str) -> bool:
    """Whether a parameter belongs to the layers that a student adds to its teacher."""
    return any(part in key for part in (".guidance.", "scale_tokens.", "scale_embedding.", "time_guidance."))


def neutral_scales(batch: int, device: torch.device | None = None) -> Tensor:
    """Scales (1, 1): the plain conditional prediction."""
    return torch.ones(batch, CLIMBS, device=device)
