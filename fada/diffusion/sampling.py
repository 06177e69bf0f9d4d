"""Sampling with the student: straight steps, window after window, from noise to data."""

from collections.abc import Callable

import torch

from fada.diffusion.forms import student_step
from fada.diffusion.matched import window_predictor
from fada.diffusion.paths import NoisePath
from fada.diffusion.shapes import Latents
from fada.diffusion.solvers import Predict
from fada.diffusion.windows import Windows


def sample_student(
    predict: Predict,
    path: NoisePath,
    windows: Windows,
    z: Latents,
    steps: int,
    on_step: Callable[[int], None] | None = None,
) -> Latents:
    """Clean latents from noise, by ``steps`` evaluations of the student.

    Args:
        predict: the student's network, in the path's form, already guided where guidance applies; may be half
            precision. Where the windows are matched it is asked on its own noise path.
        z: noise (B, ...) at t = 1.
        steps: at least one per window.
        on_step: called after each step with the number of finished steps.

    Returns:
        (B, ...) in float32, or in float64 if ``z`` is float64.

    Raises:
        ValueError: fewer steps than windows.
    """
    z = z.to(torch.promote_types(z.dtype, torch.float32))
    predict = window_predictor(predict, path, windows)
    times = torch.tensor([*windows.sampling_times(steps), 0.0], dtype=torch.float64)
    for step in range(steps):
        t, t_next = times[step].expand(len(z)), times[step + 1].expand(len(z))
        t_start, t_end = windows.look_up(t)
        z = student_step(path, z, predict(z, t).to(z.dtype), t, t_next, t_start, t_end)
        if on_step is not None:
            on_step(step + 1)
    return z
