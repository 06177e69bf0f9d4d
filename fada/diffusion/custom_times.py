"""Times of steps that a caller chose, checked against the windows."""

from itertools import pairwise

import torch

from fada.diffusion.shapes import PerSample
from fada.diffusion.windows import Windows


def custom_times(windows: Windows, t: PerSample, num_train_timesteps: int) -> list[float]:
    """Start times of a caller's steps, as ``Windows.sampling_times`` gives them.

    A time within half a grid point of a window's boundary is that boundary: callers hand whole timesteps.

    Args:
        t: float64 (steps,), on the CPU.

    Raises:
        ValueError: no times; times outside (0, 1], or not falling; or a step that leaves its window, whose end the
            student predicts.
    """
    half = 0.5 / num_train_timesteps + 1e-9
    bounds = torch.tensor(windows.bounds, dtype=torch.float64)
    if t.numel() == 0 or not bool(((t > 0) & (t <= 1 + half)).all()):
        raise ValueError(f"custom timesteps must lie at times in (0, 1], got times {_shown(t)}")
    distance, nearest = (t[:, None] - bounds[None, 1:]).abs().min(dim=1)
    t = torch.where(distance <= half, bounds[1:][nearest], t)
    ends = windows.look_up(t)[1].tolist()
    times = t.tolist()
    if any(now <= following for now, following in pairwise(times)):
        raise ValueError(f"custom timesteps must fall from one to the next, got times {_shown(t)}")
    for now, following, end in zip(times, [*times[1:], 0.0], ends, strict=True):
        if following < end:
            raise ValueError(
                f"custom timesteps: the step from time {now:g} to {following:g} leaves its window, which ends at "
                f"{end:g}; a student with {windows.count} windows takes at least one step in each"
            )
    return times


def _shown(t: PerSample) -> str:
    return f"[{', '.join(f'{time:g}' for time in t.tolist()[:12])}{', …' if t.numel() > 12 else ''}]"
