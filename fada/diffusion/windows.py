"""Windows of time: [0, 1] cut into K equal parts, each straightened by the student on its own.

Times are float64, computed from whole numbers, so every K and N lands where it should.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

ExtraSteps = Literal["first", "last"]

# In units of one window. Above float32's rounding of K t, below 1/T, the least distance of a grid point to a boundary.
BOUNDARY_TOLERANCE = 1e-4


MOST_WINDOWS = 1000
"""One for each step of training; a scheduler's config may come from anyone."""


@dataclass(frozen=True)
class Windows:
    """``count`` equal windows; the first is [1, 1 - 1/K], the last [1/K, 0].

    Args:
        count: how many.
        extra_steps: where sampling spends the steps that ``count`` does not divide: in the ``first`` windows, nearest
            to noise (PeRFlow), or in the ``last``, nearest to data.

    Raises:
        ValueError: ``count`` is not positive, or ``extra_steps`` is neither.
    """

    count: int
    extra_steps: ExtraSteps = "first"

    def __post_init__(self) -> None:
        if not isinstance(self.count, int) or self.count < 1:
            raise ValueError(f"windows: count must be at least 1, got {self.count}")
        if self.count > MOST_WINDOWS:
            raise ValueError(f"windows: count must be at most {MOST_WINDOWS}, got {self.count}")
        if self.extra_steps not in get_args(ExtraSteps):
            raise ValueError(f"windows: extra_steps: got {self.extra_steps!r}; choose from first, last")

    def look_up(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """The window of each time, the one with ``t_end < t <= t_start``.

        Args:
            t: (B,) in (0, 1], on the grid or not. A time that misses a boundary only by float32 rounding counts as on
                it. Times outside go to the nearest window.

        Returns:
            ``(t_start, t_end)``, float64 (B,).
        """
        number = torch.ceil(t.double() * self.count - BOUNDARY_TOLERANCE).clamp(1, self.count)
        return number / self.count, (number - 1) / self.count

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
            start, end = (self.count - window) / self.count, (self.count - window - 1) / self.count
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
    ) -> Tensor:
        """Training times, uniform on {1/T, ... 1}, one per sample, float64 (B,); windows follow by ``look_up``.

        Drawn on the generator's device, so that a CPU generator gives the same times everywhere.
        """
        draw_device = generator.device if generator is not None else device
        index = torch.randint(1, num_train_timesteps + 1, (batch,), generator=generator, device=draw_device)
        return index.to(device).double() / num_train_timesteps


def round_to_grid(t: Tensor, num_train_timesteps: int) -> Tensor:
    """The nearest multiple of 1/T, in float64."""
    return torch.round(t.double() * num_train_timesteps) / num_train_timesteps
