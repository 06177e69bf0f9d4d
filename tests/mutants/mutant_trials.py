"""Copies of the tree in which one fault at a time is tried, and what the tests said.

The tree of the user is read once, when it is copied, and never written.
"""

from __future__ import annotations

import compileall
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import Any, Literal

from mutant_lists import Mutant

Result = Literal["killed", "survived", "broken"]
PACKAGE = "fada"
SERVER = Path(__file__).with_name("preloaded_pytest.py")
LEFT_OUT = (".git", ".venv*", "runs", "data", "build", "dist", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis")
"""What is not copied, at the top of the tree; of it, only `__pycache__` further down."""
FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+(?:\[.*\])?)(?: - (.*))?$", re.MULTILINE)
OPTIONS = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:anyio", "--no-header", "--assert=plain"]
"""For pytest. Explained assertions would cost more than most tests: their files are compiled in every run."""
PASSED, FAILURES = 0, 1
"""pytest's exit codes; another one where a file of tests cannot be imported."""


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
        compileall.compile_dir(folder, quiet=2, invalidation_mode=PycInvalidationMode.CHECKED_HASH)
        self._preload: list[str] = []
        self._process = subprocess.Popen(
            [sys.executable, str(SERVER), PACKAGE],
            cwd=folder,
            env=self._environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        place = self._answer()["place"]
        if not place or not Path(place).resolve().is_relative_to(folder.resolve()):
            self.close()
            raise TreeFault(f"{PACKAGE} must be imported from the copy {folder}, got {place}")

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
        base = self.folder.with_suffix(".tests")
        arguments = [*OPTIONS, f"--basetemp={base}", *tests]
        answer = self._ask({"arguments": arguments, "limit": limit, "preload": self._preload})
        self._preload = answer["imported"] or self._preload
        code, said, seconds = answer["code"], answer["said"], answer["seconds"]
        if code is None:
            return Outcome("killed", "time limit", f"no end in {limit:.0f} s", seconds)
        if code == PASSED:
            return Outcome("survived", seconds=seconds)
        found = FAILED.search(said)
        by, detail = (found[1], found[2] or "") if found else ("", said.strip()[-400:])
        if code == FAILURES or code < 0:
            return Outcome("killed", by or f"signal {-code}", detail, seconds)
        return Outcome("broken", by or f"pytest's exit code {code}", detail, seconds)

    def close(self) -> None:
        """End the process that runs the tests."""
        with suppress(BrokenPipeError):
            self._process.communicate()

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        print(json.dumps(request), file=self._process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise TreeFault(f"the process that runs the tests ended with exit code {self._process.wait()}")
        return json.loads(line)

    def _environment(self) -> dict[str, str]:
        own = {"PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "400"}
        # As tests/conftest.py sets them: packages that are imported before it read them then.
        early = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
        return {**os.environ, **early, **own}


def _left_out(root: Path):  # type: ignore[no-untyped-def]  # what copytree takes
    at_top = shutil.ignore_patterns(*LEFT_OUT)
    below = shutil.ignore_patterns("__pycache__")
    return lambda folder, names: (at_top if Path(folder) == root else below)(folder, names)
