"""Hallo's networks as a diffusers pipeline: a folder to load from, and a clip's latents by the guided ladder.

Latents in, latents out: what Hallo needs beside a picture and sound (face embedding, masks) is the caller's.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from diffusers import AutoencoderKL, DDIMScheduler, DiffusionPipeline
from torch import Tensor
from transformers import Wav2Vec2Model

from fada.diffusion.paths import BetaSchedule, NoisePath
from fada.diffusion.solvers import Solver, solve
from fada.teacher.dual_unet.audio_projection import AudioProjection
from fada.teacher.guidance import guided
from fada.teacher.hallo.conditions import BankTiling, HalloInputs
from fada.teacher.hallo.model import Hallo
from fada.teacher.hallo.projections import FaceLocator, FaceProjection
from fada.teacher.hallo.unets import HalloDenoisingUNet, HalloReferenceUNet


class HalloPipeline(DiffusionPipeline):
    """Hallo as a frozen teacher.

    Args:
        scheduler: the noise path; `hallo_scheduler` makes the released one.
        vae, audio_encoder: not needed for latents; None where they were not imported.
        frames, motion_frames, fps, steps: of a clip, as released.
        reference_scale, audio_scale: equal, they are Hallo's one guidance scale.
    """

    _optional_components = ["vae", "audio_encoder"]  # noqa: RUF012 - diffusers' own form

    def __init__(
        self,
        reference_unet: HalloReferenceUNet,
        denoising_unet: HalloDenoisingUNet,
        audio_projection: AudioProjection,
        face_projection: FaceProjection,
        face_locator: FaceLocator,
        scheduler: DDIMScheduler,
        vae: AutoencoderKL | None = None,
        audio_encoder: Wav2Vec2Model | None = None,
        bank_tiling: BankTiling = "released",
        frames: int = 16,
        motion_frames: int = 2,
        fps: float = 25.0,
        steps: int = 40,
        reference_scale: float = 3.5,
        audio_scale: float = 3.5,
    ) -> None:
        super().__init__()
        self.register_modules(
            reference_unet=reference_unet,
            denoising_unet=denoising_unet,
            audio_projection=audio_projection,
            face_projection=face_projection,
            face_locator=face_locator,
            scheduler=scheduler,
            vae=vae,
            audio_encoder=audio_encoder,
        )
        self.register_to_config(
            bank_tiling=bank_tiling,
            frames=frames,
            motion_frames=motion_frames,
            fps=fps,
            steps=steps,
            reference_scale=reference_scale,
            audio_scale=audio_scale,
        )
        self.model = Hallo(
            reference_unet,
            denoising_unet,
            audio_projection,
            face_projection,
            face_locator,
            NoisePath.from_config(scheduler.config),
            bank_tiling=bank_tiling,
            motion_frames=motion_frames,
        )

    @torch.no_grad()
    def __call__(
        self,
        inputs: HalloInputs,
        noise: Tensor,
        *,
        steps: int | None = None,
        reference_scale: float | None = None,
        audio_scale: float | None = None,
        solver: Solver = "ddim",
        on_step: Callable[[int], None] | None = None,
    ) -> Tensor:
        """Latents (B, F, C, h, w) in float32 of clips, from noise of that shape."""
        config = self.config
        scales = torch.tensor(
            [[config.reference_scale if reference_scale is None else reference_scale,
              config.audio_scale if audio_scale is None else audio_scale]]
        )  # fmt: skip
        predict = guided(self.model, self.model.prepare(inputs), scales)
        ones = torch.ones(len(noise), dtype=torch.float64, device=noise.device)
        steps = config.steps if steps is None else steps
        return solve(predict, self.model.path, noise, ones, 0 * ones, steps, solver, on_step)


def hallo_scheduler(betas: BetaSchedule = "linear") -> DDIMScheduler:
    """The released sampler: v-prediction, zero terminal SNR, trailing steps; training had scaled-linear betas."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule=betas,
        clip_sample=False,
        steps_offset=1,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
    )
