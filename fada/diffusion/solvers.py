"""Solvers of the probability-flow ODE: from z at t_start to z at t_end with a given predictor.

Used for the teacher's way through one window (training) and for its whole way from noise to data (sampling).
Samples of a batch may travel between different times.
"""

from collections.abc import Callable
from typing import Literal, get_args

import torch
from jaxtyping import Float64
from torch import Tensor

from fada.diffusion.paths import NoisePath, per_sample
from fada.diffusion.shapes import Latents, PerSample
from fada.diffusion.spacing import Spacing, spaced_points

Predict = Callable[[Latents, PerSample], Latents]
"""``predict(z, t)`` with z (B, ...) and t (B,): the raw, already guided, prediction of the path's type."""

Solver = Literal["ddim", "dpmpp_2m", "dpmpp_2m_log_snr"]


def solve(
    predict: Predict,
    path: NoisePath,
    z: Latents,
    t_start: PerSample,
    t_end: PerSample,
    steps: int,
    solver: Solver = "ddim",
    on_step: Callable[[int], None] | None = None,
    spacing: Spacing = "time",
) -> Latents:
    """z at ``t_end``, by ``steps`` evaluations of ``predict``.

    Args:
        predict: may answer in half precision; its z is float32 (float64 if ``z`` is).
        z: (B, ...), at ``t_start`` on the path.
        t_start, t_end: (B,), ``t_start > t_end``; best on the CPU: choosing steps looks at their values.
        solver: ``ddim`` is first order (on a flow path it is Euler's method); ``dpmpp_2m`` is DPM-Solver++ 2M, second
            order with as many evaluations, first order in its first step and after a start without signal;
            ``dpmpp_2m_log_snr`` is the same at equal steps of log-SNR instead of time, whatever ``spacing``: near
            the data, where time is a bad clock, it is several times nearer to the solution.
        on_step: called after each step with the number of finished steps.
        spacing: of which clock steps are equal parts, see ``spaced_points``.

    Returns:
        (B, ...) in float32, or in float64 if ``z`` is float64.

    Raises:
        ValueError: unknown solver or spacing, no steps, or noise prediction where no signal is left.

    Source: DDIM (arXiv 2010.02502), DPM-Solver++ (arXiv 2211.01095), algorithm 2.
    """
    if solver not in get_args(Solver):
        raise ValueError(f"solver: got {solver!r}; choose from {', '.join(get_args(Solver))}")
    z = z.to(torch.promote_types(z.dtype, torch.float32))
    points = spaced_points(path, t_start, t_end, steps, "log_snr" if solver == "dpmpp_2m_log_snr" else spacing)
    if path.is_flow:
        # Flow has no table to round to: the first point must be where z lies.
        points[0] = t_start
    previous_clean: Tensor | None = None
    for step in range(steps):
        t, t_next = points[step], points[step + 1]
        clean, noise = path.to_clean_and_noise(predict(z, t).to(z.dtype), z, t)
        if solver == "ddim" or previous_clean is None:
            signal_next, noise_next = path.signal_noise(t_next, like=z)
            z = signal_next * clean + noise_next * noise
        else:
            z = _second_order_step(path, z, clean, previous_clean, points[step - 1 : step + 2])
        previous_clean = clean
        if on_step is not None:
            on_step(step + 1)
    return z


def _second_order_step(
    path: NoisePath, z: Latents, clean: Latents, previous_clean: Latents, times: Float64[Tensor, "three batch"]
) -> Latents:
    """One multistep step in data-prediction form, from ``times[1]`` to ``times[2]``; times are (3, B)."""
    signal, noise = zip(*(path.signal_noise(time) for time in times), strict=True)
    log_snr = [torch.log(a) - torch.log(c) for a, c in zip(signal, noise, strict=True)]
    # 1 / (2 r) of the paper: half this step in units of the one before. A start without signal makes it zero.
    weight = (log_snr[2] - log_snr[1]) / (2.0 * (log_snr[1] - log_snr[0]))
    # Near t = 0 equal steps in t explode in log-SNR; extrapolating further than one step overshoots (worse than DDIM).
    weight = torch.nan_to_num(weight, nan=0.0, posinf=1.0).clamp(max=1.0)
    # c'/c and a' - a c'/c in place of exponentials of log-SNR differences: finite at both ends.
    keep = noise[2] / noise[1]
    gain = signal[2] - signal[1] * keep

    extrapolated = clean + per_sample(weight, z) * (clean - previous_clean)
    return per_sample(keep, z) * z + per_sample(gain, z) * extrapolated
