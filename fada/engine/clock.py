"""Where time goes: laps of a training step, stages of a clip or a video. Loads no torch: the data line counts too."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import torch

T = TypeVar("T")


class Lap:
    """Seconds charged to one name. On CUDA they are known when the device gets there: `float` waits for it."""

    def __init__(self) -> None:
        self._known = 0.0
        self._marked: list[tuple[Any, Any, int]] = []

    def add(self, begun: Any, ended: Any) -> None:
        """A stretch more, between two marks of a clock."""
        self._count(begun, ended, 1)

    def leave_out(self, begun: Any, ended: Any) -> None:
        """A stretch less, which was charged to another name."""
        self._count(begun, ended, -1)

    def _count(self, begun: Any, ended: Any, sign: int) -> None:
        if isinstance(begun, float):
            self._known += sign * (ended - begun)
        else:
            self._marked.append((begun, ended, sign))

    def __float__(self) -> float:
        return self._known + float(sum(sign * _seconds(begun, ended) for begun, ended, sign in self._marked))


class Clock:
    """Seconds by name: of laps one after the other, and of stages, which may lie within each other.

    On a CUDA device marks are events in its current stream: they are noted while it works, and nothing waits for them
    before somebody reads the seconds. Waiting at every lap would leave the device idle at each of them.

    Args:
        device: that does the work; None is the processor.
        wait: called at the end of a stage, for work that a device goes on with, where the clock is the processor's.
    """

    def __init__(self, device: torch.device | None = None, wait: Callable[[], None] | None = None) -> None:
        self._device, self._wait = device, wait
        self.laps: dict[str, Lap] = {}
        self._inner: list[list[tuple[Any, Any]]] = []
        self._last = self._mark()
        self._began: float = self._last if isinstance(self._last, float) else time.perf_counter()

    def lap(self, name: str) -> None:
        """Charge the time since the last lap to a name."""
        now = self._mark()
        self.laps.setdefault(name, Lap()).add(self._last, now)
        self._last = now

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """The block is a stage of this name; a stage within another is not counted in the outer one."""
        begun = self._mark()
        self._inner.append([])
        try:
            yield
            if self._wait is not None:
                self._wait()
        finally:
            ended = self._mark()
            lap = self.laps.setdefault(name, Lap())
            lap.add(begun, ended)
            for stretch in self._inner.pop():
                lap.leave_out(*stretch)
            if self._inner:
                self._inner[-1].append((begun, ended))

    def each(self, name: str, items: Iterable[T]) -> Iterator[T]:
        """The items; making each of them belongs to this stage."""
        stream = iter(items)
        while True:
            with self(name):
                try:
                    item = next(stream)
                except StopIteration:
                    return
            yield item

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds by name; waits for a device's marks."""
        return {name: float(lap) for name, lap in self.laps.items()}

    def rounded(self) -> dict[str, float]:
        """Seconds by name, to the millisecond."""
        return {name: round(seconds, 3) for name, seconds in self.seconds.items()}

    def elapsed(self) -> float:
        """The processor's seconds since the clock was made."""
        return time.perf_counter() - self._began

    def _mark(self) -> Any:
        if self._device is None or self._device.type != "cuda":
            return time.perf_counter()
        import torch

        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self._device))
        return event


def _seconds(begun: Any, ended: Any) -> float:
    ended.synchronize()
    return float(begun.elapsed_time(ended)) / 1000
