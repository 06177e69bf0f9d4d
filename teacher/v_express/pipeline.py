"""V-Express's networks as a diffusers pipeline: a folder to load from, and a video's latents by the guided ladder.

Latents in, latents out: finding eyes and nose in pictures is the caller's.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Self, cast

import torch
from diffusers import AutoencoderKL, DDIMScheduler, DiffusionPipeline
from torch import Tensor
from transformers import Wav2Vec2Model

from fada.diffusion.paths import NoisePath
from fada.diffusion.solvers import Solver, solve
from fada.pretrained.pipelines import Component, Components, open_pipeline
from fada.pretrained.wav2vec2 import load_wav2vec2
from fada.teacher.guidance import guided
from fada.teacher.hallo.projections import FaceLocator
from fada.teacher.v_express.attention import BranchWeights
from fada.teacher.v_express.audio_projection import AudioResampler
from fada.teacher.v_express.conditions import VExpressInputs
from fada.teacher.v_express.model import RELEASED_WEIGHTS, VExpress
from fada.teacher.v_express.unets import VExpressDenoisingUNet, VExpressReferenceUNet


class VExpressPipeline(DiffusionPipeline):
    """V-Express as a frozen teacher.

    Args:
        scheduler: the noise path; `v_express_scheduler` makes the released one.
        vae, audio_encoder: not needed for latents; None where they were not imported.
        reference_weight, audio_weight: of the two attentions, as the public script runs them; training had 1 and 1.
        frames, overlap, fps, steps: of a context and a video, as released.
        reference_scale, audio_scale: equal, they are V-Express's one guidance scale.
    """

    _optional_components = ["vae", "audio_encoder"]  # noqa: RUF012 - diffusers' own form
    components_table: ClassVar[Components] = {
        "reference_unet": Component((VExpressReferenceUNet,)),
        "denoising_unet": Component((VExpressDenoisingUNet,)),
        "audio_projection": Component((AudioResampler,)),
        "keypoint_guider": Component((FaceLocator,)),
        "scheduler": Component((DDIMScheduler,)),
        "vae": Component((AutoencoderKL,), is_optional=True),
        "audio_encoder": Component((Wav2Vec2Model,), load_wav2vec2, is_optional=True),
    }

    def __init__(
        self,
        reference_unet: VExpressReferenceUNet,
        denoising_unet: VExpressDenoisingUNet,
        audio_projection: AudioResampler,
        keypoint_guider: FaceLocator,
        scheduler: DDIMScheduler,
        vae: AutoencoderKL | None = None,
        audio_encoder: Wav2Vec2Model | None = None,
        reference_weight: float = RELEASED_WEIGHTS.reference,
        audio_weight: float = RELEASED_WEIGHTS.audio,
        frames: int = 24,
        overlap: int = 4,
        fps: float = 30.0,
        steps: int = 25,
        reference_scale: float = 3.5,
        audio_scale: float = 3.5,
    ) -> None:
        super().__init__()
        self.register_modules(
            reference_unet=reference_unet,
            denoising_unet=denoising_unet,
            audio_projection=audio_projection,
            keypoint_guider=keypoint_guider,
            scheduler=scheduler,
            vae=vae,
            audio_encoder=audio_encoder,
        )
        self.register_to_config(
            reference_weight=reference_weight,
            audio_weight=audio_weight,
            frames=frames,
            overlap=overlap,
            fps=fps,
            steps=steps,
            reference_scale=reference_scale,
            audio_scale=audio_scale,
        )
        self.model = VExpress(
            reference_unet,
            denoising_unet,
            audio_projection,
            keypoint_guider,
            NoisePath.from_config(scheduler.config),
            weights=BranchWeights(reference_weight, audio_weight),
            frames=frames,
            overlap=overlap,
        )

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **options: Any) -> Self:
        """Load what `save_pretrained` wrote, from a folder of this machine; the folder's own code is never run.

        Args:
            options: components and settings in place of the folder's, and `torch_dtype` and `variant` of its weights.

        Raises:
            ModelFolderError: the folder holds another pipeline or is damaged, or names what is not permitted.
        """
        return cast(Self, open_pipeline(cls, pretrained_model_name_or_path, cls.components_table, **options))

    @torch.no_grad()
    def __call__(
        self,
        inputs: VExpressInputs,
        noise: Tensor,
        *,
        steps: int | None = None,
        reference_scale: float | None = None,
        audio_scale: float | None = None,
        solver: Solver = "ddim",
        on_step: Callable[[int], None] | None = None,
    ) -> Tensor:
        """Latents (B, F, C, h, w) in float32 of videos, from noise of that shape."""
        config = self.config
        scales = torch.tensor(
            [[config.reference_scale if reference_scale is None else reference_scale,
              config.audio_scale if audio_scale is None else audio_scale]]
        )  # fmt: skip
        predict = guided(self.model, self.model.prepare(inputs), scales)
        ones = torch.ones(len(noise), dtype=torch.float64)
        steps = config.steps if steps is None else steps
        return solve(predict, self.model.path, noise, ones, 0 * ones, steps, solver, on_step)


def v_express_scheduler() -> DDIMScheduler:
    """The released sampler, in training too: scaled-linear betas, v-prediction, zero terminal SNR, trailing steps."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        steps_offset=1,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
    )
