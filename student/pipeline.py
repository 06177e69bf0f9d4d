"""The families' pipelines: which networks there are, and what a clip of theirs is."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from diffusers import AutoencoderKL

from fada.data.audio_features import load_audio_encoder
from fada.diffusion.paths import NoisePath
from fada.diffusion.scheduler import PeRFlowScheduler
from fada.pretrained.networks import read_config
from fada.pretrained.pipelines import INDEX, Component, Components
from fada.pretrained.settings import shortly
from fada.pretrained.shipped import located
from fada.student.generation import AvatarPipeline
from fada.student.guidance import GuidanceLayers
from fada.student.network import HalloStudentUNet, StudentUNet, apart
from fada.teacher.dual_unet.audio_projection import AudioProjection
from fada.teacher.dual_unet.model import DualUNet
from fada.teacher.dual_unet.unets import DenoisingUNet, ReferenceUNet
from fada.teacher.face_space import FaceSpace
from fada.teacher.hallo.conditions import BankTiling
from fada.teacher.hallo.model import Hallo
from fada.teacher.hallo.projections import FaceLocator, FaceProjection
from fada.teacher.hallo.unets import HalloDenoisingUNet, HalloReferenceUNet

VAE = Component((AutoencoderKL,))
AUDIO_ENCODER = Component(load=load_audio_encoder)
SCHEDULER = Component((PeRFlowScheduler,))
FACE_SPACE = Component((FaceSpace,), is_optional=True)
GUIDANCE_LAYERS = Component((GuidanceLayers,), is_optional=True)


class FadaPipeline(AvatarPipeline):
    """FADA's dual UNet.

    Args:
        guidance_layers: of a student that has the guidance scales inside.
        scheduler: the noise path, and for a student its windows.
        face_space: which portraits it knows; None where nobody has told.
        frames, motion_frames, context, fps, size: of a clip, as in the recipe it was trained with.
        steps, audio_scale, reference_scale, guidance: defaults of a call.
        gamma: of a trajectory-consistency student, see `sample_trajectory`; None for any other.
    """

    _optional_components = ["face_space", "guidance_layers"]  # noqa: RUF012 - diffusers' own form
    components_table: ClassVar[Components] = {
        "vae": VAE,
        "reference_unet": Component((ReferenceUNet,)),
        "denoising_unet": Component((DenoisingUNet, StudentUNet)),
        "audio_projection": Component((AudioProjection,)),
        "audio_encoder": AUDIO_ENCODER,
        "scheduler": SCHEDULER,
        "face_space": FACE_SPACE,
        "guidance_layers": GUIDANCE_LAYERS,
    }

    def __init__(
        self,
        vae: AutoencoderKL,
        reference_unet: ReferenceUNet,
        denoising_unet: DenoisingUNet,
        audio_projection: AudioProjection,
        audio_encoder: Any,
        scheduler: PeRFlowScheduler,
        face_space: FaceSpace | None = None,
        guidance_layers: GuidanceLayers | None = None,
        frames: int = 12,
        motion_frames: int = 2,
        context: int = 2,
        fps: float = 25.0,
        size: int = 512,
        steps: int = 25,
        audio_scale: float = 6.5,
        reference_scale: float = 2.5,
        is_student: bool = False,
        gamma: float | None = None,
        guidance: str = "auto",
    ) -> None:
        super().__init__()
        denoising_unet, guidance_layers = apart(denoising_unet, guidance_layers)
        path = NoisePath.from_config(scheduler.config)
        self._register(
            DualUNet(reference_unet, denoising_unet, audio_projection, path, guidance_layers),
            vae,
            audio_encoder,
            scheduler,
            face_space,
            frames=frames,
            motion_frames=motion_frames,
            context=context,
            fps=fps,
            size=size,
            steps=steps,
            audio_scale=audio_scale,
            reference_scale=reference_scale,
            is_student=is_student,
            gamma=gamma,
            guidance=guidance,
        )


class HalloPipeline(AvatarPipeline):
    """Hallo and its students; calls and streams must be told of the face.

    Args:
        guidance_layers: of a student that has the guidance scales inside.
        scheduler: the noise path, and for a student its windows.
        face_space: which portraits it knows; None where nobody has told.
        vae, audio_encoder: None where they were not imported; such a pipeline cannot generate.
        bank_tiling: see `teacher/hallo/conditions.py`.
        frames, motion_frames, context, fps, size: of a clip, as released.
        steps, audio_scale, reference_scale, guidance: defaults of a call; equal scales are Hallo's one guidance scale.
        gamma: of a trajectory-consistency student, see `sample_trajectory`; None for any other.
    """

    needs_face = True
    _optional_components = ["vae", "audio_encoder", "face_space", "guidance_layers"]  # noqa: RUF012 - diffusers' own form
    components_table: ClassVar[Components] = {
        "reference_unet": Component((HalloReferenceUNet,)),
        "denoising_unet": Component((HalloDenoisingUNet, HalloStudentUNet)),
        "audio_projection": Component((AudioProjection,)),
        "face_projection": Component((FaceProjection,)),
        "face_locator": Component((FaceLocator,)),
        "scheduler": SCHEDULER,
        "vae": replace(VAE, is_optional=True),
        "audio_encoder": replace(AUDIO_ENCODER, is_optional=True),
        "face_space": FACE_SPACE,
        "guidance_layers": GUIDANCE_LAYERS,
    }

    def __init__(
        self,
        reference_unet: HalloReferenceUNet,
        denoising_unet: HalloDenoisingUNet,
        audio_projection: AudioProjection,
        face_projection: FaceProjection,
        face_locator: FaceLocator,
        scheduler: PeRFlowScheduler,
        vae: AutoencoderKL | None = None,
        audio_encoder: Any = None,
        face_space: FaceSpace | None = None,
        guidance_layers: GuidanceLayers | None = None,
        bank_tiling: BankTiling = "released",
        frames: int = 16,
        motion_frames: int = 2,
        context: int = 2,
        fps: float = 25.0,
        size: int = 512,
        steps: int = 40,
        audio_scale: float = 3.5,
        reference_scale: float = 3.5,
        is_student: bool = False,
        gamma: float | None = None,
        guidance: str = "auto",
    ) -> None:
        super().__init__()
        denoising_unet, guidance_layers = apart(denoising_unet, guidance_layers)
        networks = (reference_unet, denoising_unet, audio_projection, face_projection, face_locator)
        path = NoisePath.from_config(scheduler.config)
        self._register(
            Hallo(*networks, path, guidance_layers, bank_tiling=bank_tiling, motion_frames=motion_frames),
            vae,
            audio_encoder,
            scheduler,
            face_space,
            bank_tiling=bank_tiling,
            frames=frames,
            motion_frames=motion_frames,
            context=context,
            fps=fps,
            size=size,
            steps=steps,
            audio_scale=audio_scale,
            reference_scale=reference_scale,
            is_student=is_student,
            gamma=gamma,
            guidance=guidance,
        )


DIFFERENCE = "delta.json"
"""What describes a student's difference from its teacher (delta.py), in place of `model_index.json`."""
PIPELINES: dict[str, type[AvatarPipeline]] = {each.__name__: each for each in (FadaPipeline, HalloPipeline)}
"""Class names as `model_index.json` holds them."""


