"""V-Express's released noise path."""

from __future__ import annotations

from diffusers import DDIMScheduler


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
