"""Windows of time: [0, 1] cut into K parts, each straightened by the student on its own; equal, or by their edges.

Times are float64, computed from whole numbers, so every K and N lands where it should.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor

from fada.diffusion.shapes import PerSample64

ExtraSteps = Literal["first", "last"]

# In units of one window. Above float32's rounding of K t, below 1/T, the least distance of a grid point to a boundary.
BOUNDARY_TOLERANCE = 1e-4


MOST_WINDOWS = 1000
"""One for each step of training; a scheduler's config may come from anyone."""


@dataclass(frozen=True)
class Windows:
    """``count`` windows; equal ones are [1, 1 - 1/K] to [1/K, 0].

    Args:
        count: how many.
        extra_steps: where sampling spends the steps that ``count`` does not divide: in the ``first`` windows, nearest
            to noise (PeRFlow), or in the ``last``, nearest to data.
        edges: K + 1 times from 0 upwards to 1, where the windows meet; None are equal windows. ``spaced_windows`` finds
            them on a noise path.
        is_matched: whether the network sees points inside windows on its own noise path (matched.py).

    Raises:
        ValueError: ``count`` is not positive, ``extra_steps`` is neither, or ``edges`` do not rise from 0 to 1 in as
            many windows.
    """

    count: int
    extra_steps: ExtraSteps = "first"
    edges: tuple[float, ...] | None = None
    is_matched: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.count, int) or self.count < 1:
            raise ValueError(f"windows: count must be at least 1, got {self.count}")
        if self.count > MOST_WINDOWS:
            raise ValueError(f"windows: count must be at most {MOST_WINDOWS}, got {self.count}")
        if self.extra_steps not in get_args(ExtraSteps):
            raise ValueError(f"windows: extra_steps: got {self.extra_steps!r}; choose from first, last")
        edges = self.bounds
        is_rising = all(low < high for low, high in pairwise(edges))
        if len(edges) != self.count + 1 or not is_rising or (edges[0], edges[-1]) != (0.0, 1.0):
            raise ValueError(
                f"windows: {self.count} windows need {self.count + 1} edges rising from 0 to 1, got {edges}"
            )

    def __repr__(self) -> str:
        # Results are kept under this name: what is left at its default must not make old ones look like others.
        edges = "" if self.edges is None else f", edges={self.edges}"
        matched = ", is_matched=True" if self.is_matched else ""
        return f"Windows(count={self.count}, extra_steps={self.extra_steps!r}{edges}{matched})"

    @property
    def bounds(self) -> tuple[float, ...]:
        """The K + 1 times where windows meet, from 0 to 1."""
        if self.edges is not None:
            return self.edges
        return tuple(number / self.count for number in range(self.count + 1))

    def look_up(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """The window of each time, the one with ``t_end < t <= t_start``.

        Args:
            t: (B,) in (0, 1], on the grid or not. A time that misses a boundary only by float32 rounding counts as on
                it. Times outside go to the nearest window.

        Returns:
            ``(t_start, t_end)``, float64 (B,).
        """
        bounds = _bounds_tensor(self.bounds, t.device)
        number = torch.searchsorted(bounds, (t.double() - BOUNDARY_TOLERANCE / self.count).contiguous())
        number = number.clamp(1, self.count)
        return bounds[number], bounds[number - 1]

    def at_share(self, share: Tensor) -> Tensor:
        """The time at a share (B,) in [0, 1] of a way from data to noise whose windows are equally long; float64.

        With equal windows the share is the time.
        """
        if self.edges is None:
            return share.double()
        bounds, place = _bounds_tensor(self.edges, share.device), share.double() * self.count
        # A share on a boundary belongs to the window that it starts, as a time does.
        below = (torch.ceil(place - BOUNDARY_TOLERANCE) - 1).clamp(0, self.count - 1)
        low = below.long()
        return torch.lerp(bounds[low], bounds[low + 1], (place - below).clamp(0.0, 1.0))

    def sampling_times(self, steps: int) -> list[float]:
        """Start time of each of ``steps`` student steps, from 1 downwards.

        ``steps mod count`` windows, by ``extra_steps``, get one step more; inside a window steps are equal.

        Raises:
            ValueError: fewer steps than windows.
        """
        if steps < self.count:
            raise ValueError(
                f"steps: got {steps}, but a student with {self.count} windows takes at least one step in each; "
                f"use {self.count} or more"
            )
        times = []
        for window in range(self.count):
            end, start = self.bounds[self.count - window - 1 : self.count - window + 1]
            place = window if self.extra_steps == "first" else self.count - 1 - window
            inside = steps // self.count + (place < steps % self.count)
            times += [start + step * (end - start) / inside for step in range(inside)]
        return times

    def draw_times(
        self,
        batch: int,
        generator: torch.Generator | None = None,
        num_train_timesteps: int = 1000,
        device: torch.device | str | None = None,
    ) -> PerSample64:
        """Training times, uniform on {1/T, ... 1}, one per sample, float64 (B,); windows follow by ``look_up``.

        Drawn on the generator's device, so that a CPU generator gives the same times everywhere.
        """
        draw_device = generator.device if generator is not None else device
        index = torch.randint(1, num_train_timesteps + 1, (batch,), generator=generator, device=draw_device)
        return index.to(device).double() / num_train_timesteps


@lru_cache(maxsize=64)
def _bounds_tensor(bounds: tuple[float, ...], device: torch.device) -> Tensor:
    return torch.tensor(bounds, dtype=torch.float64, device=device)


def round_to_grid(t: Tensor, num_train_timesteps: int) -> Tensor:
    """The nearest multiple of 1/T, in float64."""
    return torch.round(t.double() * num_train_timesteps) / num_train_timesteps
