"""Where steps and windows lie between two times: equal parts of time, of log-SNR, or of the noise's share.

Equal parts of time are not equal work: most of what a sampler decides happens where signal and noise are of one size.
Source: DPM-Solver (arXiv 2206.00927), section 3.4, for log-SNR; the noise's share ``c / (a + c)`` is the coordinate on
the straight line between data and noise.
"""

from itertools import pairwise
from typing import Literal, get_args

import torch
from jaxtyping import Float64
from torch import Tensor

from fada.diffusion.paths import NoisePath
from fada.diffusion.shapes import PerSample
from fada.diffusion.windows import ExtraSteps, Windows, round_to_grid

Spacing = Literal["time", "log_snr", "noise_share"]

NO_SIGNAL = 1e-3
"""Where less of the latents than this is signal, log-SNR says nothing of where steps should lie."""


def spaced_points(
    path: NoisePath, t_start: PerSample, t_end: PerSample, steps: int, spacing: Spacing
) -> Float64[Tensor, "points batch"]:
    """Times between equal steps of the chosen clock, on the grid; float64 (steps + 1, B), the last exactly ``t_end``.

    With ``log_snr``, samples that start without signal get equal steps of time: their first step would have no end.

    Raises:
        ValueError: ``steps`` is not positive, or an unknown spacing.
    """
    check_spacing(spacing)
    even = time_points(t_start, t_end, steps, path.num_train_timesteps)
    if spacing == "time" or path.is_flow:
        return even
    grid = torch.arange(path.num_train_timesteps, 0, -1, dtype=torch.float64, device=even.device)
    grid = grid / path.num_train_timesteps
    rising = -_clock(*path.signal_noise(grid), spacing)
    share = torch.arange(steps, dtype=torch.float64, device=even.device)[:, None] / steps

    def at(t: PerSample) -> Tensor:
        # The last grid point stands for t = 0, which may be free of noise.
        index = torch.searchsorted(-grid, -t.clamp(min=float(grid[-1])))
        return rising[index.clamp(max=len(grid) - 1)]

    first, last = at(even[0]), at(t_end.double())
    nearest = torch.searchsorted(rising, (first + share * (last - first)).contiguous()).clamp(max=len(grid) - 1)
    points = torch.cat([grid[nearest], even[-1:]])
    points[0] = even[0]
    if spacing == "noise_share":
        return points
    has_signal = path.signal_noise(even[0])[0] > NO_SIGNAL
    return torch.where(has_signal, points, even)


def time_points(
    t_start: PerSample, t_end: PerSample, steps: int, num_train_timesteps: int
) -> Float64[Tensor, "points batch"]:
    """Times between equal steps, rounded to the grid; the last is exactly ``t_end``. Float64 (steps + 1, B).

    Raises:
        ValueError: ``steps`` is not positive.
    """
    if steps < 1:
        raise ValueError(f"solver: steps must be at least 1, got {steps}")
    start, end = t_start.double(), t_end.double()
    share = torch.arange(steps, dtype=torch.float64, device=start.device)[:, None] / steps
    points = round_to_grid(start + share * (end - start), num_train_timesteps)
    return torch.cat([points, end[None]])


def spaced_windows(
    path: NoisePath,
    count: int,
    spacing: Spacing = "time",
    extra_steps: ExtraSteps = "first",
    is_matched: bool = False,
) -> Windows:
    """``count`` windows with edges at equal steps of the chosen clock, on the path's grid.

    ``log_snr`` begins to count where a thousandth of the latents is signal (without any it is infinite), and ends at
    the first grid point. On a flow path the noise's share is time.

    Raises:
        ValueError: an unknown spacing or place of extra steps, no windows, or more than the grid has room for.
    """
    check_spacing(spacing)
    if spacing == "time" or count < 1 or (path.is_flow and spacing == "noise_share"):
        return Windows(count, extra_steps, is_matched=is_matched)
    total = path.num_train_timesteps
    grid = torch.arange(1, total + 1, dtype=torch.float64) / total
    signal, noise = path.signal_noise(grid)
    clock = _clock(signal.clamp(min=NO_SIGNAL), noise.clamp(min=NO_SIGNAL), spacing)
    wanted = clock[0] + torch.arange(1, count, dtype=torch.float64) / count * (clock[-1] - clock[0])
    inner = grid[(clock[None] - wanted[:, None]).abs().argmin(dim=1)].tolist()
    edges = (0.0, *inner, 1.0)
    if any(low >= high for low, high in pairwise(edges)):
        raise ValueError(
            f"windows: {count} windows at equal steps of {spacing} do not fit on a grid of 1/{total}; use fewer "
            "windows, or spacing time"
        )
    return Windows(count, extra_steps, edges, is_matched)


def check_spacing(spacing: str) -> None:
    """Raise ValueError unless the spacing is known."""
    if spacing not in get_args(Spacing):
        raise ValueError(f"spacing: got {spacing!r}; choose from {', '.join(get_args(Spacing))}")


def _clock(signal: Tensor, noise: Tensor, spacing: Spacing) -> Tensor:
    """A number that grows with the noise: ``log(c / a)``, half the negative log-SNR, or the noise's share."""
    if spacing == "log_snr":
        return torch.log(noise) - torch.log(signal.clamp(min=1e-30))
    return noise / (signal + noise)
