"""What released PeRFlow checkpoints predict, turned into the noise prediction of the window (forms.py).

Source: the public PeRFlow code, ``src/scheduler_perflow.py``. Its ``ddim_eps`` is our eps form. Like that, both forms
here are constant over a window whose ends lie on a path with betas:

- ``diff_eps``: ``z_end = lambda z_start + eta prediction``, lambda of the eps form and ``eta = -sqrt(lambda^2 - 1)``,
  the noise between the two ends; it differs from the eps form by one factor per window.
- ``velocity``: ``z_end = z_start + (t_end - t_start) prediction``.
"""

from torch import Tensor

from fada.diffusion.forms import lambda_eta
from fada.diffusion.paths import NoisePath, per_sample
from fada.diffusion.shapes import Latents, PerSample


def noise_of_diff_eps(path: NoisePath, prediction: Latents, t_start: PerSample, t_end: PerSample) -> Tensor:
    """The noise prediction (B, ...) that a ``diff_eps`` prediction means in the windows from ``t_start`` to ``t_end``.

    Raises:
        ValueError: a window starts without signal.
    """
    slope, gain = lambda_eta(path, t_start, t_end)
    return per_sample(-(slope**2 - 1.0).sqrt() / gain, prediction) * prediction


def noise_of_velocity(
    path: NoisePath, prediction: Latents, z_t: Latents, t: PerSample, t_start: PerSample, t_end: PerSample
) -> Tensor:
    """The noise prediction (B, ...) that the chord's velocity at ``z_t`` means.

    Raises:
        ValueError: a window starts without signal.
    """
    slope, gain = lambda_eta(path, t_start, t_end)
    now, start, end = t.double(), t_start.double(), t_end.double()
    # z_start is where the chord through z_t began: eps = (z_end - lambda z_start) / eta of z_end = z_start + ... .
    keep, turn = (1.0 - slope) / gain, ((end - start) - (1.0 - slope) * (now - start)) / gain
    return per_sample(keep, z_t) * z_t + per_sample(turn, z_t) * prediction
