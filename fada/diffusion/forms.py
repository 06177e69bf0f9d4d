"""The straight line inside a window, in eps, v, x0 and flow form.

In each form a window is a pair ``(lambda, eta)`` with ``z_end = lambda z_start + eta prediction``. A student's
prediction is constant over a window; its input walks the chord from z_start to z_end.

Source: FADA eq. 3 and 4 (eq. 3 as printed lacks ``+ z_start``); PeRFlow (arXiv 2405.07510).
All times are (B,): samples of a batch may sit in different windows.
"""

import torch

from fada.diffusion.paths import NoisePath, per_sample
from fada.diffusion.shapes import Latents, PerSample, PerSample64


def lambda_eta(path: NoisePath, t_start: PerSample, t_end: PerSample) -> tuple[PerSample64, PerSample64]:
    """The pair of each window, float64 (B,); the form is the path's prediction type.

    - eps: ``lambda = a_e / a_s``, ``eta = c_e - c_s lambda``.
    - v: ``lambda = a_e a_s + c_e c_s``, ``eta = c_e a_s - a_e c_s``; finite everywhere.
    - sample (x0): ``lambda = c_e / c_s``, ``eta = a_e - a_s lambda``; finite everywhere.
    - flow: ``lambda = 1``, ``eta = t_end - t_start``.

    Raises:
        ValueError: eps form of a window that starts without signal (zero terminal SNR).
    """
    if path.is_flow:
        return torch.ones_like(t_start, dtype=torch.float64), t_end.double() - t_start.double()
    signal_start, noise_start = path.signal_noise(t_start)
    signal_end, noise_end = path.signal_noise(t_end)
    if path.prediction_type == "v_prediction":
        slope = signal_end * signal_start + noise_end * noise_start
        return slope, noise_end * signal_start - signal_end * noise_start
    if path.prediction_type == "sample":
        slope = noise_end / noise_start
        return slope, signal_end - signal_start * slope
    path.refuse_noise_prediction_without_signal(t_start)
    slope = signal_end / signal_start
    return slope, noise_end - noise_start * slope


def window_target(path: NoisePath, z_start: Latents, z_end: Latents, t_start: PerSample, t_end: PerSample) -> Latents:
    """What the student should predict everywhere in the window: ``(z_end - lambda z_start) / eta``.

    Returns:
        (B, ...) in float32, or in float64 if the latents are float64.
    """
    slope, gain = lambda_eta(path, t_start, t_end)
    return (z_end - per_sample(slope, z_start) * z_start) / per_sample(gain, z_start)


def student_point(z_start: Latents, z_end: Latents, t: PerSample, t_start: PerSample, t_end: PerSample) -> Latents:
    """The point of the chord at time t: ``(1 - r) z_start + r z_end`` with ``r = (t - t_start)/(t_end - t_start)``."""
    share = per_sample((t.double() - t_start.double()) / (t_end.double() - t_start.double()), z_start)
    return (1.0 - share) * z_start + share * z_end


def window_end(
    path: NoisePath, z_t: Latents, prediction: Latents, t: PerSample, t_start: PerSample, t_end: PerSample
) -> Latents:
    """End of the window as the student predicts it from a point of the chord: ``lambda_t z_t + eta_t prediction``.

    Args:
        t: (B,), before the end: ``t_end < t <= t_start``.
    """
    slope, gain = lambda_eta(path, t_start, t_end)
    now, start, end = t.double(), t_start.double(), t_end.double()
    denominator = slope * (now - start) + (end - now)
    slope_now = slope * (end - start) / denominator
    gain_now = gain * (end - now) / denominator
    return per_sample(slope_now, z_t) * z_t + per_sample(gain_now, z_t) * prediction


def student_step(
    path: NoisePath,
    z_t: Latents,
    prediction: Latents,
    t: PerSample,
    t_next: PerSample,
    t_start: PerSample,
    t_end: PerSample,
) -> Latents:
    """One step of the student along the chord, from t to ``t_next`` within the window; float32 or better.

    A step to ``t_end`` returns the predicted window end itself.
    """
    end = window_end(path, z_t, prediction, t, t_start, t_end)
    share = per_sample((t_next.double() - t.double()) / (t_end.double() - t.double()), z_t)
    # Weighted sum, not z + share (end - z): exactly `end` at share = 1.
    return (1.0 - share) * z_t + share * end


def window_clean(
    path: NoisePath, z_t: Latents, prediction: Latents, t: PerSample, t_start: PerSample, t_end: PerSample
) -> Latents:
    """The clean latent that the student's prediction means, by its line's start on the noise path (for previews).

    Exact on the line of data and noise: there the prediction is what a network would answer at ``t_start``.
    """
    end = window_end(path, z_t, prediction, t, t_start, t_end)
    share = per_sample((t.double() - t_start.double()) / (t_end.double() - t_start.double()), z_t)
    z_start = (z_t - share * end) / (1.0 - share)
    return path.to_clean_and_noise(prediction, z_start, t_start)[0]
