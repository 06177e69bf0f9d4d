"""Peak memory of a stretch of code: CUDA's own counter for work on a GPU, the process's resident memory elsewhere."""

from __future__ import annotations

import os
import threading
from types import TracebackType

import torch


class PeakMemory:
    """A context manager; afterwards ``bytes`` holds the peak and ``kind`` says of what.

    Args:
        device: that the code computes on: a GPU says nothing of work on the CPU. None is a GPU if there is one.

    On a CPU a thread reads the resident set every few milliseconds, so the figure includes Python and every loaded
    weight, and ``bytes`` is None where ``/proc`` is missing (macOS, Windows).
    """

    def __init__(self, device: torch.device | None = None, interval_seconds: float = 0.005) -> None:
        is_on_cuda = torch.cuda.is_available() if device is None else device.type == "cuda"
        self.kind = "cuda" if is_on_cuda else "process"
        self._device = device
        self.bytes: int | None = None
        self._interval = interval_seconds
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> PeakMemory:
        if self.kind == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
            return self
        self.bytes = resident_bytes()
        if self.bytes is not None:
            self._thread = threading.Thread(target=self._watch, daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.kind == "cuda":
            self.bytes = torch.cuda.max_memory_allocated(self._device)
            return
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._read()

    def _watch(self) -> None:
        while not self._stop.wait(self._interval):
            self._read()

    def _read(self) -> None:
        self.bytes = max(self.bytes or 0, resident_bytes() or 0)


def resident_bytes() -> int | None:
    """The process's resident memory now, None where the system does not say."""
    try:
        with open("/proc/self/statm", encoding="ascii") as pages:
            return int(pages.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None
