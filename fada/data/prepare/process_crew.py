"""Workers that are processes of this machine."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import Connection, wait

from fada.data.prepare.executors import LoadFinder, Task, WorkerDied, attempt
from fada.data.prepare.report import SourceRecord


class ProcessCrew:
    """Worker processes of this machine."""

    attempts = 2
    retries_alone = True

    def __init__(self, size: int, load_finder: LoadFinder) -> None:
        self.size, self._load_finder = size, load_finder

    def hire(self) -> ProcessWorker:
        return ProcessWorker(self._load_finder)

    def wait(self, workers: list[ProcessWorker], seconds: float | None) -> list[ProcessWorker]:
        # A dead worker's pipe ends, so it counts as one with something to say.
        speaking = set(wait([worker.connection for worker in workers], seconds))
        return [worker for worker in workers if worker.connection in speaking]


class ProcessWorker:
    """One worker process, reached through a pipe."""

    def __init__(self, load_finder: LoadFinder) -> None:
        # Spawned, not forked: MediaPipe's threads do not survive a fork.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, load_finder), daemon=True)
        self._process.start()
        theirs.close()

    def give(self, task: Task) -> None:
        # Where it is dead, `take` says so.
        with contextlib.suppress(OSError):
            self.connection.send(task)

    def take(self) -> SourceRecord | None:
        try:
            answer = self.connection.recv()
        except (EOFError, OSError) as error:
            self._process.join()
            raise WorkerDied(f"exit code {self._process.exitcode}") from error
        if isinstance(answer, Exception):
            raise answer
        return answer

    def kill(self) -> None:
        self._process.kill()
        self._process.join()
        self.connection.close()


def _serve(connection: Connection, load_finder: LoadFinder) -> None:
    """The life of a worker process: load, then a record for each task."""
    # Ctrl-C reaches every process of the terminal; the first one decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        finder = load_finder()
        connection.send(None)
        while True:
            connection.send(attempt(connection.recv(), finder))
    except EOFError:
        return
    except Exception as error:
        connection.send(error)


def _end_with_parent() -> None:
    """A parent that was killed closes nothing: without this a hanging decoder would go on for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
