"""Copies of the tree in which one fault at a time is tried, and what the tests said.

The tree of the user is read once, when it is copied, and never written.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mutant_lists import Mutant

Result = Literal["killed", "survived", "broken"]
PACKAGE = "fada"
LEFT_OUT = (".git", ".venv*", "runs", "data", "build", "dist", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis")
"""What is not copied, at the top of the tree; of it, only `__pycache__` further down."""
FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+(?:\[.*\])?)(?: - (.*))?$", re.MULTILINE)
PASSED, FAILURES, INTERRUPTED = 0, 1, 2
"""pytest's exit codes; it is interrupted where a file of tests cannot be imported."""


class TreeFault(RuntimeError):
    """The copy cannot be used, or its tests fail without a mutant."""


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant. `broken`: the code could not even be imported, so it proves nothing."""

    result: Result
    by: str = ""
    """The first test that failed, or what ended it."""
    detail: str = ""
    """First line of the failure."""
    seconds: float = 0.0


class Tree:
    """A copy of the tree at `root` in `folder`, from which the package is imported.

    Raises:
        TreeFault: the package is imported from elsewhere.
    """

    def __init__(self, root: Path, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(root, folder, symlinks=True, ignore=_left_out(root))
        # Compiled files are checked by content: a mutant of the same length in the same second is not overlooked.
        compiled = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash", str(folder)]
        subprocess.run(compiled, check=False, stdout=subprocess.DEVNULL)
        code = f"import {PACKAGE}; print({PACKAGE}.__file__)"
        found = subprocess.run(
            [sys.executable, "-c", code], cwd=folder, env=self._environment(), capture_output=True, text=True
        )
        place = found.stdout.strip()
        if not place or not Path(place).resolve().is_relative_to(folder.resolve()):
            raise TreeFault(f"{PACKAGE} must be imported from the copy {folder}, got {place or found.stderr.strip()}")

    def seconds_of(self, tests: Sequence[str], limit: float) -> float:
        """How long tests take without a mutant.

        Raises:
            TreeFault: they do not pass.
        """
        outcome = self.run(tests, limit)
        if outcome.result != "survived":
            raise TreeFault(f"{' '.join(tests)}: must pass without mutants, but {outcome.by}: {outcome.detail}")
        return outcome.seconds

    def try_mutant(self, mutant: Mutant, limit: float) -> Outcome:
        """Run a mutant's tests with it in the tree; afterwards it is out of it again."""
        path = self.folder / mutant.file
        before = path.read_text(encoding="utf-8")
        path.write_text(mutant.applied(before), encoding="utf-8")
        try:
            return self.run(mutant.tests, limit)
        finally:
            path.write_text(before, encoding="utf-8")

    def run(self, tests: Sequence[str], limit: float) -> Outcome:
        """Run tests up to the first that fails, `limit` seconds at most."""
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--no-header", *tests]
        begun = time.monotonic()
        with _own_group(command, self.folder, self._environment()) as process:
            try:
                said = process.communicate(timeout=limit)[0]
            except subprocess.TimeoutExpired:
                return Outcome("killed", "time limit", f"no end in {limit:.0f} s", time.monotonic() - begun)
        seconds = time.monotonic() - begun
        if process.returncode == PASSED:
            return Outcome("survived", seconds=seconds)
        found = FAILED.search(said)
        by, detail = (found[1], found[2] or "") if found else ("", said.strip()[-400:])
        if process.returncode == FAILURES or process.returncode < 0:
            return Outcome("killed", by or f"signal {-process.returncode}", detail, seconds)
        return Outcome("broken", by or f"pytest's exit code {process.returncode}", detail, seconds)

    def _environment(self) -> dict[str, str]:
        own = {"PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "400"}
        return {**os.environ, "OMP_NUM_THREADS": "1", **own}


@contextmanager
def _own_group(command: list[str], folder: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A process that is gone with all its children when the block ends."""
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _left_out(root: Path):  # type: ignore[no-untyped-def]  # what copytree takes
    at_top = shutil.ignore_patterns(*LEFT_OUT)
    below = shutil.ignore_patterns("__pycache__")
    return lambda folder, names: (at_top if Path(folder) == root else below)(folder, names)
