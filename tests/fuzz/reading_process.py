"""Reading in a process of its own: what came of it, however it ended."""

from __future__ import annotations

import multiprocessing
import os
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import psutil

_PATIENCE = 10
"""So much longer than its processor time a reading may wait for its turn."""
GOOD = ("read", "refused", "rejected")
FAULTS = ("error", "crash", "hang", "memory", "wrote")


@dataclass
class Outcome:
    """What came of one damaged file."""

    mutation: str
    result: str
    """read, refused or rejected; a fault is error, crash, hang, memory, or wrote: where nothing may be written."""
    detail: str = ""
    seconds: float = 0.0
    """Processor time."""
    megabytes: float = 0.0
    """Highest resident memory of the worker while it read the file."""

    @property
    def is_fault(self) -> bool:
        """Whether something is wrong with our reading and not with the file."""
        return self.result in FAULTS


Reading = Callable[[Path, bool], tuple[str, str]]


def _peak_megabytes() -> float:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))


def serve(connection: Connection, reading: Reading) -> None:
    """The worker process: reads what it is told to, says how it went."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    while True:
        try:
            file, is_prepared = connection.recv()
        except EOFError:
            return
        with open("/proc/self/clear_refs", "w") as reset:
            reset.write("5")  # The highest memory counts from here.
        began = time.process_time()
        try:
            result, detail = reading(file, is_prepared)
        except Exception:
            result, detail = "error", traceback.format_exc()
        connection.send((result, detail, time.process_time() - began, _peak_megabytes()))


class Reader:
    """A worker process that is replaced when it dies or hangs."""

    def __init__(self, seconds: float, megabytes: float, reading: Reading) -> None:
        self._seconds, self._megabytes, self._reading = seconds, megabytes, reading
        self._process: multiprocessing.process.BaseProcess | None = None

    def read(self, file: Path, mutation: str, is_prepared: bool) -> Outcome:
        """Read one file, and say what came of it."""
        if self._process is None:
            context = multiprocessing.get_context("spawn")
            self._connection, theirs = context.Pipe()
            self._process = context.Process(target=serve, args=(theirs, self._reading), daemon=True)
            self._process.start()
            theirs.close()
        self._connection.send((file, is_prepared))
        if not self._answers():
            self.close()
            return Outcome(mutation, "hang", f"over {self._seconds:g} s", self._seconds)
        try:
            result, detail, seconds, megabytes = self._connection.recv()
        except (EOFError, OSError):
            self._process.join()
            code = self._process.exitcode
            self.close()
            return Outcome(mutation, "crash", f"exit code {code}")
        if megabytes > self._megabytes:
            result, detail = "memory", f"{megabytes:.0f} MB"
        return Outcome(mutation, result, detail, seconds, megabytes)

    def _answers(self) -> bool:
        """Whether an answer comes in time: processor time, for the machine may have other work; or waiting too long."""
        process, began = psutil.Process(self._process.pid), time.monotonic()
        before = sum(process.cpu_times()[:2])
        while time.monotonic() - began < _PATIENCE * self._seconds:
            if self._connection.poll(0.5):
                return True
            if sum(process.cpu_times()[:2]) - before > self._seconds:
                return False
        return False

    def close(self) -> None:
        """End the worker."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._connection.close()
            self._process = None


def table(outcomes: Sequence[Outcome], kinds: Sequence[str]) -> str:
    """A line per kind of damage: how the readings ended, the longest and the largest."""
    results = (*GOOD, *FAULTS)
    by_kind: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        by_kind[outcome.mutation].append(outcome)
        by_kind["all"].append(outcome)
    lines = [f"{'damage':<15}" + "".join(f"{name:>9}" for name in (*results, "most s", "most MB"))]
    for kind in [*kinds, "all"]:
        counts = Counter(outcome.result for outcome in by_kind[kind])
        longest = max((outcome.seconds for outcome in by_kind[kind]), default=0.0)
        largest = max((outcome.megabytes for outcome in by_kind[kind]), default=0.0)
        figures = "".join(f"{counts[name]:>9}" for name in results)
        lines.append(f"{kind:<15}{figures}{longest:>9.1f}{largest:>9.0f}")
    return "\n".join(lines)