def open_pipeline(folder: str | Path, **options: Any) -> AvatarPipeline:
    """The pipeline that a folder holds (or the one of the package's that is named), of whatever family.

    Raises:
        ValueError: the folder holds no pipeline of this package.
    """
    index = located(Path(folder)) / INDEX
    if not index.is_file():
        what = (
            "a difference from a teacher; load_delta opens it" if (index.parent / DIFFERENCE).is_file() else "no model"
        )
        raise ValueError(f"{folder}: {what} (no {INDEX})")
    return pipeline_class(read_config(index.parent, INDEX), index).from_pretrained(index.parent, **options)


def default_settings(pipeline: type[AvatarPipeline]) -> dict[str, Any]:
    """Settings of a pipeline whose folder says nothing of them."""
    parameters = inspect.signature(pipeline.__init__).parameters.values()
    settings = [each for each in parameters if each.default is not each.empty]
    return {each.name: each.default for each in settings if each.name not in pipeline.components_table}


def pipeline_class(content: Mapping[str, Any], source: Path) -> type[AvatarPipeline]:
    """The class of this package that a `model_index.json` names.

    Raises:
        ValueError: it names none.
    """
    name = content.get("_class_name")
    if not isinstance(name, str) or name not in PIPELINES:
        raise ValueError(f"{source}: a {shortly(name)[1:-1]}; fada opens {', '.join(PIPELINES)}")
    return PIPELINES[name]
