"""Workers that are processes of this machine; they end with the process that started them, however it ends."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

from fada.data.workers.crew import READY, WorkerDied
from fada.media.threads import inherited, limit_threads, thread_variables

Start = Callable[[], Callable[[Any], Any]]
"""Called once in each worker: loads what it needs and returns the work on one task. Pickled, as all of this is."""


class ProcessCrew:
    """Worker processes of this machine."""

    attempts = 2
    retries_alone = True

    def __init__(self, size: int, start: Start, threads: int = 1, gpus: Sequence[str] = ()) -> None:
        """Nothing is started yet.

        Args:
            size: processes at a time.
            start: see :data:`Start`.
            threads: of each process.
            gpus: as CUDA_VISIBLE_DEVICES names them; each process sees one of them, that with the fewest processes.
        """
        self.size, self._start, self._threads = size, start, threads
        self._shares: dict[str, list[ProcessWorker]] = {gpu: [] for gpu in gpus}

    def hire(self) -> ProcessWorker:
        if not self._shares:
            return ProcessWorker(self._start, self._threads)
        for gpu, workers in self._shares.items():
            self._shares[gpu] = [worker for worker in workers if worker.is_alive]
        gpu = min(self._shares, key=lambda each: len(self._shares[each]))
        worker = ProcessWorker(self._start, self._threads, {"CUDA_VISIBLE_DEVICES": gpu})
        self._shares[gpu].append(worker)
        return worker

    def wait(self, workers: list[ProcessWorker], seconds: float | None) -> list[ProcessWorker]:
        # A dead worker's pipe ends, so it counts as one with something to say.
        speaking = set(wait([worker.connection for worker in workers], seconds))
        return [worker for worker in workers if worker.connection in speaking]


class ProcessWorker:
    """One worker process, reached through a pipe."""

    def __init__(self, start: Start, threads: int, variables: Mapping[str, str] | None = None) -> None:
        # Spawned, not forked: the threads of torch and MediaPipe do not survive a fork.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, start, threads), daemon=True)
        with inherited({**thread_variables(threads), **(variables or {})}):
            self._process.start()
        theirs.close()

    @property
    def is_alive(self) -> bool:
        """Whether its process still runs."""
        return self._process.is_alive()

    def give(self, task: Any) -> None:
        # Where it is dead, `take` says so.
        with contextlib.suppress(OSError):
            self.connection.send(task)

    def take(self) -> Any:
        try:
            kind, answer = self.connection.recv()
        except (EOFError, OSError) as error:
            self._process.join()
            raise WorkerDied(f"exit code {self._process.exitcode}") from error
        if kind == "error":
            raise answer
        return READY if kind == "ready" else answer

    def kill(self) -> None:
        self._process.kill()
        self._process.join()
        self.connection.close()


def _serve(connection: Connection, start: Start, threads: int) -> None:
    """The life of a worker process: load, then a result for each task."""
    # Ctrl-C reaches every process of the terminal; the first one decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        limit_threads(threads)
        work = start()
        connection.send(("ready", None))
        while True:
            connection.send(("done", work(connection.recv())))
    except EOFError:
        return
    except Exception as error:
        connection.send(("error", error))


def _end_with_parent() -> None:
    """A parent that was killed closes nothing: without this a worker would go on with what it has, or for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
