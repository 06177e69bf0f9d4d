"""Stopping runs as Ctrl-C does, and starting them again.

A run is stopped only where it can be told for sure which process it is: one that the studio started, or the one that
the run's lock names and that has that lock open (`holder_of`).
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from fada.engine.signals import STARTED_HERE
from fada.files.folders import kind_of
from fada.files.locks import holder_of
from fada.files.strict_json import JSONFault, read_table
from fada.recipe.earlier import ENVIRONMENT, RECIPE, RUN

_TOLD = 4000
"""Bytes of what a run said last."""


class CannotRun(ValueError):
    """A run that cannot be stopped or started."""


@dataclass
class _Started:
    process: subprocess.Popen[bytes]
    console: Path


class Runner:
    """Runs that this studio started, and the others by their locks.

    Args:
        folder: where what they say on the console goes.
        program: what `fada` is; another only in tests.
    """

    def __init__(self, folder: Path, program: Sequence[str] = (sys.executable, "-m", "fada")) -> None:
        self._folder, self._program = folder, program
        self._started: dict[Path, _Started] = {}
        self._asked: dict[Path, int] = {}
        """Run → the process that was asked to stop: a second signal would break it off."""

    def can_stop(self, run: Path) -> bool:
        """Whether the run goes on in a process that is known, and was not asked to stop yet."""
        process = self._process_of(run)
        return process is not None and self._asked.get(run) != process

    def is_stopping(self, run: Path) -> bool:
        """Whether the run was asked to stop and has not ended yet."""
        process = self._process_of(run)
        return process is not None and self._asked.get(run) == process

    def is_running(self, run: Path) -> bool:
        """Whether a process works on the run, or has just been started to."""
        return self._process_of(run) is not None

    def stop(self, run: Path) -> None:
        """Ask for a clean stop: the step is finished, a checkpoint written. The second call does nothing.

        Raises:
            CannotRun: nobody is at work there, or it cannot be told who.
        """
        process = self._process_of(run)
        if process is None:
            raise CannotRun(f"{run.name}: no process of this machine is at work there")
        if self._asked.get(run) == process:
            return
        try:
            os.kill(process, signal.SIGINT)
        except OSError as error:
            raise CannotRun(f"{run.name}: process {process} cannot be asked to stop ({error.strerror})") from error
        self._asked[run] = process

    def resume(self, run: Path) -> None:
        """Start the run's own recipe again: it goes on from its last checkpoint. It outlives the studio.

        Raises:
            CannotRun: it is no run, has no recipe, or a process is at work there.
        """
        recipe = run / RECIPE
        if kind_of(run) != RUN or not recipe.is_file() or recipe.is_symlink():
            raise CannotRun(f"{run.name}: no run with a {RECIPE}; start it with fada distill")
        if self.is_running(run):
            raise CannotRun(f"{run.name}: is running; stop it first")
        console = self._folder / f"console-{secrets.token_hex(8)}.txt"
        # A group of its own: Ctrl-C of the studio is not meant for it.
        with console.open("wb") as out:
            process = subprocess.Popen(
                [*self._program, *_verb_of(run), str(recipe), f"output={json.dumps(str(run))}"],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "COLUMNS": "120"},
            )
        self._asked.pop(run, None)
        self._started[run] = _Started(process, console)

    def said(self, run: Path) -> str:
        """What the run that was started here said last; nothing of others."""
        started = self._started.get(run)
        if started is None or not started.console.is_file():
            return ""
        with started.console.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TOLD))
            return file.read().decode("utf-8", "replace")

    def _process_of(self, run: Path) -> int | None:
        started = self._started.get(run)
        if started is not None and started.process.poll() is None:
            return started.process.pid
        holder = holder_of(run)
        return None if holder is None or holder == os.getpid() else _leader(holder)


def _leader(process: int) -> int:
    """The process to ask: of several that share a run, the one that started them and passes the wish on."""
    try:
        found = psutil.Process(process)
        if STARTED_HERE in found.environ():
            return int(found.ppid())
    except psutil.Error:
        pass
    return process


def _verb_of(run: Path) -> list[str]:
    """With which verb a run was begun, as its environment has it."""
    try:
        command = read_table(run / ENVIRONMENT).get("command")
    except (OSError, JSONFault):
        command = None
    return (
        ["teacher", "train"] if isinstance(command, str) and command.startswith("fada teacher train") else ["distill"]
    )
