"""Points inside a window shown to the network on its own noise path: matched in signal-to-noise ratio.

Between two points of the noise path, a window's chord ``z_t = alpha z_0 + sigma eps`` leaves the path, but only by a
scale and a clock: divided by ``sqrt(alpha^2 + sigma^2)`` and given with the time of equal signal-to-noise ratio it is
a noisy latent like any other. What the network answers there turns linearly into the window's prediction (forms.py).
Scale and clock are exact on the data's chord, and close on the teacher's.

With one window and a predictor of data this is DDIM with steps of equal noise share (spacing.py). Formulas: method.md,
section 4.
"""

from dataclasses import dataclass

import torch

from fada.diffusion.paths import NoisePath, per_sample
from fada.diffusion.shapes import Latents, PerSample, PerSample64
from fada.diffusion.solvers import Predict
from fada.diffusion.windows import Windows


@dataclass(frozen=True)
class MatchedPoints:
    """Points of a batch as the network's own path knows them; all float64 (B,).

    scale: what the point is divided by; signal, noise: ``(A, C)`` of the divided point; t: the time of that ratio.
    """

    scale: PerSample64
    signal: PerSample64
    noise: PerSample64
    t: PerSample64


def matched_points(path: NoisePath, t: PerSample, t_start: PerSample, t_end: PerSample) -> MatchedPoints:
    """The points at times t of the windows from ``t_start`` to ``t_end``, all (B,).

    A window's start is on the path, and stays exactly as it is. So does every point on a flow path, which is straight.
    """
    now, start, end = t.double(), t_start.double(), t_end.double()
    if path.is_flow:
        signal, noise = path.signal_noise(now)
        return MatchedPoints(torch.ones_like(now), signal, noise, now)
    share = (now - start) / (end - start)
    (signal_start, noise_start), (signal_end, noise_end) = path.signal_noise(start), path.signal_noise(end)
    signal, noise = torch.lerp(signal_start, signal_end, share), torch.lerp(noise_start, noise_end, share)
    is_start = share <= 0
    scale = torch.where(is_start, torch.ones_like(signal), torch.hypot(signal, noise))
    time = torch.where(is_start, start, path.time_of(signal, noise))
    return MatchedPoints(scale, signal / scale, noise / scale, time)


def unmatched_time(path: NoisePath, t: PerSample, windows: Windows) -> PerSample64:
    """The time (B,) in its window of the point that is matched at time t, float64: ``matched_points`` inverted."""
    if path.is_flow:
        return t.double()
    start, end = windows.look_up(t)
    signal, noise = path.signal_noise_between(t)
    # How far the chord's ends lie from the ray of this signal-to-noise ratio, on its two sides.
    before, behind = (
        each_signal * noise - each_noise * signal for each_signal, each_noise in map(path.signal_noise, (start, end))
    )
    # A start is matched to itself, also where the path's grid rounds it.
    share = torch.where(t.double() >= start, 0.0, torch.nan_to_num(before / (before - behind)).clamp(0.0, 1.0))
    return torch.lerp(start, end, share)


def window_prediction(
    path: NoisePath, answer: Latents, z: Latents, points: MatchedPoints, t_start: PerSample
) -> Latents:
    """The window's prediction that an answer of the network means, float32 or better.

    An answer at ``z = z_t / scale`` says data and noise, ``x0`` and ``e``; the window's line through them is ``e``
    itself in the eps form, ``x0`` in its own form, and ``a_s e - c_s x0`` in the v form, which is finite at zero
    terminal SNR.

    Args:
        answer: (B, ...), of the path's prediction type, at time ``points.t``.
        z: (B, ...), the point divided by its scale.
        t_start: (B,), where the windows begin.
    """
    answer = answer.to(torch.promote_types(z.dtype, torch.float32))
    if path.prediction_type != "v_prediction":
        return answer
    signal_start, noise_start = path.signal_noise(t_start)
    turned = signal_start * points.noise - noise_start * points.signal
    kept = signal_start * points.signal + noise_start * points.noise
    return per_sample(turned, z) * z + per_sample(kept, z) * answer


def window_predictor(predict: Predict, path: NoisePath, windows: Windows) -> Predict:
    """From a network's predictor, that of windows: what student_step and window_target speak of.

    It is the network's own, unless the windows are matched.
    """
    if not windows.is_matched:
        return predict

    def matched(z_t: Latents, t: PerSample) -> Latents:
        t_start, t_end = windows.look_up(t)
        points = matched_points(path, t, t_start, t_end)
        z = z_t / per_sample(points.scale, z_t)
        return window_prediction(path, predict(z, points.t), z, points, t_start)

    return matched
