"""Workers that are actors of a Ray cluster: on one machine or on many.

Plain actors and not Ray Data: a task that hangs must be given up on by killing the one actor that has it, and the
driver must know which task a killed actor had.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from fada.data.workers.crew import READY, WorkerDied
from fada.data.workers.process_crew import Start
from fada.media.threads import limit_threads

_OBJECT_STORE_BYTES = 100 * 2**20
"""Of a cluster of our own; records are small."""
_REACH_SECONDS = 10.0


class ClusterError(ValueError):
    """A cluster that cannot be used, or machines of one that do not see the files; the message says what to do."""


def cluster_address(cluster: str) -> str | None:
    """The address in ``ray=ADDRESS``; None for ``ray`` alone.

    Raises:
        ClusterError: another kind of cluster.
    """
    kind, _, address = cluster.partition("=")
    if kind != "ray":
        raise ClusterError(f"no cluster of kind {cluster!r}; give ray, or ray=ADDRESS of a running cluster")
    return address or None


class RayCrew:
    """Actors with one processor each, as many as the cluster has room for, or as many as asked for."""

    attempts = 3
    retries_alone = False

    def __init__(
        self,
        address: str | None,
        size: int | None,
        start: Start,
        out: Path | None,
        *,
        source_of: Callable[[Any], Path | None],
        gone: Callable[[Any], Any],
        gpus: int = 0,
    ) -> None:
        """Connect, or start a cluster on this machine where no address is given and none runs.

        Args:
            address: HOST:PORT of a cluster, or ``ray://HOST:PORT``; None takes one that runs on this machine (or the
                one ``RAY_ADDRESS`` names), or starts one. A Ray that is already initialised is taken as it is.
            size: actors; None for one per processor of the cluster, or for as many as its GPUs allow.
            start: called once in each actor, as a worker process calls it.
            out: folder that every machine must see; None where it is in an object store.
            source_of: the file that a task reads, which its machine must see; None where it reads none.
            gone: result of a task whose file is not there any more.
            gpus: of each actor, which sees no others.

        Raises:
            ClusterError: ray is not installed, nothing answers at the address, no cluster can be started, or it has too
                few GPUs.
        """
        try:
            import ray
        except ImportError as error:
            raise ClusterError("a cluster needs ray: install the extra (pip install 'fada[cluster]')") from error
        self._ray: Any = ray
        self._is_ours = not ray.is_initialized()
        if self._is_ours:
            self._connect(address)
        there = ray.cluster_resources()
        if gpus and there.get("GPU", 0) < gpus:
            raise ClusterError(
                f"the Ray cluster has {there.get('GPU', 0):g} GPUs, and each worker wants {gpus}; start Ray on "
                "machines with GPUs, or work on processors (--device cpu)"
            )
        per_kind = there.get("GPU", 0) // gpus if gpus else there.get("CPU", 1)
        self.size = size or max(1, int(min(per_kind, there.get("CPU", 1))))
        self._actor: Any = ray.remote(num_cpus=1, num_gpus=gpus, max_restarts=0)(_Actor)
        self._start, self._out, self._source_of, self._gone = start, out, source_of, gone

    def _connect(self, address: str | None) -> None:
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "WARNING"}
        if address is not None:
            _check_reachable(address)
        try:
            self._ray.init(address=address or "auto", **quiet)
        except ConnectionError as error:
            if address is not None or os.environ.get("RAY_ADDRESS"):
                raise ClusterError(f"no Ray cluster at {address or os.environ['RAY_ADDRESS']}: {error}") from error
            # A cluster of our own tells nobody that it is used.
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            own = {"include_dashboard": False, "object_store_memory": _OBJECT_STORE_BYTES}
            try:
                self._ray.init(address="local", **own, **quiet)
            except Exception as failure:
                # Ray gives its own processes 30 seconds, and raises a plain Exception.
                self._ray.shutdown()
                raise ClusterError(
                    f"Ray could not be started on this machine ({failure}); start it by hand, ray start --head, and "
                    "give --cluster ray again"
                ) from failure

    def __enter__(self) -> RayCrew:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_ours:
            self._ray.shutdown()

    def hire(self) -> RayWorker:
        worker = RayWorker(self._ray, self._actor.remote(), self._source_of, self._gone)
        worker.load(self._start, self._out)
        return worker

    def wait(self, workers: list[RayWorker], seconds: float | None) -> list[RayWorker]:
        by_reference = {worker.reference: worker for worker in workers}
        ready, _ = self._ray.wait(list(by_reference), num_returns=1, timeout=seconds)
        return [by_reference[reference] for reference in ready]


class RayWorker:
    """One actor and what is asked of it."""

    def __init__(
        self, ray: Any, actor: Any, source_of: Callable[[Any], Path | None], gone: Callable[[Any], Any]
    ) -> None:
        self._ray, self._actor, self._source_of, self._gone = ray, actor, source_of, gone
        self._task: Any = None
        self.reference: Any = None

    def load(self, start: Start, out: Path | None) -> None:
        """Begin to load what the work needs; does not wait."""
        self.reference = self._actor.load.remote(start, out)

    def give(self, task: Any) -> None:
        self._task = task
        self.reference = self._actor.work.remote(task, self._source_of(task))

    def take(self) -> Any:
        try:
            answer = self._ray.get(self.reference)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from error
        except self._ray.exceptions.RayError as error:
            # Killed, out of memory, its machine gone or out of reach.
            raise WorkerDied(str(error).splitlines()[0]) from error
        if not isinstance(answer, _Unseen):
            return READY if answer is None else answer
        if answer.path.exists():
            raise ClusterError(str(answer))
        return self._gone(self._task)

    def kill(self) -> None:
        self._ray.kill(self._actor)


@dataclass(frozen=True)
class _Unseen:
    """A file or folder that a machine of the cluster does not see."""

    machine: str
    path: Path

    def __str__(self) -> str:
        return (
            f"{self.machine} does not see {self.path}: on a cluster, what is read and --out must lie on a disk that "
            "all machines see"
        )


class _Actor:
    """What runs on the cluster."""

    def load(self, start: Start, out: Path | None) -> None:
        if out is not None and not out.is_dir():
            raise ClusterError(str(_Unseen(socket.gethostname(), out)))
        limit_threads(1)
        self._work = start()

    def work(self, task: Any, source: Path | None) -> Any:
        """The result, or this machine's name where it does not see the source."""
        return self._work(task) if source is None or source.exists() else _Unseen(socket.gethostname(), source)


def _check_reachable(address: str) -> None:
    """Ray itself tries for minutes before it says that nothing is there."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise ClusterError(f"the address of a Ray cluster is HOST:PORT or ray://HOST:PORT, got {address!r}")
    try:
        socket.create_connection((host, int(port)), _REACH_SECONDS).close()
    except OSError as error:
        raise ClusterError(f"no Ray cluster at {address} ({error}); start one there: ray start --head") from error
