"""Where the time of a step goes."""

from __future__ import annotations

import time
from typing import Any

import torch

CPU = torch.device("cpu")


class Lap:
    """Seconds charged to one name. On CUDA they are known when the device gets there: `float` waits for it."""

    def __init__(self) -> None:
        self._parts: list[tuple[Any, Any]] = []

    def add(self, begun: Any, ended: Any) -> None:
        """A stretch more, between two marks of a clock."""
        self._parts.append((begun, ended))

    def __float__(self) -> float:
        return float(sum(_seconds(begun, ended) for begun, ended in self._parts))


class Clock:
    """Seconds between laps, each charged with its own work.

    On a CUDA device marks are events in its current stream: they are noted while it works, and nothing waits for them
    before somebody reads the seconds. Waiting at every lap would leave the device idle at each of them.
    """

    def __init__(self, device: torch.device = CPU) -> None:
        self._device = device
        self.laps: dict[str, Lap] = {}
        self._last = self._mark()

    def lap(self, name: str) -> None:
        """Charge the time since the last lap to a name."""
        now = self._mark()
        self.laps.setdefault(name, Lap()).add(self._last, now)
        self._last = now

    def _mark(self) -> Any:
        if self._device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self._device))
        return event


def _seconds(begun: Any, ended: Any) -> float:
    if isinstance(begun, float):
        return float(ended - begun)
    ended.synchronize()
    return float(begun.elapsed_time(ended)) / 1000
