"""Trajectory consistency: jumps along the teacher's way in one evaluation, and the sampler that takes them.

A jump from t to s is the window form of [t, s] taken at its start, which for noise prediction is a DDIM step.
Source: TCD (arXiv 2402.19159), first-order trajectory consistency function and strategic stochastic sampling.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from fada.diffusion.forms import lambda_eta
from fada.diffusion.paths import NoisePath, per_sample
from fada.diffusion.shapes import Latents, PerSample
from fada.diffusion.solvers import Predict
from fada.diffusion.transfer import moved
from fada.diffusion.windows import Windows, round_to_grid


def jump(path: NoisePath, z: Latents, prediction: Latents, t: PerSample, s: PerSample) -> Latents:
    """Where the prediction at z (B, ...) and t (B,) leads at ``s <= t``; z itself for ``s = t``. Float32 or better.

    Raises:
        ValueError: noise prediction where no signal is left.
    """
    slope, gain = lambda_eta(path, t, s)
    return per_sample(slope, z) * z + per_sample(gain, z) * prediction


def noise_again(path: NoisePath, z: Latents, noise: Latents, s: PerSample, t: PerSample) -> Latents:
    """z (B, ...) of time s carried forward to ``t >= s`` by the noise path: fresh noise, the same distribution."""
    (signal_s, noise_s), (signal_t, noise_t) = path.signal_noise(s), path.signal_noise(t)
    keep = signal_t / signal_s
    fresh = (noise_t**2 - (keep * noise_s) ** 2).clamp(min=0.0).sqrt()
    return per_sample(keep, z) * z + per_sample(fresh, z) * noise


def sample_trajectory(
    predict: Predict,
    path: NoisePath,
    z: Latents,
    steps: int,
    gamma: float = 0.3,
    generator: torch.Generator | None = None,
    on_step: Callable[[int], None] | None = None,
) -> Tensor:
    """Clean latents from noise, by ``steps`` jumps of a trajectory-consistency student.

    Args:
        predict: the student's prediction in the path's form, already guided where guidance applies.
        z: noise (B, ...) at t = 1.
        steps: jumps, from equally spaced times.
        gamma: share of the next time that a jump goes too far, ``s = (1 - gamma) t'``; from there noise leads back to
            ``t'``. 0 is deterministic.
        generator: of that noise, on the CPU.
        on_step: called after each step with the number of finished steps.

    Returns:
        (B, ...) in float32, or in float64 if ``z`` is float64.

    Raises:
        ValueError: gamma outside [0, 1], or no steps.
    """
    if not 0.0 <= gamma <= 1.0:
        raise ValueError(f"trajectory sampling: gamma must be between 0 and 1, got {gamma}")
    z = z.to(torch.promote_types(z.dtype, torch.float32))
    starts = torch.tensor([*Windows(1).sampling_times(steps), 0.0], dtype=torch.float64)
    times = round_to_grid(starts, path.num_train_timesteps)
    for step in range(steps):
        t, t_next = times[step].expand(len(z)), times[step + 1].expand(len(z))
        s = jump_goal(t_next, gamma, path.num_train_timesteps)
        z = jump(path, z, predict(z, t).to(z.dtype), t, s)
        if gamma > 0 and step + 1 < steps:
            noise = moved(torch.randn(z.shape, generator=generator, dtype=z.dtype), z.device)
            z = noise_again(path, z, noise, s, t_next)
        if on_step is not None:
            on_step(step + 1)
    return z


def jump_goal(t_next: PerSample, gamma: float, num_train_timesteps: int) -> Tensor:
    """Where a jump lands whose step ends at ``t_next``: ``(1 - gamma) t_next``, down to the grid; float64."""
    # Whole numbers first: (1 - 0) * 0.7 * 1000 must not fall to 699.
    return torch.floor(t_next.double() * num_train_timesteps * (1.0 - gamma) + 1e-6) / num_train_timesteps
