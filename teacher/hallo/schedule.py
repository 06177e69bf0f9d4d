"""Hallo's noise path and steps, as the public scripts set them."""

from __future__ import annotations

from diffusers import DDIMScheduler

from fada.diffusion.paths import BetaSchedule


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
