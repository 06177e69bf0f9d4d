"""Where the time of a step goes."""

from __future__ import annotations

import time

import torch


class Clock:
    """Seconds between laps; on CUDA it waits for the device first, so that a lap is charged with its own work."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = self._now()

    def lap(self, name: str) -> None:
        """Charge the time since the last lap to a name."""
        now = self._now()
        self.laps[name] = self.laps.get(name, 0.0) + now - self._last
        self._last = now

    @staticmethod
    def _now() -> float:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter()
